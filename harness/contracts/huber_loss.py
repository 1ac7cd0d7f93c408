"""Huber loss: squared below delta, delta times absolute above."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Real, Weight
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect
from harness.special import ErrorInput, Special, table
from reference.regression import huber_loss

NEAR = 1e-3


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    """The gradient is continuous at abs(d) = delta, its slope is not."""
    return np.asarray(np.abs(np.abs(at["input"] - at["target"]) - at["delta"]) < NEAR, np.bool_)


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
    scales="B_ref = abs(f); B_abs = weight (abs(x) + abs(y)) min(delta, abs(x) + abs(y)); order weight * (0.5 * d * d)",
    specials=(
        *table("input", {"target": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("weight", {"input": 2.0, "target": 0.5}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        Special(condition="input=target=+inf", args={"input": ["+inf"], "target": ["+inf"]}, want="nan"),
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
        ErrorInput(
            name="delta of 0",
            call=lambda torch, loss: loss(torch.ones(3), torch.ones(3), delta=0.0),
            raises=("RuntimeError", "ValueError"),
            match="non-positive values for delta",
        ),
        ErrorInput(
            name="shapes that do not broadcast",
            call=lambda torch, loss: loss(torch.ones(3), torch.ones(2)),
            raises=("RuntimeError",),
            match="must match the size",
        ),
        ErrorInput(
            name="weight of another shape",
            call=lambda torch, loss: loss(torch.ones(3), torch.ones(3), weight=torch.ones(2)),
            raises=("ValueError",),
            match="must have the same size",
        ),
        ErrorInput(
            name="integers",
            call=lambda torch, loss: loss(torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)),
            raises=("NotImplementedError", "RuntimeError"),
            match="not implemented for 'Long'",
        ),
        ErrorInput(
            name="reduction of no known name",
            call=lambda torch, loss: loss(torch.ones(3), torch.ones(3), reduction="average"),
            raises=("ValueError",),
            match="not a valid value for reduction",
        ),
    ),
    near_kink=_near_kink,
)
