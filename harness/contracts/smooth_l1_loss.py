"""Smooth L1 loss: squared below beta, absolute above."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.differences import DIFFERENCE, INTEGERS, kink_at
from harness.contracts.errors import of_one_shape, ones, refused
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect
from harness.special import Special
from reference.mp import elementwise
from reference.regression import smooth_l1_loss


def _huber(at: Points) -> Moved:
    beta = float(at["beta"])
    args = {"input": at["input"], "target": at["target"]}
    return Moved(
        args=args,
        parameters={"delta": beta or 1.0},
        applies=everywhere(at) & (beta > 0.0),
        factor=1.0 / (beta or 1.0),
    )


CONTRACT = Contract(
    name="smooth_l1_loss",
    module="SmoothL1Loss",
    summary="Squared difference over 2 beta where the difference is below beta, else the absolute one less beta / 2.",
    formula="d**2 / (2 beta) where abs(d) < beta, else abs(d) - beta / 2; d = input - target; abs(d) for beta = 0",
    sources=("torch.nn.SmoothL1Loss", "R. Girshick, Fast R-CNN, arXiv:1504.08083"),
    args=(Arg(name="input", kind=Real()), Arg(name="target", kind=Real())),
    parameters=(Parameter(name="beta", values=(1.0, 0.0, 0.1, 1e-6, 1000.0)),),
    oracle=smooth_l1_loss,
    definition=elementwise.smooth_l1_loss,
    scales="B_ref = abs(f); B_abs = s min(1, s / beta), s = abs(x) + abs(y); product order 0.5 * d * d / beta",
    specials=(
        *DIFFERENCE,
        Special(condition="at beta: d = 1", args={"input": [2.5], "target": [1.5]}, want=0.5),
        Special(condition="below beta: d = 0.5", args={"input": [2.0], "target": [1.5]}, want=0.125),
        Special(condition="beyond beta: d = 3", args={"input": [4.5], "target": [1.5]}, want=2.5),
        Special(
            condition="beta=0 is the absolute difference",
            args={"input": [-2.0], "target": [1.5]},
            parameters={"beta": 0.0},
            want=3.5,
        ),
        Special(
            condition="input=nan, beta=0",
            args={"input": ["nan"], "target": [1.5]},
            parameters={"beta": 0.0},
            want="nan",
        ),
        Special(
            condition="tie with beta=0", args={"input": [1.5], "target": [1.5]}, parameters={"beta": 0.0}, want="0"
        ),
    ),
    laws=(
        exchanged("input", "target"),
        perfect("input", "target"),
        non_negative(),
        Sibling(
            name="is huber_loss with delta = beta over beta",
            move=_huber,
            loss=lambda torch: lambda **k: torch.nn.functional.huber_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    errors=(
        *of_one_shape(),
        INTEGERS,
        refused("negative beta", ones(3, 3), ("RuntimeError", "ValueError"), "negative values for beta", beta=-1.0),
    ),
    near_kink=kink_at("beta"),
)
