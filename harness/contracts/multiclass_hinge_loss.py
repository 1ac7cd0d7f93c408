"""Multi-class hinge loss of Weston and Watkins: every other class has a margin to keep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.classes import shifted
from harness.contracts.multi_margin_loss import chosen
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits
from harness.laws import Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from harness.ulp import round_to
from reference import multiclass
from reference.mp import margins

Mask = npt.NDArray[np.bool_]

NEAR = 1e-3


def _near_kink(at: Points) -> Mask:
    """A hinge within NEAR of 0."""
    x = at["input"]
    gap = at["margin"] - x[chosen(at)][:, None] + x
    return np.asarray(((np.abs(gap) < NEAR) & ~chosen(at)).any(axis=1), np.bool_)


def _mean(at: Points) -> Moved:
    """multi_margin_loss divides by the number of classes."""
    classes = float(at["input"].shape[1])
    return Moved(args=at.args, parameters=at.parameters, applies=everywhere(at), factor=classes)


def _won(at: Points) -> Moved:
    x = round_to(at.precision, np.where(chosen(at), 2.0 * abs(at["margin"]), 0.0))
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


def _score(value: str, place: int, wanted: dict[str, str]) -> Special:
    """A score of 0.5, one of ``value`` and one of -1 against the class at ``place``."""
    return Special(
        condition=f"score={value} {'on' if place else 'off'} target",
        args={"input": [[0.5, value, -1.0]], "target": [place]},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


OFF_TARGET = {"+inf": "+inf", "nan": "nan"}
ON_TARGET = {"+inf": "0", "-inf": "+inf", "nan": "nan", "+largest": "0"}

CONTRACT = Contract(
    name="multiclass_hinge_loss",
    module="MultiClassHingeLoss",
    summary="By how much the other classes together come closer than the margin to the score of the target.",
    formula="sum over i != y of max(0, margin + x_i - x_y)",
    sources=("Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, ESANN 1999",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(), role="target"),
    ),
    parameters=(Parameter(name="margin", values=(1.0, 0.3)),),
    oracle=multiclass.multiclass_hinge_loss,
    definition=margins.multiclass_hinge_loss,
    layouts=("rows", "strided"),
    scales="B_ref = the terms with the rounding of x[i] - x[y] in them; B_abs = (C - 1) (margin + max abs(x))",
    specials=(
        *(_score(value, 0, OFF_TARGET) for value in SPECIAL_VALUES),
        *(_score(value, 1, ON_TARGET) for value in SPECIAL_VALUES),
        Special(condition="scores=-inf off target", args={"input": [["-inf", 0.0, "-inf"]], "target": [1]}, want="0"),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(condition="tied scores", args={"input": [[7.0] * 4], "target": [2]}, want=3.0),
        Special(condition="ahead by just the margin", args={"input": [[2.0, 1.0, 1.0]], "target": [0]}, want="0"),
        Special(condition="[1,2,4] against 0", args={"input": [[1.0, 2.0, 4.0]], "target": [0]}, want=6.0),
    ),
    laws=(
        shifted("scores"),
        permuted(("input",), index="target"),
        Vanishing(name="0 where the target is ahead by twice the margin", move=_won),
        Sibling(
            name="is the number of classes times multi_margin_loss",
            move=_mean,
            loss=lambda torch: lambda **given: torch.nn.functional.multi_margin_loss(**given, reduction="none"),
        ),
        non_negative(),
    ),
    near_kink=_near_kink,
)
