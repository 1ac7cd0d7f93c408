"""Huber loss: squared below delta, delta times absolute above."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.differences import DIFFERENCE, INTEGERS, WEIGHT, WEIGHT_SIZES, kink_at
from harness.contracts.errors import of_one_shape, ones, refused
from harness.deviations import Points
from harness.domain import Arg, Real, Weight
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect
from harness.special import Special
from reference.mp import elementwise
from reference.regression import huber_loss


def _smooth(at: Points) -> Moved:
    args = {"input": at["input"], "target": at["target"]}
    return Moved(
        args=args, parameters={"beta": 1.0}, applies=everywhere(at) & (at["delta"] == 1.0) & ("weight" not in at.args)
    )


CONTRACT = Contract(
    name="huber_loss",
    module="HuberLoss",
    summary="Half the squared difference where that is below delta, else delta times the absolute one less delta / 2.",
    formula="weight * (d**2 / 2 where abs(d) < delta, else delta (abs(d) - delta / 2)); d = input - target",
    sources=(
        "torch.nn.HuberLoss",
        "torch.nn.functional.huber_loss (weight; the mean divides by the number of elements)",
    ),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Real()),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    parameters=(Parameter(name="delta", values=(1.0, 0.1, 1e-6, 1000.0)),),
    oracle=huber_loss,
    definition=elementwise.huber_loss,
    scales="B_ref = abs(f); B_abs = weight (abs(x) + abs(y)) min(delta, abs(x) + abs(y)); order weight * (0.5 * d * d)",
    specials=(
        *DIFFERENCE,
        *WEIGHT,
        Special(condition="at delta: d = 1", args={"input": [2.5], "target": [1.5]}, want=0.5),
        Special(
            condition="at delta=2: d = 2", args={"input": [3.5], "target": [1.5]}, parameters={"delta": 2.0}, want=2.0
        ),
        Special(condition="below delta: d = 0.5", args={"input": [2.0], "target": [1.5]}, want=0.125),
        Special(
            condition="beyond delta=2: d = 3",
            args={"input": [4.5], "target": [1.5]},
            parameters={"delta": 2.0},
            want=4.0,
        ),
    ),
    laws=(
        exchanged("input", "target"),
        perfect("input", "target"),
        non_negative(),
        Sibling(
            name="is smooth_l1_loss where delta = 1",
            move=_smooth,
            loss=lambda torch: lambda **k: torch.nn.functional.smooth_l1_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    errors=(
        *of_one_shape(),
        *WEIGHT_SIZES,
        INTEGERS,
        refused("delta of 0", ones(3, 3), ("RuntimeError", "ValueError"), "non-positive values for delta", delta=0.0),
    ),
    near_kink=kink_at("delta"),
)
