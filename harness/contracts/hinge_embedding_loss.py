"""Hinge embedding loss of a distance and a label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.errors import of_one_shape
from harness.deviations import Points
from harness.domain import Arg, Real, Sign
from harness.laws import Moved, Vanishing, non_negative, scaled
from harness.special import SPECIAL_VALUES, Special, table
from harness.ulp import round_to
from reference.binary import hinge_embedding_loss
from reference.mp import elementwise

NEAR = 1e-3


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray((at["target"] == -1.0) & (np.abs(at["input"] - at["margin"]) < NEAR), np.bool_)


def _beyond(at: Points) -> Moved:
    """The distance doubled and a margin away: not below the margin, rounding included."""
    far = round_to(at.precision, np.minimum(2.0 * (np.abs(at["input"]) + abs(at["margin"])), at.precision.largest))
    return Moved(args={**at.args, "input": far}, parameters=at.parameters, applies=at["target"] == -1.0)


CONTRACT = Contract(
    name="hinge_embedding_loss",
    module="HingeEmbeddingLoss",
    summary="A distance where the label is 1, what it lacks to the margin where the label is -1.",
    formula="x where y = 1; max(0, margin - x) where y = -1",
    sources=("torch.nn.HingeEmbeddingLoss",),
    args=(
        Arg(name="input", kind=Real(edges=(0.3, 1.0, 2.5))),
        Arg(name="target", kind=Sign(), role="target", differentiable=False),
    ),
    parameters=(Parameter(name="margin", values=(1.0, 0.3, 0.0, 2.5)),),
    oracle=hinge_embedding_loss,
    definition=elementwise.hinge_embedding_loss,
    scales="B_ref = abs(f): one subtraction; B_abs = abs(x) + margin where y = -1",
    specials=(
        *table("input", {"target": 1.0}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        *table("input", {"target": -1.0}, {"+inf": "0", "-inf": "+inf", "nan": "nan"}),
        *table(
            "target",
            {"input": 0.5},
            dict.fromkeys(SPECIAL_VALUES, ("outside", "labels are 1 and -1")),
        ),
        Special(condition="input at the margin, label -1", args={"input": [1.0], "target": [-1.0]}, want="0"),
        Special(condition="input 0.25, label -1", args={"input": [0.25], "target": [-1.0]}, want=0.75),
        Special(
            condition="mean of label 1 at 2 and label -1 at 0.5",
            args={"input": [2.0, 0.5], "target": [1.0, -1.0]},
            want=1.25,
            reduction="mean",
        ),
    ),
    laws=(
        Vanishing(name="0 beyond the margin where the label is -1", move=_beyond),
        non_negative(lambda at: np.asarray(at["target"] == -1.0, np.bool_), "never below 0 where the label is -1"),
        scaled(("input",), 3, 1, where=lambda at: np.asarray(at["target"] == 1.0, np.bool_)),
    ),
    errors=of_one_shape(),
    near_kink=_near_kink,
)
