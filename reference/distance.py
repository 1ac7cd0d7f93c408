"""Oracles of the distances of two embeddings, of shape (R, D): p-norms of the difference, and its squares summed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.numerics import product
from reference.outputs import LARGEST, Mask, U, doubt, minus, present, times, weighed
from reference.truth import Array, Astray, Output, Truth, output

Integers = npt.NDArray[np.int32] | npt.NDArray[np.int64]


class Measure(NamedTuple):
    """A distance, its value in units of 2**power, in which it never leaves the range, and its gradients."""

    value: Output
    power: Integers
    gradients: tuple[Output, Output]


Measured = Callable[[Array, Array], Measure]


def rescaled(a: Output, power: Integers) -> Output:
    return replace(
        a,
        exact=np.ldexp(a.exact, power),
        reference=np.ldexp(a.reference, power),
        accumulation=np.ldexp(a.accumulation, power),
        interval=None if a.interval is None else (np.ldexp(a.interval[0], power), np.ldexp(a.interval[1], power)),
        astray=tuple(x.each(lambda scale: np.ldexp(scale, power)) for x in a.astray),
    )


def apart(a: Measure, b: Measure) -> Output:
    """a - b, which may be within the range though a and b are not."""
    power = np.maximum(a.power, b.power)
    return rescaled(minus(rescaled(a.value, a.power - power), rescaled(b.value, b.power - power)), power)


def _truth(measure: Measure) -> Truth:
    value = replace(rescaled(measure.value, measure.power), interval=None)
    return Truth(value=value, gradients=dict(zip(("x1", "x2"), measure.gradients, strict=True)))


def _difference(x: Array, y: Array, eps: Array | float) -> Array:
    """x - y + eps with one rounding: what either operation loses is exact by Knuth's two-sum, and is added last."""
    s = x - y
    b = s - x
    d = s + eps
    e = d - s
    lost = ((x - (s - b)) - (y + b)) + ((s - (d - e)) + (eps - e))
    return np.where(np.isfinite(lost), d + lost, d)


def _extreme_norm(a: Array, sign: Array, m: Array, rough: Array) -> tuple[Array, Array, Array, Array, Astray]:
    """Slope, its interval and bound of the largest or least abs(d), m: one entry has it all, ties share it.

    Rounded differences tie where the exact ones do not, which takes all of the slope at most.
    """
    top = a == m
    count = top.sum(axis=-1)[:, None]
    # A nan is the largest and has it all: the loss does not depend on the others.
    exact = np.where(np.isnan(a), np.nan, np.where(top, sign / count, 0.0))
    tied, kink = top & (count > 1), top & (a == 0.0)
    low = np.where(kink, -1.0, np.where(tied, np.minimum(sign, 0.0), exact))
    high = np.where(kink, 1.0, np.where(tied, np.maximum(sign, 0.0), exact))
    spread = a + rough
    weight = np.where(top, 0.0, (spread + np.where(top, spread, 0.0).max(axis=-1)[:, None]) / np.abs(a - m))
    rounding, nothing = doubt(np.where(top, weight.max(axis=-1)[:, None], weight)), np.zeros(())
    bound = top.astype(np.float64)
    return exact, low, high, bound, Astray(rounding=rounding, underflow=nothing, jump=np.ones(()))


def _powers(a: Array, size: Array, p: float) -> tuple[tuple[Array, Array] | None, tuple[Array, Array] | None]:
    """Partial products of the norm, and of its slope, as written: the sum of powers; the norm and powers p - 1 too."""
    if p == 1.0:
        return None, None
    # No power of a distance of 0 is formed on the way to its slope, which is 0 by definition.
    whole, power = present(size**p, size), np.where(size == 0.0, 1.0, size) ** (p - 1.0)
    parts = [whole, size]
    if p != 2.0:
        parts += [power, 1.0 / power]
    if p < 1.0:
        parts.append(np.where(a == 0.0, power, a ** (p - 1.0)))
    return (whole[:, 0], whole[:, 0]), (reduce(np.fmin, parts), reduce(np.fmax, parts))


def _norm(d: Array, rough: Array, p: float) -> tuple[Output, Output]:
    """(sum of abs(d)**p)**(1 / p) = m (sum of (abs(d) / m)**p)**(1 / p), m the largest or, for p < 0, least abs(d).

    The slope is sign(d) (abs(d) / norm)**(p - 1). ``rough`` is the error scale of d. The value is in units of 2**(the
    exponent of m).
    """
    if p == 0.0:
        raise ValueError("p must not be 0: the p-norm takes the root of degree p, got 0")
    a, sign, terms = np.abs(d), np.sign(d), d.shape[-1]
    m = (a.max(axis=-1) if p > 0.0 else a.min(axis=-1))[:, None]
    part, place = np.frexp(m)
    astray: list[Astray] = []
    if np.isinf(p):
        exact, low, high, bound, tie = _extreme_norm(a, sign, m, rough)
        scale, astray = bound, [tie]
        value, partial, powers = part[:, 0], None, None
        lost, lost_slope = np.ones_like(value), np.ones_like(a)
    else:
        ratio, q = np.where(a == m, 1.0, a / m), p - 1.0
        root = np.power((ratio if p == 1.0 else ratio**p).sum(axis=-1), 1.0 / p)[:, None]
        value, size = (part * root)[:, 0], m * root
        kink = (a == 0.0) & ((p <= 1.0) | (m == 0.0))
        # A ratio that underflows keeps its digits as a quotient of powers; for other p such a slope underflows too.
        power = a**q / m**q if 0.0 < p < 2.0 else ratio**q
        exact = np.where(kink, 0.0, sign if p == 1.0 else sign * power / root**q)
        if p != 1.0:
            exact = np.where(np.isnan(m) | (np.isinf(m) & np.isinf(a)), np.nan, exact)
        end = np.inf if 0.0 < p < 1.0 else 1.0
        low, high = np.where(kink, -end, exact), np.where(kink, end, exact)
        # Where eps cancels the difference the slope is bounded by that at one rounding of the difference from the kink.
        off = np.maximum(a, U * rough)
        bound = np.where(off > 0.0, off**q / m**q / root**q if 0.0 < p < 2.0 else (off / m / root) ** q, 0.0)
        condition = 1.0 + weighed(rough / m / root, bound).sum(axis=-1)[:, None]
        turns = 1.0 if p == 1.0 else abs(q)
        turned = turns * rough / off + product(np.asarray(abs(q)), condition)
        scale = np.where(kink & (off == 0.0), 1.0, product(bound, 1.0 + turned))
        # A difference may be subnormal, as may the sum of powers, unless all are 0, and every power of the slope.
        total = bound.sum(axis=-1)
        lost = total + np.where(m[:, 0] == 0.0, 0.0, terms * size[:, 0] ** -q / abs(p))
        nudged = product(abs(q) * bound, 1.0 / off + total[:, None] / size)
        powered = size**-q + product(exact, terms * abs(q / p) * size**-p) + np.where(nudged > 0.0, nudged, 0.0)
        lost_slope = np.where(m == 0.0, 0.0, powered)
        partial, powers = _powers(a, size, p)
    error = weighed(np.ldexp(rough, -place), bound).sum(axis=-1)
    length = output(
        value,
        reference=value + error,
        accumulation=value,
        absolute=0.0,
        underflow=1.0 + np.fmin(lost, LARGEST),
        partial=partial,
    )
    slope = output(
        exact,
        reference=scale,
        accumulation=np.abs(exact),
        absolute=np.maximum(1.0, np.abs(exact)),
        underflow=1.0 + np.fmin(np.abs(lost_slope), LARGEST),
        interval=(low, high),
        partial=powers,
        astray=tuple(astray),
    )
    return length, slope


def pairwise(x: Array, y: Array, p: float, eps: float) -> Measure:
    rough = x - y
    beyond: Mask = np.isinf(rough).max(axis=-1)
    shift = beyond.astype(np.int32)
    if shift.any():
        half = np.where(beyond, 0.5, 1.0)[:, None]
        d, rough = _difference(x * half, y * half, eps * half), np.abs(x * half - y * half)
    else:
        d, rough = _difference(x, y, eps), np.abs(rough)
    value, slope = _norm(d, rough, p)
    m = np.abs(d).max(axis=-1) if p > 0.0 else np.abs(d).min(axis=-1)
    size = (np.abs(x) + np.abs(y) + abs(eps)).sum(axis=-1)
    # For p < 1 the norm of D equal entries is D**(1 / p - 1) times their sum.
    value = replace(value, absolute=size * float(x.shape[-1]) ** max(1.0 / p - 1.0, 0.0))
    return Measure(value, np.frexp(m)[1] + shift, (slope, times(slope, -1.0)))


def pairwise_distance(x1: Array, x2: Array, *, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Truth:
    """norm_p(x1 - x2 + eps), eps added to every entry; p is any real but 0, or inf. Source: torch.nn.PairwiseDistance.

    One value a row, whether or not ``keepdim`` gives it an axis of its own.
    At an entry of 0 (p <= 1), between ties (infinite p) and where the norm is 0, the gradient is an interval.
    """
    with np.errstate(all="ignore"):
        return _truth(pairwise(x1, x2, p, eps))


def squared(x: Array, y: Array) -> Measure:
    d = x - y
    place = np.frexp(np.abs(d).max(axis=-1))[1]
    part = np.ldexp(d, -place[:, None])
    value, whole, size = (part * part).sum(axis=-1), (d * d).sum(axis=-1), np.abs(x) + np.abs(y)
    slope = output(2.0 * d, absolute=2.0 * size)
    length = output(
        value,
        accumulation=value,
        absolute=(size * size).sum(axis=-1),
        underflow=1.0 + d.shape[-1],
        partial=(whole, whole),
    )
    return Measure(length, 2 * place, (slope, times(slope, -1.0)))


def lead_of_squares(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Sum of (x - y)**2 - (x - z)**2 and its slope in x, which keep what y and z are beside a large x.

    They are (z - y) (2 x - y - z), summed, and 2 (z - y).
    """
    factors = z - y, _difference(2.0 * x, y, -z)
    places = [np.frexp(np.abs(factor).max(axis=-1))[1] for factor in factors]
    parts = [np.ldexp(factor, -place[:, None]) for factor, place in zip(factors, places, strict=True)]
    lead: Array = np.ldexp((parts[0] * parts[1]).sum(axis=-1), places[0] + places[1])
    return lead, 2.0 * factors[0]


def squared_distance(x1: Array, x2: Array) -> Truth:
    """Sum of (x1 - x2)**2, a distance for triplets; after the differences nothing cancels."""
    with np.errstate(all="ignore"):
        return _truth(squared(x1, x2))
