"""torch's binary_cross_entropy.

The gradient is (x - y) / max(x (1 - x), 1e-12), then the weight; 1e-12 is a float32 number, and 0 in float16. The
target gradient is -logit(x), then the weight, and knows no clamp.
"""

from dataclasses import replace

import numpy as np

from harness.contracts.binary_cross_entropy import CONTRACT
from harness.deviations import NAN, PARTIAL, Fault, Mask, Points, Witness, exactly
from harness.subjects.builtin import builtin
from harness.ulp import Array

LEAST = float(np.float32(1e-12))


def _denominator(at: Points) -> Array:
    return np.asarray((1.0 - at["input"]) * at["input"])


def _floored(at: Points) -> Mask:
    missed = (at["input"] != at["target"]) | _perfect(at)
    return np.asarray((_denominator(at) < LEAST) & (at["weight"] != 0.0) & missed)


def _perfect(at: Points) -> Mask:
    """A hard label that is met: the gradient is 1 or -1, x - y and x (1 - x) are 0."""
    x = at["input"]
    return np.asarray((x == at["target"]) & ((x == 0.0) | (x == 1.0)))


def _over_floor(at: Points, output: str) -> Array:
    return np.asarray(at["weight"] * ((at["input"] - at["target"]) / LEAST))


def _negative_zero(at: Points) -> Mask:
    x = at["input"]
    return np.asarray((x == 0.0) & np.signbit(x) & (at["target"] > 0.0) & (at["weight"] != 0.0))


def _opposite(at: Points, output: str) -> Array:
    return -at.truth.outputs()[output].exact


def _quotient_overflows(at: Points) -> Mask:
    """The unweighted gradient overflows, or is infinite, and the gradient is neither."""
    wanted = at.truth.gradients["input"]
    if wanted.partial is None:
        return np.zeros(np.shape(wanted.exact), np.bool_)
    return (wanted.partial[1] > at.precision.largest) & (np.abs(wanted.exact) <= at.precision.largest)


def _ignored_certainty(at: Points) -> Mask:
    x = at["input"]
    return np.asarray(((x == 0.0) | (x == 1.0)) & (at["weight"] == 0.0))


FLOORED = replace(
    exactly("weight * (input - target) / 1e-12", _over_floor, "input"), exact=False
)  # not exact: the departure begins at nothing, where x (1 - x) = 1e-12

FAULTS = (
    Fault(
        name="the gradient has 1e-12 for x (1 - x)",
        where="x (1 - x) < 1e-12: 0 for a true 1, or -1e12 for a true -1 / x",
        region=_floored,
        outputs=("input",),
        dtypes=("float64", "float32", "bfloat16"),
        seen=FLOORED,
        witnesses=(
            Witness(args={"input": [0.0], "target": [0.0]}),
            Witness(args={"input": [1e-19], "target": [0.0]}),
            Witness(args={"input": [1e-19], "target": [1.0]}),
            Witness(args={"input": ["0x1.ffffffffffffep-1"], "target": [1.0]}, dtype="float64"),
            Witness(args={"input": [1.0], "target": [1.0]}, dtype="bfloat16"),
        ),
        upstream="https://github.com/pytorch/pytorch/issues/103316",
    ),
    Fault(
        name="the gradient of a met label is nan in float16",
        where="input = target = 0 or input = target = 1: 1e-12 is 0 in float16, and x - y over it 0 / 0",
        region=_perfect,
        outputs=("input",),
        dtypes=("float16",),
        seen=NAN,
        witnesses=(
            Witness(args={"input": [0.0], "target": [0.0]}, dtype="float16"),
            Witness(args={"input": [1.0], "target": [1.0]}, dtype="float16"),
        ),
    ),
    Fault(
        name="the gradient at -0 points the wrong way in float16",
        where="input = -0 and target > 0: the greater of -0 and 1e-12, which is 0 in float16, is taken as -0",
        region=_negative_zero,
        outputs=("input",),
        dtypes=("float16",),
        seen=exactly("inf for a true -inf", _opposite, "input"),
        witnesses=(Witness(args={"input": [-0.0], "target": [1.0]}, dtype="float16"),),
    ),
    Fault(
        name="the gradient overflows before the weight brings it back in float16",
        where="(x - y) / (x (1 - x)) is beyond the largest number, weight * (x - y) / (x (1 - x)) is not",
        region=_quotient_overflows,
        outputs=("input",),
        dtypes=("float16",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**-17], "target": [1.0], "weight": [0.25]}, dtype="float16"),
            Witness(args={"input": [0.0], "target": [1.0], "weight": [0.0]}, dtype="float16"),
        ),
    ),
    Fault(
        name="the target gradient is not clamped: nan at weight 0",
        where="input = 0 or input = 1 with weight = 0: the infinite -logit(x) times 0",
        region=_ignored_certainty,
        outputs=("target",),
        seen=NAN,
        witnesses=(
            Witness(args={"input": [0.0], "target": [0.0], "weight": [0.0]}),
            Witness(args={"input": [1.0], "target": [0.0], "weight": [0.0]}),
        ),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
