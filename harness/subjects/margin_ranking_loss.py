"""torch's margin_ranking_loss: (-target * (input1 - input2) + margin).clamp_min(0), step by step in the dtype."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.contracts.margin_ranking_loss import CONTRACT
from harness.deviations import FINITE, NAN, Fault, Points, Witness
from harness.subjects.builtin import builtin
from harness.ulp import round_to


def _ordered_beyond_range(at: Points) -> npt.NDArray[np.bool_]:
    """The gradient of the clamp is 0, and 0 times the infinite difference is nan."""
    difference = round_to(at.precision, at["input1"] - at["input2"])
    return np.asarray(np.isinf(difference) & (np.sign(difference) == at["target"]), np.bool_)


def _no_number(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isnan(at["input1"] - at["input2"]), np.bool_)


FAULTS = (
    Fault(
        name="the gradient of the target is nan where the difference overflows",
        where="input1 - input2 is infinite in the dtype and has the sign of the target, so that the loss is 0",
        region=_ordered_beyond_range,
        outputs=("target",),
        seen=NAN,
        witnesses=(
            Witness(args={"input1": [2.0**127], "input2": [-(2.0**127)], "target": [1.0]}),
            Witness(args={"input1": [-32768.0], "input2": [32768.0], "target": [-1.0]}, dtype="float16"),
        ),
    ),
    Fault(
        name="the gradient of the scores is 0 where the loss is nan",
        where="input1 - input2 is nan: the backward of the clamp compares with nan and lets nothing through",
        region=_no_number,
        outputs=("input1", "input2"),
        seen=FINITE,
        witnesses=(Witness(args={"input1": [math.nan], "input2": [0.0], "target": [1.0]}),),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
