"""torch's kl_div: xlogy(target, target) - target * input, with log_target exp(target) * (target - input)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contracts.kl_div import CONTRACT, LOG_TARGET
from harness.deviations import NAN, Fault, Points, Witness
from harness.subjects.builtin import builtin

Mask = npt.NDArray[np.bool_]
NEVER = float("-inf")


def _both_impossible(at: Points) -> Mask:
    return np.asarray((at["target"] == 0.0) & np.isneginf(at["input"]), np.bool_)


def _impossible(at: Points) -> Mask:
    return np.asarray((at["target"] == 0.0) & ~np.isnan(at["input"]), np.bool_)


def _log_impossible(at: Points) -> Mask:
    return np.asarray(np.isneginf(at["target"]) & ~np.isnan(at["input"]), np.bool_)


FAULTS = (
    Fault(
        name="0 times inf where prediction and target are both impossible",
        where="target = 0 and input = -inf: the loss is 0, target * input is nan",
        region=_both_impossible,
        outputs=("value",),
        seen=NAN,
        witnesses=(Witness(args={"input": [NEVER], "target": [0.0]}),),
    ),
    Fault(
        name="the gradient of the target is nan at 0",
        where="target = 0: the derivative of xlogy in its second argument is 0 / 0, the truth is -inf",
        region=_impossible,
        outputs=("target",),
        seen=NAN,
        witnesses=(Witness(args={"input": [-1.0], "target": [0.0]}),),
        versions=">=1.13",
        upstream="https://github.com/pytorch/pytorch/issues/89558",
    ),
)
LOG_FAULTS = (
    Fault(
        name="0 times inf where the target is impossible",
        where="target = -inf: the loss is 0, exp(target) * (target - input) is nan",
        region=_log_impossible,
        outputs=("value", "target"),
        seen=NAN,
        witnesses=(
            Witness(args={"input": [-1.0], "target": [NEVER]}),
            Witness(args={"input": [NEVER], "target": [NEVER]}),
        ),
    ),
)

SUBJECTS = (
    *builtin(CONTRACT, faults=FAULTS),
    *builtin(LOG_TARGET, function="kl_div", faults=LOG_FAULTS),
)
