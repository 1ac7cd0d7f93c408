"""Multi-class hinge loss of Weston and Watkins: every other class has a margin to keep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.contracts.classes import shifted
from harness.contracts.margins import ARGS, DIMS, MARGIN, NEAR, SPECIALS, multi_margin, won
from harness.contracts.multi_margin_loss import chosen
from harness.deviations import Points
from harness.laws import Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import Special
from reference import multiclass
from reference.mp import margins

Mask = npt.NDArray[np.bool_]


def _near_kink(at: Points) -> Mask:
    """A hinge within NEAR of 0."""
    x = at["input"]
    gap = at["margin"] - x[chosen(at)][:, None] + x
    return np.asarray(((np.abs(gap) < NEAR) & ~chosen(at)).any(axis=1), np.bool_)


def _mean(at: Points) -> Moved:
    """multi_margin_loss divides by the number of classes."""
    classes = float(at["input"].shape[1])
    return Moved(args=at.args, parameters=at.parameters, applies=everywhere(at), factor=classes)


CONTRACT = Contract(
    name="multiclass_hinge_loss",
    module="MultiClassHingeLoss",
    summary="By how much the other classes together come closer than the margin to the score of the target.",
    formula="sum over i != y of max(0, margin + x_i - x_y)",
    sources=("Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, ESANN 1999",),
    dims=DIMS,
    args=ARGS,
    parameters=(MARGIN,),
    oracle=multiclass.multiclass_hinge_loss,
    definition=margins.multiclass_hinge_loss,
    layouts=("rows", "strided"),
    scales="B_ref = the terms with the rounding of x[i] - x[y] in them; B_abs = (C - 1) (margin + max abs(x))",
    specials=(
        *SPECIALS,
        Special(condition="tied scores", args={"input": [[7.0] * 4], "target": [2]}, want=3.0),
        Special(condition="[1,2,4] against 0", args={"input": [[1.0, 2.0, 4.0]], "target": [0]}, want=6.0),
    ),
    laws=(
        shifted("scores"),
        permuted(("input",), index="target"),
        Vanishing(name="0 where the target is ahead by twice the margin", move=won),
        Sibling(
            name="is the number of classes times multi_margin_loss",
            move=_mean,
            loss=multi_margin,
        ),
        non_negative(),
    ),
    near_kink=_near_kink,
)
