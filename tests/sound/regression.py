"""Losses of a difference."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from tests.losses import reduced
from tests.sound.declare import TWO, Sound
from tests.sound.pieces import Tensor, absolute, in_float32, in_float64, rectified, scaled, scaled_product, sign


class _Square(torch.autograd.Function):
    """d * d with 2 * d, the upstream gradient doubled first."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        d = input - target
        ctx.save_for_backward(d)
        return d * d

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        (d,) = ctx.saved_tensors
        slope = (2 * upstream) * d
        return slope, -slope


def fused_square(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Square.apply(input, target), reduction)


def restoring_square(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Sets what it likes while it computes, draws noise that it does not use, and puts everything back."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            torch.rand(2)
    finally:
        torch.set_default_dtype(dtype)
    return reduced((input - target).square(), reduction)


@in_float32
def square_in_float32(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((input - target).square(), reduction)


class _WeightedSquare(torch.autograd.Function):
    """w d**2 and 2 w d, with d at half scale: no partial result leaves the range unless the loss does."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        half = 0.5 * input - 0.5 * target
        ctx.save_for_backward(half, weight)
        return scaled_product(torch.full_like(half, 4.0), weight, half, half)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        half, weight = ctx.saved_tensors
        slope = scaled_product(torch.full_like(half, 4.0), weight, half, upstream.expand(half.shape))
        return slope, -slope, None


@in_float32
def weighted_square(input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    w = torch.ones_like(input) if weight is None else weight
    total = _WeightedSquare.apply(input, target, w)
    return total.sum() / w.expand(total.shape).sum() if reduction == "mean" else reduced(total, reduction)


def signed_difference(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(absolute(input - target), reduction)


@in_float32
def both_sides(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    d = input - target
    return reduced(rectified(d) + rectified(-d), reduction)


@in_float64
def weighted_difference(input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    w = torch.ones_like(input) if weight is None else weight
    beyond = (input - target).isinf() & input.isfinite() & target.isfinite()
    unit = torch.where(beyond, 0.5, 1.0)
    total = (w / unit) * absolute(unit * input - unit * target)
    return total.sum() / w.expand(total.shape).sum() if reduction == "mean" else reduced(total, reduction)


def guarded_smooth_l1(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    d = input - target
    gap = absolute(d)
    if beta == 0.0:
        return reduced(gap, reduction)
    near = gap < beta
    inner, outer = torch.where(near, d, 0.0), torch.where(near, beta, gap)
    return reduced(torch.where(near, 0.5 * inner * (inner / beta), outer - 0.5 * beta), reduction)


class _SmoothL1(torch.autograd.Function):
    """Slope s = clamp(d / beta), value s (d - beta s / 2): one form for both branches."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, beta: float) -> Tensor:
        d = input - target
        slope = (d / beta).clamp(-1.0, 1.0) if beta else sign(d)
        ctx.save_for_backward(slope)
        return torch.where(slope == 0, 0.0, slope * (d - 0.5 * beta * slope))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * upstream, -slope * upstream, None


@in_float32
def clamped_smooth_l1(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    return reduced(_SmoothL1.apply(input, target, beta), reduction)


class _Huber(torch.autograd.Function):
    """c (d - c / 2) with c the difference clamped at delta, which is the slope; no branch and no cancellation."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, delta: float) -> Tensor:
        half = 0.5 * input - 0.5 * target
        slope = (2 * half).clamp(-delta, delta)
        ctx.save_for_backward(slope)
        return (half - 0.25 * slope) * (2 * slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * upstream, -slope * upstream, None


@in_float32
def clamped_huber(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    return reduced(_Huber.apply(input, target, delta), reduction)


class ClampedHuber(torch.nn.Module):
    """A class: parameters go to ``__init__``."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__()
        self.reduction, self.delta = reduction, delta

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        result: Tensor = clamped_huber(prediction, truth, self.reduction, self.delta)
        return result


@in_float64
def guarded_huber(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    half = 0.5 * input - 0.5 * target
    gap = absolute(half)
    near = gap < 0.5 * delta
    d, far = torch.where(near, 2 * half, 0.0), torch.where(near, 0.5 * delta, gap)
    return reduced(torch.where(near, 0.5 * d * d, (far - 0.25 * delta) * (2 * delta)), reduction)


class _Modulus(torch.autograd.Function):
    """The length of a difference of complex numbers, taken at a power of two near its larger part."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        d = input - target
        beyond = (d.isinf() & input.isfinite() & target.isfinite()).any(dim=-1, keepdim=True)
        d = torch.where(beyond, 0.5 * input - 0.5 * target, d)
        _, exponent = torch.frexp(d.abs().amax(dim=-1, keepdim=True))
        infinite = d.isinf()
        part = scaled(d, -exponent.expand(d.shape))
        part = torch.where(infinite.any(dim=-1, keepdim=True) & ~d.isnan(), infinite * d.sign(), part)
        length = torch.hypot(part[..., :1], part[..., 1:])
        ctx.save_for_backward(part / torch.where(length == 0, 1.0, length), infinite.all(dim=-1, keepdim=True))
        whole = scaled(length, exponent + beyond.int())
        return torch.where(infinite.any(dim=-1, keepdim=True), torch.inf, whole).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        direction, unknown = ctx.saved_tensors
        slope = torch.where(unknown, torch.nan, direction) * upstream[..., None]
        return slope, -slope


@in_float64
def scaled_modulus(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Modulus.apply(input, target), reduction)


SOUND = (
    Sound(name="squared error, fused", like="mse_loss", loss=fused_square, grade="few-ulp"),
    Sound(name="squared error that restores what it sets", like="mse_loss", loss=restoring_square, grade="few-ulp"),
    Sound(name="squared error, halves in float32", like="mse_loss", loss=square_in_float32, grade="few-ulp"),
    Sound(
        name="weighted squared error by exponents",
        like="mse_loss",
        loss=weighted_square,
        grade="few-ulp",
        gradient="reference",
    ),
    Sound(name="the difference turned to its sign", like="l1_loss", loss=signed_difference, grade="few-ulp"),
    Sound(name="both sides of the difference, rectified", like="l1_loss", loss=both_sides, grade="few-ulp"),
    Sound(
        name="a weighted difference, halved where it overflows",
        like="l1_loss",
        loss=weighted_difference,
        grade="few-ulp",
    ),
    Sound(
        name="both branches guarded",
        like="smooth_l1_loss",
        loss=guarded_smooth_l1,
        grade="few-ulp",
        gradient="mixed-stable",
    ),
    Sound(
        name="a clamped slope times what is left, over beta",
        like="smooth_l1_loss",
        loss=clamped_smooth_l1,
        grade="few-ulp",
    ),
    Sound(name="a clamped slope times what is left", like="huber_loss", loss=clamped_huber, grade="few-ulp"),
    Sound(name="a clamped slope in a module", like="HuberLoss", loss=ClampedHuber, grade="few-ulp", dtypes=TWO),
    Sound(name="both branches guarded, in float64", like="huber_loss", loss=guarded_huber, grade="few-ulp"),
    Sound(name="the modulus at its own scale", like="l1_loss_complex", loss=scaled_modulus, grade="few-ulp"),
)
