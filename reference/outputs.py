"""Outputs added, chosen between and hinged: exact values, scales and the intervals at ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from reference.truth import Array, Astray, Output, Truth, trailing

Mask = npt.NDArray[np.bool_]

U = 2.0**-53
LARGEST = float(np.finfo(np.float64).max)
NEAR = 2.0**-3
"""32 roundings of bfloat16: a gap whose share of its scale is more has its sign in every dtype."""
TINY = float(np.finfo(np.float64).smallest_subnormal)
"""Stands for a partial product that underflows in float64 too: what is 0 would not count as having left the range."""


def ends(a: Output) -> tuple[Array, Array]:
    return (a.exact, a.exact) if a.interval is None else a.interval


def times(a: Output, sign: Array | float) -> Output:
    """``a`` times 1 or -1, a sign a row."""
    lo, hi = (sign * end for end in ends(a))
    return replace(a, exact=sign * a.exact, interval=(np.minimum(lo, hi), np.maximum(lo, hi)))


def plus(a: Output, constant: float) -> Output:
    return replace(a, exact=a.exact + constant, reference=a.reference + abs(constant))


def minus(a: Output, b: Output) -> Output:
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    low, high = a_low - b_high, a_high - b_low
    # Where both are numbers, an end that is nan is the difference of two infinite ends.
    known = ~(np.isnan(a.exact) | np.isnan(b.exact))
    return Output(
        exact=a.exact - b.exact,
        reference=a.reference + b.reference,
        accumulation=a.accumulation + b.accumulation,
        underflow=np.minimum(a.underflow + b.underflow, LARGEST),
        absolute=a.absolute + b.absolute,
        interval=(np.where(known & np.isnan(low), -np.inf, low), np.where(known & np.isnan(high), np.inf, high)),
        partial=None
        if a.partial is None or b.partial is None
        else (np.minimum(a.partial[0], b.partial[0]), np.maximum(a.partial[1], b.partial[1])),
        astray=a.astray + b.astray,
    )


def select(choice: Mask, a: Output, b: Output) -> Output:
    """``a`` where the choice falls on it, else ``b``; partial products as of both."""
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    return Output(
        exact=np.where(choice, a.exact, b.exact),
        reference=np.where(choice, a.reference, b.reference),
        accumulation=np.where(choice, a.accumulation, b.accumulation),
        underflow=np.where(choice, a.underflow, b.underflow),
        absolute=np.where(choice, a.absolute, b.absolute),
        interval=(np.where(choice, a_low, b_low), np.where(choice, a_high, b_high)),
        partial=b.partial,
        astray=(
            *(x.each(lambda scale: np.where(choice, scale, 0.0)) for x in a.astray),
            *(x.each(lambda scale: np.where(choice, 0.0, scale)) for x in b.astray),
        ),
    )


def weighed(a: Array, b: Array) -> Array:
    """a * b, where 0 wins over inf."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, a * b)


def present(power: Array, size: Array) -> Array:
    """A power of a size, not 0 where the size is not."""
    return np.where(size > 0.0, np.maximum(power, TINY), power)


def doubt(share: Array) -> Array:
    """A rounding's share of a gap: as it is where the rounding may close the gap, and little where it cannot."""
    return np.nan_to_num(share * np.minimum(share / 32.0, 1.0), posinf=np.inf)


def _farthest(exact: Array, b: Output) -> Array:
    """Distance to the farthest entry that ``b`` admits and that is a number."""
    off = [np.abs(exact - end) for end in (b.exact, *ends(b))]
    return reduce(np.maximum, [np.where(np.isfinite(o), o, 0.0) for o in off])


def _less(a: Astray, b: Astray) -> Astray:
    """What two choices cost that must both go astray, of which ``a`` is the inner one."""
    return replace(a, rounding=np.fmin(a.rounding, b.rounding), underflow=np.fmin(a.underflow, b.underflow))


def hull(gap: Output, a: Output, b: Output) -> Output:
    """``a``, which the sign of the gap decides for, at ties with everything between ``a`` and ``b`` admissible.

    A rounding or an underflow that is larger than the gap takes the wrong branch: what it costs is its share of the gap
    times the difference. Where it may happen the scale is that of the branch with the larger.
    """

    def along(scale: Array) -> Array:
        return trailing(np.broadcast_to(scale, gap.exact.shape), a.exact.ndim)

    tie, size = trailing(undecided(gap), a.exact.ndim), along(np.abs(gap.exact))
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    jump = np.where(tie, 0.0, _farthest(a.exact, b))
    near = tie | (size <= NEAR * along(gap.reference + gap.accumulation))
    rounding = doubt(along(gap.reference + gap.accumulation) / size)
    lost = np.nan_to_num(along(gap.underflow) / size, posinf=np.inf)

    def going(there: Array) -> Astray:
        return Astray(rounding=weighed(there, rounding), underflow=weighed(there, lost), jump=there)

    # A choice inside the other branch shows where both are in doubt.
    both = tuple(_less(inner, going(inner.jump)) for inner in b.astray)
    return replace(
        a,
        reference=np.where(near, np.fmax(a.reference, np.fmin(b.reference, b.absolute)), a.reference),
        accumulation=np.where(near, np.fmax(a.accumulation, np.fmin(b.accumulation, b.absolute)), a.accumulation),
        interval=(np.where(tie, np.minimum(a_low, b_low), a_low), np.where(tie, np.maximum(a_high, b_high), a_high)),
        astray=(*a.astray, *both, going(jump)),
    )


def stilled(a: Output) -> Output:
    """The zero function."""
    zero = np.zeros(())
    return replace(a, exact=zero, reference=zero, accumulation=zero, underflow=zero, interval=None, astray=())


def undecided(gap: Output) -> Mask:
    """Where the sign of a difference is not certain."""
    return np.abs(gap.exact) <= 4.0 * U * (gap.reference + gap.accumulation)


def hinge(gap: Output, gradients: Mapping[str, Output]) -> Truth:
    """max(gap, 0) and its gradients, from those of the gap; nan stays."""
    positive, known = ~(gap.exact <= 0.0)[:, None], np.where(np.isnan(gap.exact), np.nan, 0.0)
    hinged = {}
    for name, gradient in gradients.items():
        live = replace(gradient, exact=gradient.exact + known[:, None])
        still = stilled(live)
        hinged[name] = hull(gap, select(positive, live, still), select(positive, still, live))
    return Truth(value=replace(gap, exact=np.maximum(gap.exact, 0.0), interval=None), gradients=hinged)
