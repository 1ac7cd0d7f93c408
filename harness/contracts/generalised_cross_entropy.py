"""Generalised cross-entropy: from cross-entropy, as q tends to 0, to the mean absolute error, at 1."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAWS, LAYOUTS, special_logits
from harness.special import Special
from reference import softmax_family
from reference.mp import softmax_family as definitions

CONTRACT = Contract(
    name="generalised_cross_entropy",
    module="GeneralizedCrossEntropyLoss",
    summary="Box-Cox transform of the probability of the target.",
    formula="(1 - p_t**q) / q, p = softmax(input)",
    sources=(
        "Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels (2018)",
        "https://arxiv.org/abs/1805.07836",
    ),
    dims=CLASSES,
    args=ARGS,
    parameters=(Parameter(name="q", values=(0.7, 0.3, 1.0)),),
    oracle=softmax_family.generalised_cross_entropy,
    definition=definitions.generalised_cross_entropy,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = abs(f) + p_t**q * (error of L), as -expm1(-q L) / q; B_abs = 1 + 1 / q, of gradients 2",
    specials=(
        *special_logits(tied=0.8872440833891, confident=4.540023884804e-05, hopeless=1.4285714285714286),
        Special(
            condition="q=1: the mean absolute error, up to a factor",
            args={"input": [[7.0] * 4], "target": [2]},
            parameters={"q": 1.0},
            want=0.75,
        ),
    ),
    laws=(*LAWS,),
)
