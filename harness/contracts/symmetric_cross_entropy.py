"""Symmetric cross-entropy: cross-entropy, and the same with prediction and label exchanged."""

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
    plain = at["alpha"] == 1.0 and at["beta"] == 0.0
    return Moved(args=at.args, parameters={}, applies=np.full(len(at["input"]), plain))


CONTRACT = Contract(
    name="symmetric_cross_entropy",
    module="SymmetricCrossEntropyLoss",
    summary="Weighted sum of cross-entropy and reverse cross-entropy.",
    formula="alpha * -log p_t + beta * -log_zero * (1 - p_t), p = softmax(input)",
    sources=(
        "Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, ICCV 2019, https://arxiv.org/abs/1908.06112",
    ),
    dims=CLASSES,
    args=ARGS,
    parameters=(
        Parameter(name="alpha", values=(0.1, 1.0, 6.0)),
        Parameter(name="beta", values=(1.0, 0.0, 0.1)),
        Parameter(name="log_zero", values=(-4.0, -6.0)),
    ),
    oracle=softmax_family.symmetric_cross_entropy,
    definition=definitions.symmetric_cross_entropy,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = alpha * (error of L) - log_zero beta * (error of 1 - p_t); "
    "B_abs = alpha * (1 + max abs(x)) - log_zero beta",
    specials=(
        *special_logits(tied=3.138629436112, confident=0.0001861398147033, hopeless="+inf"),
        Special(
            condition="alpha=1: [1,2,3] against 0",
            args={"input": [[1.0, 2.0, 3.0]], "target": [0]},
            parameters={"alpha": 1.0},
            want=6.04748367176,
        ),
    ),
    laws=(
        *LAWS,
        Sibling(
            name="is cross_entropy at alpha 1 and beta 0",
            move=_plain,
            loss=lambda torch: lambda **given: torch.nn.functional.cross_entropy(**given, reduction="none"),
        ),
    ),
)
