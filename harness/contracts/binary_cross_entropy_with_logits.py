"""Binary cross-entropy on logits."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real, SoftLabel, Weight
from harness.laws import Law, Moved, non_negative
from harness.special import Special, table
from harness.ulp import round_to
from reference.binary import binary_cross_entropy_with_logits

INFINITE_LOGIT = ("outside", "the loss of an infinite logit depends on the form of the formula")


def _mirror(at: Points) -> Moved:
    flipped = 1.0 - at["target"]
    exact = round_to(at.precision, flipped) == flipped
    args = {**at.args, "input": -at["input"], "target": np.where(exact, flipped, at["target"])}
    applies = exact & (1.0 - flipped == at["target"]) & ("pos_weight" not in at.args)
    return Moved(args=args, parameters=at.parameters, applies=applies)


CONTRACT = Contract(
    name="binary_cross_entropy_with_logits",
    module="BCEWithLogitsLoss",
    summary="Negative log-likelihood of a Bernoulli label under the sigmoid of a logit.",
    formula="weight * [pos_weight * y * softplus(-x) + (1 - y) * softplus(x)]",
    sources=("torch.nn.BCEWithLogitsLoss",),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=SoftLabel(), role="target"),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
        Arg(name="pos_weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    oracle=binary_cross_entropy_with_logits,
    scales="B_ref = sum of both non-negative terms; B_abs = weight (1 + abs(x)), of the gradient weight",
    specials=(
        *table("input", {"target": 1.0}, {"+inf": INFINITE_LOGIT, "-inf": INFINITE_LOGIT, "nan": "nan"}),
        *table(
            "target",
            {"input": 0.5},
            {
                "+inf": ("outside", "not a probability"),
                "-inf": ("outside", "not a probability"),
                "nan": "nan",
                "+largest": ("outside", "not a probability"),
                "-largest": ("outside", "not a probability"),
                "-subnormal": ("outside", "not a probability"),
                "-normal": ("outside", "not a probability"),
            },
        ),
        Special(condition="published: logit 1.5 against 1", args={"input": [1.5], "target": [1.0]}, want=0.2014),
    ),
    laws=(
        Law(name="mirror: x against t as -x against 1 - t", move=_mirror, gradients={"input": ("input", -1.0)}),
        non_negative(),
    ),
)
