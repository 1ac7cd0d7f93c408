"""Margin ranking loss of two scores and the order they should have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.errors import of_one_shape, ones, refused
from harness.deviations import Points
from harness.domain import Arg, Real, Sign
from harness.laws import Law, Moved, everywhere, non_negative, scaled
from harness.special import SPECIAL_VALUES, Special, table
from reference.binary import margin_ranking_loss
from reference.mp import elementwise

NEAR = 1e-3


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    gap = at["margin"] - at["target"] * (at["input1"] - at["input2"])
    return np.asarray(np.abs(gap) < NEAR, np.bool_)


def _exchanged(at: Points) -> Moved:
    args = {"input1": at["input2"], "input2": at["input1"], "target": -at["target"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _negated(at: Points) -> Moved:
    args = {"input1": -at["input1"], "input2": -at["input2"], "target": -at["target"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


CONTRACT = Contract(
    name="margin_ranking_loss",
    module="MarginRankingLoss",
    summary="What the difference of two scores lacks to the margin, in the order that the label asks for.",
    formula="max(0, margin - y (x1 - x2))",
    sources=("torch.nn.MarginRankingLoss",),
    args=(
        Arg(name="input1", kind=Real()),
        Arg(name="input2", kind=Real()),
        Arg(name="target", kind=Sign(), role="target"),
    ),
    parameters=(Parameter(name="margin", values=(0.0, 0.3, 1.0, 1000.0)),),
    oracle=margin_ranking_loss,
    definition=elementwise.margin_ranking_loss,
    scales="B_ref = abs(f): the gap without cancellation; B_abs = margin + abs(x1) + abs(x2)",
    specials=(
        *table("input1", {"input2": 0.0, "target": 1.0}, {"+inf": "0", "-inf": "+inf", "nan": "nan"}),
        *table("input1", {"input2": 0.0, "target": -1.0}, {"+inf": "+inf", "-inf": "0", "nan": "nan"}),
        *table("input2", {"input1": 0.0, "target": 1.0}, {"+inf": "+inf", "-inf": "0", "nan": "nan"}),
        *table(
            "target",
            {"input1": 0.5, "input2": 0.25},
            dict.fromkeys(SPECIAL_VALUES, ("outside", "labels are 1 and -1")),
        ),
        Special(condition="tied scores, no margin", args={"input1": [2.0], "input2": [2.0], "target": [1.0]}, want="0"),
        Special(
            condition="tied scores cost the margin",
            args={"input1": [2.0], "input2": [2.0], "target": [-1.0]},
            parameters={"margin": 1.0},
            want=1.0,
        ),
        Special(
            condition="input1=input2=+inf", args={"input1": ["+inf"], "input2": ["+inf"], "target": [1.0]}, want="nan"
        ),
        Special(
            condition="mean of a pair in order and one out of it by 2",
            args={"input1": [3.0, 1.0], "input2": [1.0, 3.0], "target": [1.0, 1.0]},
            want=1.0,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="exchanging the scores and negating the label changes nothing",
            move=_exchanged,
            gradients={"input1": ("input2", 1.0), "input2": ("input1", 1.0), "target": ("target", -1.0)},
        ),
        Law(
            name="negating scores and label changes nothing",
            move=_negated,
            gradients={"input1": ("input1", -1.0), "input2": ("input2", -1.0), "target": ("target", -1.0)},
        ),
        non_negative(),
        scaled(("input1", "input2"), 3, 1, where=lambda at: everywhere(at) & (at["margin"] == 0.0)),
    ),
    errors=(
        *of_one_shape(arguments=3),
        refused("tensors of different dimensions", ones(3, (3, 1), 3), "RuntimeError", "should have same dimension"),
    ),
    near_kink=_near_kink,
)
