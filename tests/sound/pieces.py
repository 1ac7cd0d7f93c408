"""Small tools that several sound losses are made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

Tensor = torch.Tensor
Loss = Callable[..., Any]


def internally(wide: Callable[[torch.dtype], torch.dtype]) -> Callable[[Loss], Loss]:
    """Cast the floating tensors to ``wide(dtype)``, compute there, cast the result back once."""

    def decorate(loss: Loss) -> Loss:
        @wraps(loss)
        def cast(*tensors: Any, **options: Any) -> Tensor:
            given = [*tensors, *options.values()]
            narrow = next(t.dtype for t in given if isinstance(t, Tensor) and t.is_floating_point())

            def widened(a: Any) -> Any:
                return a.to(wide(narrow)) if isinstance(a, Tensor) and a.is_floating_point() else a

            result: Tensor = loss(*map(widened, tensors), **{n: widened(a) for n, a in options.items()})
            return result.to(narrow)

        return cast

    return decorate


in_float32 = internally(lambda dtype: torch.promote_types(dtype, torch.float32))
"""Halves are computed in float32."""
in_float64 = internally(lambda dtype: torch.float64)
"""Everything is computed in float64, where only float64 itself needs care about the range."""


def scaled(x: Tensor, exponent: Tensor) -> Tensor:
    """x * 2**exponent by three factors that are all in the range; torch.ldexp has no gradient if it is negative."""
    third = torch.div(exponent, 3, rounding_mode="trunc")
    two = torch.tensor(2.0, dtype=x.dtype, device=x.device)
    for part in (third, third, exponent - 2 * third):
        x = x * torch.pow(two, part)
    return x


def scaled_product(*factors: Tensor) -> Tensor:
    """The product by mantissas and exponents: only the result itself can leave the range."""
    mantissa, exponent = torch.frexp(factors[0])
    for factor in factors[1:]:
        m, e = torch.frexp(factor)
        mantissa, exponent = mantissa * m, exponent + e
    return scaled(mantissa, exponent)


def sign(d: Tensor) -> Tensor:
    """The sign as a constant; that of nan is nan, where torch.sign says 0."""
    return torch.where(d.isnan(), d, d.sign()).detach()


def absolute(d: Tensor) -> Tensor:
    """abs(d), whose gradient is nan where d is."""
    return sign(d) * torch.where(d == 0, 0.0, d)


def rectified(gap: Tensor) -> Tensor:
    """max(gap, 0), whose gradient is nan where the gap is."""
    live = torch.where(gap.isnan(), gap, 1.0).detach()
    return torch.where(gap <= 0, 0.0, gap * live)


EXACT = 40.0
"""Beyond it softplus(x) is x to an ulp of float64; the threshold of 20 that is torch's default is not."""


def softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=EXACT)


class _Mixed(torch.autograd.Function):
    """coefficient * term, 0 where the coefficient is, whatever the term; and so its gradient in the term."""

    @staticmethod
    def forward(ctx: Any, term: Tensor, coefficient: Tensor) -> Tensor:
        ctx.save_for_backward(term, coefficient)
        return torch.where(coefficient == 0, 0.0, term * coefficient)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        term, coefficient = ctx.saved_tensors
        return torch.where(coefficient == 0, 0.0, upstream * coefficient), upstream * term


def mixed(term: Tensor, coefficient: Tensor) -> Tensor:
    return _Mixed.apply(term, coefficient)


class _Length(torch.autograd.Function):
    """The Euclidean norm of rows at a power of two near the largest entry; its gradient is the unit vector, or 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        _, exponent = torch.frexp(x.abs().amax(dim=-1, keepdim=True))
        part = scaled(x, -exponent.expand(x.shape))
        part = torch.where(x.isinf().any(dim=-1, keepdim=True) & ~x.isnan(), x, part)
        size = part.square().sum(dim=-1, keepdim=True).sqrt()
        ctx.save_for_backward(part / torch.where(size == 0, 1.0, size))
        return scaled(size, exponent).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor]:
        (direction,) = ctx.saved_tensors
        g = upstream[..., None]
        return (torch.where(g == 0, 0.0, direction * g),)


def length(x: Tensor) -> Tensor:
    return _Length.apply(x)


class Side(NamedTuple):
    """A vector divided by max(norm, eps)."""

    unit: Tensor
    size: Tensor
    """max(norm, eps) / 2**exponent; 1 where the norm is 0 and there is no eps."""
    exponent: Tensor
    low: Tensor
    """The norm is not above eps."""


def side(x: Tensor, eps: float) -> Side:
    """At a power of two near the largest entry, so that no square leaves the range."""
    _, exponent = torch.frexp(x.abs().amax(dim=-1, keepdim=True))
    part = scaled(x, -exponent.expand(x.shape))
    size = part.square().sum(dim=-1, keepdim=True).sqrt()
    low = (size <= scaled(torch.full_like(size, eps), -exponent)) | (size == 0)
    exponent = torch.where(low, 0, exponent)
    size = torch.where(low, eps or 1.0, size)
    return Side(torch.where(low, x / (eps or 1.0), part / size), size, exponent, low)


class _Cosine(torch.autograd.Function):
    """a.b, or what it lacks to 1 as half the squared chord, with the slopes (b - (a.b) a) / norm of unit vectors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, eps: float, lack: bool) -> Tensor:
        one, other = side(x, eps), side(y, eps)
        c = (one.unit * other.unit).sum(dim=-1, keepdim=True)
        ctx.save_for_backward(*one, *other, c)
        ctx.sign = -1.0 if lack else 1.0
        if not lack:
            return c.squeeze(-1)
        chord = (one.unit - other.unit).square().sum(dim=-1, keepdim=True)
        return torch.where(one.low | other.low, 1 - c, 0.5 * chord).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        *sides, c = ctx.saved_tensors
        one, other = Side(*sides[:4]), Side(*sides[4:])
        g = ctx.sign * upstream[..., None]

        def slope(a: Side, b: Side) -> Tensor:
            free = torch.where(a.low, b.unit, b.unit - c * a.unit) / a.size
            return torch.where(g == 0, 0.0, scaled(free, -a.exponent.expand(free.shape)) * g)

        return slope(one, other), slope(other, one), None, None


def cosine(x: Tensor, y: Tensor, eps: float) -> Tensor:
    return _Cosine.apply(x, y, eps, False)


def cosine_gap(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """1 - cosine, which does not cancel."""
    return _Cosine.apply(x, y, eps, True)
