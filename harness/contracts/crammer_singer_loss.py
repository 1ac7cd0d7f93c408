"""Multi-class hinge loss of Crammer and Singer: the best of the other classes has a margin to keep."""

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
    """A hinge within NEAR of 0, or the two largest other scores within NEAR."""
    x = at["input"]
    others = np.sort(np.where(chosen(at), -np.inf, x), axis=1)
    gap = at["margin"] - x[chosen(at)] + others[:, -1]
    tied = others[:, -1] - others[:, -2] < NEAR if x.shape[1] > 2 else np.zeros(len(x), np.bool_)
    return np.asarray((np.abs(gap) < NEAR) | tied, np.bool_)


def _two_classes(at: Points) -> Moved:
    """Of the target and the best other class it is twice multi_margin_loss."""
    x = at["input"]
    best = np.where(chosen(at), -np.inf, x).max(axis=1)
    several = np.full(len(x), x.shape[1] > 1)
    pair = np.stack([x[chosen(at)], np.where(several, best, 0.0)], axis=1)
    target = np.zeros(len(x), np.int64)
    return Moved(args={"input": pair, "target": target}, parameters=at.parameters, applies=several, factor=2.0)


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
    name="crammer_singer_loss",
    module="CrammerSingerLoss",
    summary="By how much the best of the other classes comes closer than the margin to the score of the target.",
    formula="max(0, margin + max over i != y of x_i - x_y)",
    sources=(
        "Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-Based Vector Machines (2001)",
        "Journal of Machine Learning Research 2, pages 265-292",
    ),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(), role="target"),
    ),
    parameters=(Parameter(name="margin", values=(1.0, 0.3)),),
    oracle=multiclass.crammer_singer_loss,
    definition=margins.crammer_singer_loss,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + the rounding of x[i] - x[y]; B_abs = margin + max abs(x), of gradients 1",
    specials=(
        *(_score(value, 0, OFF_TARGET) for value in SPECIAL_VALUES),
        *(_score(value, 1, ON_TARGET) for value in SPECIAL_VALUES),
        Special(condition="scores=-inf off target", args={"input": [["-inf", 0.0, "-inf"]], "target": [1]}, want="0"),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(condition="tied scores", args={"input": [[7.0] * 4], "target": [2]}, want=1.0),
        Special(condition="ahead by just the margin", args={"input": [[2.0, 1.0, 1.0]], "target": [0]}, want="0"),
        Special(condition="[1,2,4] against 0", args={"input": [[1.0, 2.0, 4.0]], "target": [0]}, want=4.0),
        Special(
            condition="two classes tied behind the target",
            args={"input": [[1.0, 0.5, 0.5, 0.25]], "target": [0]},
            want=0.5,
        ),
    ),
    laws=(
        shifted("scores"),
        permuted(("input",), index="target"),
        Vanishing(name="0 where the target is ahead by twice the margin", move=_won),
        Sibling(
            name="is twice multi_margin_loss of the target and the best other class",
            move=_two_classes,
            loss=lambda torch: lambda **given: torch.nn.functional.multi_margin_loss(**given, reduction="none"),
        ),
        non_negative(),
    ),
    near_kink=_near_kink,
)
