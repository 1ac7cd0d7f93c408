"""Hinge loss of a margin, and its square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real, Sign
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative
from harness.special import SPECIAL_VALUES, Special, table
from harness.ulp import round_to
from reference.hinges import hinge_loss, squared_hinge_loss
from reference.mp import robust

NEAR = 1e-3
NO_LABEL = ("outside", "a label is -1 or 1")


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(at["input"] * at["target"] - 1.0) < NEAR, np.bool_)


def _mirror(at: Points) -> Moved:
    args = {"input": -at["input"], "target": -at["target"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _right(at: Points) -> Moved:
    """A score on the side of its label, 1 or more away from 0."""
    far = round_to(at.precision, at["target"] * np.maximum(np.abs(at["input"]), 1.0))
    return Moved(args={**at.args, "input": far}, parameters=at.parameters, applies=everywhere(at))


def _as_distance(at: Points) -> Moved:
    """The margin as the distance of a pair of different things."""
    args = {"input": at["input"] * at["target"], "target": np.full_like(at["target"], -1.0)}
    return Moved(args=args, parameters={"margin": 1.0}, applies=everywhere(at))


MIRROR = Law(name="mirror: x against y as -x against -y", move=_mirror, gradients={"input": ("input", -1.0)})
RIGHT = Vanishing(name="0 from a margin of 1 on", move=_right)
TABLES = (
    *table("input", {"target": 1.0}, {"+inf": "0", "-inf": "+inf", "nan": "nan"}),
    *table("input", {"target": -1.0}, {"+inf": "+inf", "-inf": "0", "nan": "nan"}),
    *table("target", {"input": 0.5}, dict.fromkeys(SPECIAL_VALUES, NO_LABEL)),
    Special(condition="a margin of 1", args={"input": [-1.0], "target": [-1.0]}, want="0"),
    Special(condition="no margin", args={"input": [0.0], "target": [1.0]}, want=1.0),
)

CONTRACT = Contract(
    name="hinge_loss",
    module="HingeLoss",
    summary="What the margin of a label -1 or 1 lacks to 1.",
    formula="max(0, 1 - target * input)",
    sources=("Cortes and Vapnik, Support-Vector Networks, Machine Learning 20 (1995)", "sklearn.metrics.hinge_loss"),
    args=(Arg(name="input", kind=Real()), Arg(name="target", kind=Sign(), role="target", differentiable=False)),
    oracle=hinge_loss,
    definition=robust.hinge_loss,
    scales="B_ref = abs(f): one subtraction from an exact product; B_abs = 1 + abs(x), of the gradient 1",
    specials=(
        *TABLES,
        Special(condition="wrong by 1.5", args={"input": [1.5], "target": [-1.0]}, want=2.5),
        Special(
            condition="sklearn.metrics.hinge_loss: mean of three decisions",
            args={"input": [-2.18, 2.36, 0.09], "target": [-1.0, 1.0, 1.0]},
            want=0.303,
            reduction="mean",
        ),
    ),
    laws=(
        MIRROR,
        RIGHT,
        non_negative(),
        Sibling(
            name="is hinge_embedding_loss of the margin against the label -1",
            move=_as_distance,
            loss=lambda torch: lambda **k: torch.nn.functional.hinge_embedding_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    near_kink=_near_kink,
)

SQUARED = replace(
    CONTRACT,
    name="squared_hinge_loss",
    module="SquaredHingeLoss",
    summary="Square of what the margin of a label -1 or 1 lacks to 1.",
    formula="max(0, 1 - target * input)**2",
    sources=(
        "Chapelle, Training a Support Vector Machine in the Primal, Neural Computation 19 (2007)",
        "sklearn.svm.LinearSVC (squared_hinge)",
    ),
    oracle=squared_hinge_loss,
    definition=robust.squared_hinge_loss,
    scales="B_ref = abs(f): a subtraction, then a product; B_abs = (1 + abs(x))**2, of the gradient 2 (1 + abs(x))",
    specials=(
        *TABLES,
        Special(condition="wrong by 1.5", args={"input": [1.5], "target": [-1.0]}, want=6.25),
        Special(
            condition="mean of three decisions",
            args={"input": [-2.0, 2.0, 0.25], "target": [-1.0, 1.0, 1.0]},
            want=0.1875,
            reduction="mean",
        ),
    ),
    laws=(MIRROR, RIGHT, non_negative()),
)
