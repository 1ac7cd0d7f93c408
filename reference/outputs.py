"""Outputs added, chosen between and hinged: exact values, scales and the intervals at ties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from reference.truth import Array, Output, Truth

Mask = npt.NDArray[np.bool_]

U = 2.0**-53
LARGEST = float(np.finfo(np.float64).max)
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
    )


def weighed(a: Array, b: Array) -> Array:
    """a * b, where 0 wins over inf."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, a * b)


def present(power: Array, size: Array) -> Array:
    """A power of a size, not 0 where the size is not."""
    return np.where(size > 0.0, np.maximum(power, TINY), power)


def doubt(share: Array) -> Array:
    """A rounding's share of a gap: as it is where the rounding may close the gap, and little where it cannot."""
    return np.nan_to_num(np.minimum(share * np.minimum(share / 32.0, 1.0), 1.0 / U))


def hull(gap: Output, a: Output, b: Output) -> Output:
    """``a``, which the sign of the gap decides for, at ties with everything between ``a`` and ``b`` admissible.

    A rounding or an underflow that is larger than the gap takes the wrong branch, to within the error of that branch:
    the scales are their share of the gap times the difference.
    """
    tie, size = undecided(gap)[:, None], np.abs(gap.exact)[:, None]
    (a_low, a_high), (b_low, b_high) = ends(a), ends(b)
    jump = np.abs(a.exact - b.exact)
    jump = np.where(np.isnan(jump), 0.0, jump) + np.fmin(b.reference, b.absolute)
    wrong = weighed(jump, doubt((gap.reference + gap.accumulation)[:, None] / size))
    lost = weighed(jump, np.nan_to_num(np.broadcast_to(gap.underflow, gap.exact.shape)[:, None] / size))
    return replace(
        a,
        reference=np.where(tie, np.maximum(a.reference, b.reference), a.reference) + wrong,
        underflow=np.fmin(a.underflow + lost, LARGEST),
        interval=(np.where(tie, np.minimum(a_low, b_low), a_low), np.where(tie, np.maximum(a_high, b_high), a_high)),
    )


def stilled(a: Output) -> Output:
    """The zero function."""
    zero = np.zeros(())
    return replace(a, exact=zero, reference=zero, accumulation=zero, underflow=zero, interval=None)


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
