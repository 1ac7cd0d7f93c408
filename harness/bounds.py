"""The ladder of grades: constants, bounds and names, of outputs whose truth and scales are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.ulp import FLOAT32, FLOAT64, Array, Precision, distance
from reference.truth import Output

GRADES = ("few-ulp", "reference", "mixed-stable", "absolute-only", "unstable")
FEW_ULP, REFERENCE, MIXED_STABLE, ABSOLUTE_ONLY, UNSTABLE = range(5)
RANGES = ("", "vanished", "overflow", "nan", "wrong-inf", "finite-for-inf", "finite-for-nan", "partial-range")
IN_RANGE, VANISHED, OVERFLOW, NAN, WRONG_INF, FINITE_FOR_INF, FINITE_FOR_NAN, PARTIAL = range(8)

VALUE_CONSTANT = 16.0
GRADIENT_CONSTANT = 32.0
"""One C for all losses: separated sound from unsound implementations by three to four orders of magnitude."""
JOINT_STEPS = 8
"""Ordinals by which all inputs move together to see the other side of a kink."""
DEFAULT_ORACLE_ULP = 4.0
"""Granted to an oracle without a certificate, in ulp of float64 at its running-error scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Largest admissible errors of the grades, per entry; each includes the one before."""

    few: Array
    reference: Array
    mixed: Array
    absolute: Array


def depth(n: int) -> float:
    """Summation depth of a pairwise or cascade sum of n terms: about log2(n) + 4."""
    return float(np.ceil(np.log2(max(n, 1)))) + 4.0


def accumulator(precision: Precision) -> Precision:
    """The dtype in which torch accumulates: float32 for the 16-bit dtypes."""
    return FLOAT32 if precision.bits == 16 else precision


def astray(truth: Output, precision: Precision, constant: float) -> Array:
    """What the choices of an output add to its error where a rounding or an underflow decides them."""
    u, eta = precision.u, precision.smallest_subnormal
    costs = [np.fmin(constant * (u * a.rounding + eta * a.underflow), a.jump) for a in truth.astray]
    return np.sum(costs, axis=0) if costs else np.zeros(())


def bounds(
    truth: Output, precision: Precision, constant: float, conditioning: Array | float, terms: int, oracle_ulp: float
) -> Bounds:
    """The grades' bounds; ``conditioning`` is already in units of the output (u included)."""
    p = precision
    eta = p.smallest_subnormal
    with np.errstate(all="ignore"):
        own = oracle_ulp * 2 * FLOAT64.u * (truth.reference + truth.accumulation)
        few = constant * (p.u * np.abs(truth.exact) + eta) + own
        reference = np.maximum(
            few,
            constant
            * (p.u * truth.reference + accumulator(p).u * depth(terms) * truth.accumulation + eta * truth.underflow)
            + astray(truth, p, constant)
            + own,
        )
        mixed = reference + constant * conditioning
        absolute = mixed + constant * p.u * truth.absolute
    parts = [np.where(np.isnan(b), 0.0, b) for b in np.broadcast_arrays(few, reference, mixed, absolute)]
    return Bounds(few=parts[0], reference=parts[1], mixed=parts[2], absolute=parts[3])


def interval_error(got: Array, truth: Output) -> Array:
    """Distance to the truth, or to the nearest admissible entry at a kink."""
    if truth.interval is None:
        return distance(got, truth.exact)
    low, high = truth.interval
    inside = (got >= low) & (got <= high)
    return np.where(
        inside, 0.0, np.minimum(distance(got, truth.exact), np.minimum(distance(got, low), distance(got, high)))
    )


def severity(grade: int, range_: int) -> str:
    """``defect``, ``weakness`` or empty, of one entry."""
    if range_ == PARTIAL or (range_ == VANISHED and grade < UNSTABLE):
        return "weakness"
    if range_ or grade == UNSTABLE:
        return "defect"
    return "weakness" if grade == ABSOLUTE_ONLY else ""


def kind_of(grade: int, range_: int) -> str:
    """The name of what is wrong with one entry."""
    return RANGES[range_] if range_ else GRADES[grade]
