"""Binary focal loss on logits, its positives weighed by alpha and its negatives by the rest or by alpha too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Binary, Real
from harness.laws import Law, Moved, Sibling, everywhere, non_negative
from harness.special import SPECIAL_VALUES, Special, table
from harness.ulp import Array
from reference.focal import sigmoid_focal_loss, sigmoid_focal_loss_scalar_alpha
from reference.mp import focal

INFINITE_LOGIT = ("outside", "the loss of an infinite logit depends on the form of the formula")
NO_LABEL = ("outside", "a label is 0 or 1")
GAMMA = Parameter(name="gamma", values=(2.0, 0.0, 1.0, 0.5))


def _mirrored(at: Points, alpha: float) -> Moved:
    args = {"input": -at["input"], "target": 1.0 - at["target"]}
    return Moved(args=args, parameters={**at.parameters, "alpha": alpha}, applies=everywhere(at))


def _unfocused(at: Points, factor: Array | float) -> Moved:
    args = {"input": at["input"], "target": at["target"]}
    applies = everywhere(at) & (at["gamma"] == 0.0)
    return Moved(args=args, parameters={}, applies=applies, factor=1.0 / factor)


def _weighed(at: Points) -> Moved:
    return _unfocused(at, np.where(at["target"] == 1.0, 1.0 / at["alpha"], 1.0 / (1.0 - at["alpha"])))


def _scaled(at: Points) -> Moved:
    return _unfocused(at, 1.0 / at["alpha"])


def _is_cross_entropy(of_labels: str) -> Sibling:
    return Sibling(
        name=f"is {of_labels} binary_cross_entropy_with_logits where gamma = 0",
        move=_weighed if of_labels == "alpha_t" else _scaled,
        needs=("gamma",),
        loss=lambda torch: lambda **k: torch.nn.functional.binary_cross_entropy_with_logits(**k, reduction="none"),
        real=("input", "target"),
    )


TABLES = (
    *table("input", {"target": 1.0}, {"+inf": INFINITE_LOGIT, "-inf": INFINITE_LOGIT, "nan": "nan"}),
    *table("input", {"target": 0.0}, {"+inf": INFINITE_LOGIT, "-inf": INFINITE_LOGIT, "nan": "nan"}),
    *table("target", {"input": 0.5}, dict.fromkeys(SPECIAL_VALUES, NO_LABEL) | {"+0": "formula"}),
)

CONTRACT = Contract(
    name="sigmoid_focal_loss",
    module="SigmoidFocalLoss",
    summary="Binary cross-entropy of a logit times a power of the probability that is missed, alpha for positives.",
    formula="alpha_t (1 - p_t)**gamma softplus(-z); z = (2 y - 1) x, p_t = sigmoid(z), alpha_t = alpha or 1 - alpha",
    sources=(
        "Lin et al., Focal Loss for Dense Object Detection (2017), equation 5",
        "torchvision.ops.sigmoid_focal_loss (alpha from 0 to 1)",
    ),
    args=(
        Arg(name="input", kind=Real(edges=(-40.0, 300.0))),
        Arg(name="target", kind=Binary(), role="target", differentiable=False),
    ),
    parameters=(Parameter(name="alpha", values=(0.25, 0.75)), GAMMA),
    oracle=sigmoid_focal_loss,
    definition=focal.sigmoid_focal_loss,
    scales="B_ref = (1 + gamma) abs(f): 1 - p_t = sigmoid(-z) to a power; B_abs = alpha_t (1 + abs(x)), of the "
    "gradient alpha_t (1 + gamma)",
    specials=(
        *TABLES,
        Special(condition="even odds of a positive: log(2) / 16", args={"input": [0.0], "target": [1.0]}, want=0.0433),
        Special(condition="even odds of a negative", args={"input": [0.0], "target": [0.0]}, want=0.13),
        Special(
            condition="published: even odds of both labels at alpha 0.75",
            args={"input": [0.0, 0.0], "target": [1.0, 0.0]},
            parameters={"alpha": 0.75},
            want=0.0866,
            reduction="mean",
        ),
        Special(condition="wrong by 100: 0.75 of the logit", args={"input": [100.0], "target": [0.0]}, want=75.0),
        Special(
            condition="gamma 0.5: right by 4",
            args={"input": [4.0], "target": [1.0]},
            parameters={"gamma": 0.5},
            want=0.000609,
        ),
    ),
    laws=(
        Law(
            name="mirror: x against y as -x against 1 - y at 1 - alpha",
            move=lambda at: _mirrored(at, 1.0 - at["alpha"]),
            needs=("alpha",),
            gradients={"input": ("input", -1.0)},
        ),
        non_negative(),
        _is_cross_entropy("alpha_t"),
    ),
)

SCALAR_ALPHA = replace(
    CONTRACT,
    name="sigmoid_focal_loss_scalar_alpha",
    module="BinaryFocalLossWithLogits",
    summary="Binary cross-entropy of a logit times a power of the probability that is missed, alpha for both labels.",
    formula="alpha (1 - p_t)**gamma softplus(-z); z = (2 y - 1) x, p_t = sigmoid(z)",
    sources=("Lin et al., Focal Loss for Dense Object Detection (2017), equation 4, times a number",),
    parameters=(Parameter(name="alpha", values=(1.0, 0.25)), GAMMA),
    oracle=sigmoid_focal_loss_scalar_alpha,
    definition=focal.sigmoid_focal_loss_scalar_alpha,
    scales="B_ref = (1 + gamma) abs(f): 1 - p_t = sigmoid(-z) to a power; B_abs = alpha (1 + abs(x)), of the gradient "
    "alpha (1 + gamma)",
    specials=(
        *TABLES,
        Special(condition="even odds: log(2) / 4", args={"input": [0.0], "target": [1.0]}, want=0.1733),
        Special(condition="wrong by 100: the logit", args={"input": [100.0], "target": [0.0]}, want=100.0),
        Special(
            condition="even odds at alpha 0.25",
            args={"input": [0.0], "target": [0.0]},
            parameters={"alpha": 0.25},
            want=0.0433,
        ),
    ),
    laws=(
        Law(
            name="mirror: x against y as -x against 1 - y",
            move=lambda at: _mirrored(at, at["alpha"]),
            gradients={"input": ("input", -1.0)},
        ),
        non_negative(),
        _is_cross_entropy("alpha times"),
    ),
)
