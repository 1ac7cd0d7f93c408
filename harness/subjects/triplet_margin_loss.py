"""torch's triplet_margin_loss."""

from collections.abc import Iterator

import numpy as np

from harness.contracts.triplet_margin_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Mask, Points, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.pairwise_distance import powers_leave, sum_leaves
from harness.ulp import Array
from reference.embedding import pairwise_distance
from reference.truth import Output

PAIRS = (("anchor", "positive"), ("anchor", "negative"), ("positive", "negative"))
OUTPUTS = ("value", "anchor", "positive", "negative")


def measured(points: Points) -> Iterator[tuple[Array, Array]]:
    """Every distance that is taken, with its difference."""
    p, eps = float(points.parameters.get("p", 2.0)), float(points.parameters.get("eps", 1e-6))
    for x, y in PAIRS if points["swap"] else PAIRS[:2]:
        norm = pairwise_distance(points[x], points[y], p=p, eps=eps).value.exact
        yield norm, np.asarray(points[x], np.float64) - points[y] + eps


def distance_overflows(points: Points) -> Mask:
    """An infinite distance gives an infinite loss, two of them give nan; the largest numbers may round to either."""
    near, _ = next(measured(points))
    return np.asarray((near + points["margin"] > points.precision.largest) & (points.truth.value.exact < points.precision.largest))


def sum_of_powers(points: Points) -> Mask:
    p = float(points.parameters.get("p", 2.0))
    return np.any([sum_leaves(norm, p, points.precision) for norm, _ in measured(points)], axis=0)


def powers_apart(points: Points) -> Mask:
    p = float(points.parameters.get("p", 2.0))
    return np.any([powers_leave(norm, d, p, points.precision) for norm, d in measured(points)], axis=0)


def _missing(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    if got.ndim == 1:
        return PARTIAL.holds(got, truth, points, bound)
    return np.asarray(~np.isfinite(got) | (np.abs(got) <= 2.0 * (1.0 + 32.0 * points.precision.u)), np.bool_)


MISSING = Seen(
    text="value: inf, nan, 0 or lost digits; gradient: inf, nan, or no more than the slopes of two distances",
    holds=_missing,
    exact=False,
)
OVERFLOW = Fault(
    name="a distance overflows",
    where="the distance from the positive example and the margin beyond the largest number, the loss not",
    region=distance_overflows,
    outputs=OUTPUTS,
    seen=MISSING,
    witnesses=tuple(
        Witness(
            args={"anchor": [[1.5 * 2.0**e]], "positive": [[-1.5 * 2.0**e]], "negative": [[-1.5 * 2.0**e]]},
            parameters={"p": 1.0},
            dtype=dtype,
        )
        for dtype, e in (("float16", 15), ("float32", 127), ("float64", 1023))
    ),
)
POWERS = Fault(
    name="the sum of powers leaves the range",
    where="distance**p beyond the largest or below the smallest normal number",
    region=sum_of_powers,
    outputs=OUTPUTS,
    dtypes=("float64", "float32", "bfloat16"),
    seen=MISSING,
    witnesses=(
        Witness(args={"anchor": [[3e19, 4e19]], "positive": [[0.0, 0.0]], "negative": [[0.0, 0.0]]}),
        Witness(args={"anchor": [[3e199, 4e199]], "positive": [[0.0, 0.0]], "negative": [[0.0, 0.0]]}, dtype="float64"),
    ),
)

SUBJECTS = builtin(
    CONTRACT,
    faults=(
        OVERFLOW,
        POWERS,
        Fault(
            name="the backward takes powers of the norm apart",
            where="p = 3: a distance, its square or the reciprocal of that beyond the largest number",
            region=powers_apart,
            outputs=OUTPUTS[1:],
            dtypes=("float16",),
            seen=MISSING,
            witnesses=(
                Witness(
                    args={"anchor": [[300.0, 400.0]], "positive": [[0.0, 0.0]], "negative": [[0.0, 0.0]]},
                    parameters={"p": 3.0},
                    dtype="float16",
                ),
            ),
        ),
    ),
)
