"""torch's hinge_embedding_loss: where(y != 1, (margin - x).clamp_min(0), 0) + where(y != -1, x, 0)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.contracts.hinge_embedding_loss import CONTRACT
from harness.deviations import FINITE, Fault, Points, Witness
from harness.subjects.builtin import builtin


def _no_number(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isnan(at["input"]) & (at["target"] == -1.0), np.bool_)


FAULTS = (
    Fault(
        name="the gradient is 0 where the loss is nan",
        where="input = nan, target = -1: the backward of the clamp compares with nan and lets nothing through",
        region=_no_number,
        outputs=("input",),
        seen=FINITE,
        witnesses=(Witness(args={"input": [math.nan], "target": [-1.0]}),),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
