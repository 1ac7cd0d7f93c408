"""PolyLoss of the first order: cross-entropy with another coefficient of its leading term."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAWS, LAYOUTS, special_logits
from harness.special import Special
from reference import softmax_family
from reference.mp import softmax_family as definitions

CONTRACT = Contract(
    name="poly1_cross_entropy",
    module="Poly1CrossEntropyLoss",
    summary="Cross-entropy plus a multiple of the probability of all other classes.",
    formula="-log p_t + epsilon * (1 - p_t), p = softmax(input)",
    sources=("Leng et al., PolyLoss, ICLR 2022, https://arxiv.org/abs/2204.12511",),
    dims=CLASSES,
    args=ARGS,
    parameters=(Parameter(name="epsilon", values=(1.0, 2.0, -1.0)),),
    oracle=softmax_family.poly1_cross_entropy,
    definition=definitions.poly1_cross_entropy,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = errors of L - r and of (1 + epsilon) r, of the log1p form; B_abs = 1 + max abs(x)",
    specials=(
        *special_logits(tied=2.13629436112, confident=9.080088994583e-05, hopeless="+inf"),
        Special(
            condition="epsilon=-1: tied logits",
            args={"input": [[7.0] * 4], "target": [2]},
            parameters={"epsilon": -1.0},
            want=0.63629436112,
        ),
        Special(
            condition="epsilon=-1: half the square of 1 - p_t of a confident row",
            args={"input": [[0.0, 40.0]], "target": [1]},
            parameters={"epsilon": -1.0},
            want=9.0242569392e-36,
        ),
    ),
    laws=(*LAWS,),
)
