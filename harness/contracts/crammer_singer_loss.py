"""Multi-class hinge loss of Crammer and Singer: the best of the other classes has a margin to keep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.contracts.classes import shifted
from harness.contracts.margins import ARGS, DIMS, MARGIN, NEAR, SPECIALS, multi_margin, won
from harness.contracts.multi_margin_loss import chosen
from harness.deviations import Points
from harness.laws import Moved, Sibling, Vanishing, non_negative, permuted
from harness.special import Special
from reference import multiclass
from reference.mp import margins

Mask = npt.NDArray[np.bool_]


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


CONTRACT = Contract(
    name="crammer_singer_loss",
    module="CrammerSingerLoss",
    summary="By how much the best of the other classes comes closer than the margin to the score of the target.",
    formula="max(0, margin + max over i != y of x_i - x_y)",
    sources=(
        "Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-Based Vector Machines (2001)",
        "Journal of Machine Learning Research 2, pages 265-292",
    ),
    dims=DIMS,
    args=ARGS,
    parameters=(MARGIN,),
    oracle=multiclass.crammer_singer_loss,
    definition=margins.crammer_singer_loss,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + the rounding of x[i] - x[y]; B_abs = margin + max abs(x), of gradients 1",
    specials=(
        *SPECIALS,
        Special(condition="tied scores", args={"input": [[7.0] * 4], "target": [2]}, want=1.0),
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
        Vanishing(name="0 where the target is ahead by twice the margin", move=won),
        Sibling(
            name="is twice multi_margin_loss of the target and the best other class",
            move=_two_classes,
            loss=multi_margin,
        ),
        non_negative(),
    ),
    near_kink=_near_kink,
)
