"""Logistic loss of a margin."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract
from harness.contracts.errors import integers, of_one_shape
from harness.deviations import Points
from harness.domain import Arg, Real, Sign
from harness.laws import Law, Moved, Sibling, everywhere, non_negative
from harness.special import Special, table
from harness.ulp import round_to
from reference.binary import soft_margin_loss
from reference.mp import elementwise

NO_LABEL = ("outside", "a label is -1 or 1")


def _mirror(at: Points) -> Moved:
    args = {"input": -at["input"], "target": -at["target"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _as_logit(at: Points) -> Moved:
    args = {"input": at["input"], "target": np.where(at["target"] > 0.0, 1.0, 0.0)}
    return Moved(args=args, parameters={}, applies=everywhere(at))


def _as_margin(at: Points) -> Moved:
    margin = round_to(at.precision, at["input"] * at["target"])
    return Moved(args={"input": margin}, parameters={}, applies=everywhere(at))


CONTRACT = Contract(
    name="soft_margin_loss",
    module="SoftMarginLoss",
    summary="Logistic loss of the margin of a label -1 or 1.",
    formula="log(1 + exp(-target * input))",
    sources=("torch.nn.SoftMarginLoss",),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Sign(), role="target", differentiable=False),
    ),
    oracle=soft_margin_loss,
    definition=elementwise.soft_margin_loss,
    scales="B_ref = abs(f), the form max(-yx, 0) + log1p(exp(-abs(yx))); B_abs = 1 + abs(yx), of the gradient abs(y)",
    specials=(
        *table("input", {"target": 1.0}, {"+inf": "0", "-inf": "+inf", "nan": "nan"}),
        *table("input", {"target": -1.0}, {"+inf": "+inf", "-inf": "0", "nan": "nan"}),
        *table(
            "target",
            {"input": 0.5},
            dict.fromkeys(("+0", "-0", "+subnormal", "-subnormal", "+normal", "-normal"), NO_LABEL)
            | dict.fromkeys(("+largest", "-largest", "+inf", "-inf"), NO_LABEL)
            | {"nan": "nan"},
        ),
        Special(condition="no margin: log 2", args={"input": [0.0], "target": [1.0]}, want=0.6931),
        Special(condition="wrong by 100: the margin itself", args={"input": [-100.0], "target": [1.0]}, want=100.0),
        Special(condition="right by 1", args={"input": [1.0], "target": [1.0]}, want=0.3133),
        Special(
            condition="mean of two labels",
            args={"input": [1.0, 1.0], "target": [1.0, -1.0]},
            want=0.8133,
            reduction="mean",
        ),
    ),
    laws=(
        Law(name="mirror: x against y as -x against -y", move=_mirror, gradients={"input": ("input", -1.0)}),
        non_negative(),
        Sibling(
            name="is -logsigmoid of the margin",
            move=_as_margin,
            loss=lambda torch: lambda **k: -torch.nn.functional.logsigmoid(k["input"]),
            real=("input",),
        ),
        Sibling(
            name="is binary_cross_entropy_with_logits with labels 0 and 1",
            move=_as_logit,
            loss=lambda torch: lambda **k: torch.nn.functional.binary_cross_entropy_with_logits(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    errors=(*of_one_shape(), integers("RuntimeError", "can't be cast to the desired output type Long")),
)
