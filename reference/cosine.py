"""Oracles of the cosine of two embeddings, of shape (R, D), and of 1 - cosine. One row is one value."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.outputs import LARGEST, Mask, U, present, times, weighed
from reference.truth import Array, Output, Truth, output

Integers = npt.NDArray[np.int32] | npt.NDArray[np.int64]
NOTHING = -9999
"""The exponent that stands for that of 0, below any other."""


class _Side(NamedTuple):
    """An embedding divided by max(norm, eps): unit = fraction * 2**power, which keeps the digits of tiny entries."""

    unit: Array
    fraction: Array
    power: Integers
    mantissa: Array
    exponent: Integers
    norm: Array
    """max(norm, eps) = mantissa * 2**exponent, which may be beyond the range though its parts are not."""
    low: Mask
    """The norm is at most eps, which divides in its place."""
    edge: Mask
    """The norm cannot be told from eps."""
    zero: Mask
    """There is no eps to divide by and the norm is 0."""
    deficit: Array
    """1 - norm(unit)**2, at least 0."""


def _side(x: Array, eps: float | None) -> _Side:
    exponent = np.frexp(np.abs(x).max(axis=-1, initial=0.0))[1]
    scaled = np.ldexp(x, -exponent[:, None])
    mantissa = np.sqrt((scaled * scaled).sum(axis=-1))
    norm = np.ldexp(mantissa, exponent)
    if eps is None:
        zero, low = norm == 0.0, np.zeros(len(x), np.bool_)
        mantissa, edge, deficit = np.where(zero, 1.0, mantissa), low, zero.astype(np.float64)
    else:
        low, zero = norm <= eps, np.zeros(len(x), np.bool_)
        edge = np.abs(norm - eps) <= 4.0 * x.shape[-1] * U * eps
        deficit = np.where(low, (eps - norm) / eps * (1.0 + norm / eps), 0.0)
        part, place = np.frexp(eps)
        mantissa, exponent, norm = np.where(low, part, mantissa), np.where(low, place, exponent), np.maximum(norm, eps)
    fraction, power = np.frexp(x)
    fraction, power = fraction / mantissa[:, None], np.where(x == 0.0, NOTHING, power - exponent[:, None])
    return _Side(np.ldexp(fraction, power), fraction, power, mantissa, exponent, norm, low, edge, zero, deficit)


class Cosine(NamedTuple):
    cosine: Output
    distance: Output
    """1 - cosine."""
    opposite: Output
    """1 + cosine."""
    gradients: tuple[Output, Output]


def _from_one(x: _Side, y: _Side, sign: float, like: Output) -> Output:
    # With unit vectors a and b: 1 - a.b = norm(a - b)**2 / 2. Shorter vectors add half of 1 - norm**2 each.
    d = x.unit - sign * y.unit
    value = 0.5 * ((d * d).sum(axis=-1) + x.deficit + y.deficit)
    # The constant u is the square of the rounding of the unit vectors, all that is left of parallel embeddings.
    rounding = (np.abs(d) * (np.abs(x.unit) + np.abs(y.unit))).sum(axis=-1) + x.low + y.low + U
    return replace(like, exact=value, reference=value + rounding, accumulation=value, absolute=np.asarray(2.0))


def _slope(
    x: _Side, y: _Side, cosine: Array, terms: Array, power: Integers, lost: Array, squares: tuple[Array, Array]
) -> Output:
    """d cosine / dx = (y^ - cosine x^) / norm(x), or y^ / eps where eps divides; the cosine is times 2**power."""
    common = np.maximum(y.power, x.power + power)
    a, b = np.ldexp(x.fraction, x.power + power - common), np.ldexp(y.fraction, y.power - common)

    def over_norm(values: Array) -> Array:
        quotient: Array = np.ldexp(values / x.mantissa[:, None], common - x.exponent[:, None])
        return quotient

    free, low = over_norm(b - cosine * a), x.low[:, None]
    divided = np.ldexp(y.fraction / x.mantissa[:, None], y.power - x.exponent[:, None])
    exact = np.where(x.zero[:, None], 0.0 * free, np.where(low, divided, free))
    other = np.where(x.edge[:, None], np.where(low, free, divided), exact)
    anything = np.where(x.zero[:, None], np.inf, 0.0)
    size = np.where(low & ~x.edge[:, None], np.abs(divided), over_norm(np.abs(b) + 2.0 * terms * np.abs(a)))
    far = np.ldexp(1.0 / x.mantissa, -x.exponent)[:, None]
    return output(
        exact,
        reference=size,
        accumulation=size,
        absolute=2.0 * far * np.ones_like(b),
        underflow=np.fmin(1.0 + 2.0 * far * lost[:, None] * (np.abs(x.unit) + np.abs(y.unit)), LARGEST),
        interval=(np.minimum(exact, other) - anything, np.maximum(exact, other) + anything),
        partial=(np.minimum(squares[0][:, None], far), np.maximum(squares[1][:, None], far)),
    )


def cosine_of(x1: Array, x2: Array, eps: float | None) -> Cosine:
    """The cosine by unit vectors, held with exponents of their own; without eps it is 0 where a vector is 0."""
    x, y = _side(x1, eps), _side(x2, eps)
    power = (x.power + y.power).max(axis=-1)[:, None]
    pairs = np.ldexp(x.fraction * y.fraction, x.power + y.power - power)
    c, terms = pairs.sum(axis=-1)[:, None], np.abs(pairs).sum(axis=-1)[:, None]
    size = np.ldexp(terms, power)[:, 0]
    # The formula as written passes through two sums of squares and one of products, whose D terms may underflow.
    # Of an embedding that is 0 all of them are 0, and none underflows.
    n, m = x.norm, y.norm
    per_n, per_m = (np.where((v != 0.0).any(axis=-1), 1.0 / z.norm, 0.0) for v, z in ((x1, x), (x2, y)))
    lost = np.minimum(x1.shape[-1] * (per_n * per_n + per_m * per_m + weighed(per_n, per_m)), LARGEST / 4.0)
    products = [present(n * n, n), present(m * m, m)]
    if eps is None:
        # Without eps to keep the norms apart they are multiplied before the root is taken.
        products.append(present(products[0] * products[1], np.minimum(n, m)))
    squares = reduce(np.fmin, products), reduce(np.fmax, products)
    cosine = output(
        np.ldexp(c, power)[:, 0],
        reference=size,
        accumulation=size,
        absolute=1.0,
        underflow=1.0 + lost,
        partial=squares,
    )
    gradients = _slope(x, y, c, terms, power, lost, squares), _slope(y, x, c, terms, power, lost, squares)
    return Cosine(cosine, _from_one(x, y, 1.0, cosine), _from_one(x, y, -1.0, cosine), gradients)


def cosine_similarity(x1: Array, x2: Array, *, dim: int = 1, eps: float = 1e-8) -> Truth:
    """x1 . x2 / (max(norm(x1), eps) max(norm(x2), eps)). Source: torch.nn.functional.cosine_similarity.

    ``dim`` is the axis of the entries, here always the last.
    torch.nn.CosineSimilarity documents max(norm(x1) norm(x2), eps) instead; the two differ where a norm is below eps.
    Where a norm is eps both formulas of the gradient hold, and all between.
    """
    with np.errstate(all="ignore"):
        cosine = cosine_of(x1, x2, eps)
    return Truth(value=cosine.cosine, gradients=dict(zip(("x1", "x2"), cosine.gradients, strict=True)))


def cosine_distance(x1: Array, x2: Array, *, eps: float = 1e-8) -> Truth:
    """1 - cosine_similarity(x1, x2), taken as norm(x1^ - x2^)**2 / 2, which does not cancel.

    Source: the last example of torch.nn.TripletMarginWithDistanceLoss.
    """
    with np.errstate(all="ignore"):
        cosine = cosine_of(x1, x2, eps)
        gradients = {n: times(g, -1.0) for n, g in zip(("x1", "x2"), cosine.gradients, strict=True)}
    return Truth(value=cosine.distance, gradients=gradients)
