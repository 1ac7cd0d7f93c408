"""Focal loss of logits against class indices: cross-entropy with easy examples down-weighted."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAWS, LAYOUTS, special_logits
from harness.deviations import Points
from harness.laws import Moved, Sibling
from harness.special import Special
from reference import softmax_family
from reference.mp import softmax_family as definitions


def _plain(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=np.full(len(at["input"]), at["gamma"] == 0.0))


CONTRACT = Contract(
    name="focal_loss",
    module="FocalLoss",
    summary="Cross-entropy times a power of the probability of all other classes.",
    formula="(1 - p_t)**gamma * -log p_t, p = softmax(input)",
    sources=("Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, https://arxiv.org/abs/1708.02002",),
    dims=CLASSES,
    args=ARGS,
    parameters=(Parameter(name="gamma", values=(2.0, 0.0, 0.5)),),
    oracle=softmax_family.focal_loss,
    definition=definitions.focal_loss,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = r**gamma (L error + L) + gamma L r**(gamma - 1) r error, of the log1p form; B_abs = 1 + max abs(x)",
    specials=(
        *special_logits(tied=0.77979057813, confident=9.357835335e-14, hopeless="+inf"),
        Special(
            condition="gamma=0: [1,2,3] against 0",
            args={"input": [[1.0, 2.0, 3.0]], "target": [0]},
            parameters={"gamma": 0.0},
            want=2.4076059644,
        ),
        Special(condition="[1,2,3] against 0", args={"input": [[1.0, 2.0, 3.0]], "target": [0]}, want=1.9936045346),
    ),
    laws=(
        *LAWS,
        Sibling(
            name="is cross_entropy at gamma 0",
            move=_plain,
            loss=lambda torch: lambda **given: torch.nn.functional.cross_entropy(**given, reduction="none"),
        ),
    ),
)
