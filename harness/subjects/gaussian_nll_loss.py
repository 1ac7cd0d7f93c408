"""torch's gaussian_nll_loss: 0.5 * (log(m) + d**2 / m), d = input - target, m = var.clamp(min=eps).

What autograd makes of it: 0.5 / m * (2 d) and 0.5 / m - 0.5 * (d**2 / m) / m, step by step in the dtype under test.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contracts.gaussian_nll_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Points, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import difference, part_overflows
from harness.ulp import Array, round_to


def _clamped(at: Points) -> Array:
    return round_to(at.precision, np.maximum(at["var"], at["eps"]))


def _quotient(at: Points) -> tuple[Array, ...]:
    square = round_to(at.precision, difference(at) ** 2)
    return square, round_to(at.precision, square / _clamped(at))


def _factors(at: Points) -> tuple[Array, ...]:
    p = at.precision
    return round_to(p, 2.0 * difference(at)), round_to(p, 0.5 / _clamped(at))


def _meeting_infinities(at: Points) -> npt.NDArray[np.bool_]:
    """Where 0.5 / m overflows, and with it the other term: inf - inf, or an overflow that the truth does not share."""
    p, m, truth = at.precision, _clamped(at), at.truth.gradients["var"].exact
    first = round_to(p, 0.5 / m)
    second = round_to(p, 0.5 * round_to(p, _quotient(at)[1] / m))
    got = round_to(p, first - second)
    return np.asarray(np.isfinite(at["var"]) & (np.isnan(got) | np.isinf(got) & (np.abs(truth) <= p.largest)), np.bool_)


FAULTS = (
    Fault(
        name="the square or its quotient overflows before the variance or the half brings it back",
        where="d**2 or d**2 / m exceeds the largest number, the loss not; d = input - target, m = max(var, eps)",
        region=part_overflows("value", _quotient),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**64], "target": [0.0], "var": [2.0**64]}),
            Witness(args={"input": [256.0], "target": [0.0], "var": [1.0]}, dtype="float16"),
        ),
    ),
    Fault(
        name="twice the difference or half the precision overflows before their product",
        where="2 abs(input - target) or 0.5 / max(var, eps) is beyond the largest number, the gradient is not",
        region=part_overflows("input", _factors),
        outputs=("input", "target"),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**127], "target": [0.0], "var": [1.0]}),
            Witness(args={"input": [0.5], "target": [0.5], "var": [0.0]}, dtype="float16"),
        ),
    ),
    Fault(
        name="parts of the gradient of the variance overflow",
        where="d**2, d**2 / m, d**2 / m / m or 0.5 / m exceeds the largest number; d and m as above",
        region=_meeting_infinities,
        outputs=("var",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**64], "target": [0.0], "var": [2.0**64]}),
            Witness(args={"input": [0.0], "target": [0.5], "var": [0.0]}, dtype="float16"),
        ),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
