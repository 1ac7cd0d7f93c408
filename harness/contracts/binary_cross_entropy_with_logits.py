"""Binary cross-entropy on logits."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract
from harness.contracts.errors import NO_KERNEL, ones, refused, unknown_reduction
from harness.deviations import Points
from harness.domain import Arg, Real, SoftLabel, Weight
from harness.laws import Law, Moved, Sibling, non_negative
from harness.special import ErrorInput, Special, table
from harness.ulp import round_to
from reference.binary import binary_cross_entropy_with_logits
from reference.mp import elementwise

INFINITE_LOGIT = ("outside", "the loss of an infinite logit depends on the form of the formula")
NO_PROBABILITY = ("outside", "not a probability")
NO_RATIO = ("outside", "the ratio of two numbers of examples is finite")


def _mirror(at: Points) -> Moved:
    flipped = 1.0 - at["target"]
    exact = round_to(at.precision, flipped) == flipped
    args = {**at.args, "input": -at["input"], "target": np.where(exact, flipped, at["target"])}
    applies = exact & (1.0 - flipped == at["target"]) & ("pos_weight" not in at.args)
    return Moved(args=args, parameters=at.parameters, applies=applies)


def _weighing_positives(at: Points) -> Moved:
    args = {**at.args, "weight": at["pos_weight"] * np.ones_like(at["input"])}
    args.pop("pos_weight", None)
    applies = (at["target"] == 1.0) & ("pos_weight" in at.args) & ("weight" not in at.args)
    return Moved(args=args, parameters=at.parameters, applies=applies)


def _as_two_classes(at: Points) -> Moved:
    y = at["target"]
    args = {"input": at["input"], "target": np.where(y == 1.0, 1.0, 0.0)}
    applies = ((y == 0.0) | (y == 1.0)) & ("weight" not in at.args) & ("pos_weight" not in at.args)
    return Moved(args=args, parameters={}, applies=np.asarray(applies))


SIZE = ("ValueError", "must be the same as input size")
ERRORS = (
    refused("target of another shape", ones((3, 2), 2), *SIZE),
    refused("target that would broadcast", ones(3, (3, 1)), *SIZE),
    refused("weight that does not broadcast", ones(3, 3, 2), "RuntimeError", "must match the size"),
    ErrorInput(
        name="pos_weight that does not broadcast",
        call=lambda torch, loss: loss(torch.ones(3, 2), torch.ones(3, 2), pos_weight=torch.ones(3)),
        raises=("RuntimeError",),
        match="must match the size",
    ),
    refused(
        "integer labels",
        lambda torch: (torch.ones(3), torch.ones(3, dtype=torch.int64)),
        "RuntimeError",
        "can't be cast to the desired output type Long",
    ),
    refused("integer logits", ones(3, 3, dtype="int64"), *NO_KERNEL),
    unknown_reduction(ones(3, 3)),
)

CONTRACT = Contract(
    name="binary_cross_entropy_with_logits",
    module="BCEWithLogitsLoss",
    summary="Negative log-likelihood of a Bernoulli label under the sigmoid of a logit.",
    formula="weight * [pos_weight * y * softplus(-x) + (1 - y) * softplus(x)]",
    sources=("torch.nn.BCEWithLogitsLoss",),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=SoftLabel(), role="target"),
        Arg(
            name="weight",
            kind=Weight(),
            role="weight",
            optional=True,
            differentiable=False,
            broadcasts=("(N, 1)", "(1, C)", "(C,)", "(1,)"),
        ),
        Arg(
            name="pos_weight",
            kind=Weight(),
            role="weight",
            optional=True,
            differentiable=False,
            broadcasts=("(1, C)", "(C,)", "(1,)"),
        ),
    ),
    oracle=binary_cross_entropy_with_logits,
    definition=elementwise.binary_cross_entropy_with_logits,
    scales="B_ref = sum of both non-negative terms; B_abs = weight (1 + abs(x)), of the gradient weight",
    specials=(
        *table("input", {"target": 1.0}, {"+inf": INFINITE_LOGIT, "-inf": INFINITE_LOGIT, "nan": "nan"}),
        *table("input", {"target": 0.0}, {"+inf": INFINITE_LOGIT, "-inf": INFINITE_LOGIT, "nan": "nan"}),
        *table(
            "target",
            {"input": 0.5},
            dict.fromkeys(("+inf", "-inf", "+largest", "-largest", "-subnormal", "-normal"), NO_PROBABILITY)
            | {"nan": "nan"},
        ),
        *table("weight", {"input": 0.5, "target": 1.0}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        *table("pos_weight", {"input": 0.5, "target": 1.0}, {"+inf": NO_RATIO, "-inf": NO_RATIO, "nan": "nan"}),
        Special(condition="published: logit 1.5 against 1", args={"input": [1.5], "target": [1.0]}, want=0.2014),
        Special(condition="even odds: log 2", args={"input": [0.0], "target": [0.5]}, want=0.6931),
        Special(condition="wrong by 100: the logit itself", args={"input": [100.0], "target": [0.0]}, want=100.0),
        Special(
            condition="weight=0 beside a wrong row",
            args={"input": [100.0], "target": [0.0], "weight": [0.0]},
            want="0",
        ),
        Special(
            condition="pos_weight=0 of a positive label",
            args={"input": [-2.0], "target": [1.0], "pos_weight": [0.0]},
            want="0",
        ),
        Special(
            condition="published: 100 positives and 300 negatives, pos_weight 3",
            args={"input": [1.5], "target": [1.0], "pos_weight": [3.0]},
            want=0.6042,
        ),
        Special(
            condition="mean of logit 1.5 against 1 and against 0",
            args={"input": [1.5, 1.5], "target": [1.0, 0.0]},
            want=0.9514,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="mirror: x against t as -x against 1 - t",
            move=_mirror,
            gradients={"input": ("input", -1.0), "target": ("target", -1.0)},
        ),
        Law(
            name="pos_weight of a positive label is its weight",
            move=_weighing_positives,
            gradients={"input": ("input", 1.0)},
        ),
        non_negative(),
        Sibling(
            name="is cross_entropy of the two logits 0 and x",
            move=_as_two_classes,
            loss=lambda torch: (
                lambda input, target: torch.nn.functional.cross_entropy(
                    torch.stack([torch.zeros_like(input), input], dim=-1), target.long(), reduction="none"
                )
            ),
            real=("input", "target"),
        ),
    ),
    errors=ERRORS,
)
