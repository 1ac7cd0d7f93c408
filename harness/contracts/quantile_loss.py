"""Quantile (pinball) loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.differences import DIFFERENCE, NEAR
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Law, Moved, Sibling, everywhere, non_negative, perfect, scaled
from harness.special import Special
from reference.mp import robust
from reference.robust import quantile_loss


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(at["input"] - at["target"]) < NEAR, np.bool_)


def _mirror(at: Points) -> Moved:
    args = {"input": at["target"], "target": at["input"]}
    return Moved(args=args, parameters={"quantile": 1.0 - at["quantile"]}, applies=everywhere(at))


def _median(at: Points) -> Moved:
    args = {"input": at["input"], "target": at["target"]}
    return Moved(args=args, parameters={}, applies=everywhere(at) & (at["quantile"] == 0.5), factor=0.5)


CONTRACT = Contract(
    name="quantile_loss",
    module="QuantileLoss",
    summary="Quantile times what the prediction lacks to the target, or the rest to 1 times what it exceeds it by.",
    formula="max(quantile d, (quantile - 1) d); d = target - input",
    sources=("Koenker and Bassett, Regression Quantiles, Econometrica 46 (1978)", "sklearn.metrics.mean_pinball_loss"),
    args=(Arg(name="input", kind=Real()), Arg(name="target", kind=Real())),
    parameters=(Parameter(name="quantile", values=(0.5, 0.9, 0.1)),),
    oracle=quantile_loss,
    definition=robust.quantile_loss,
    scales="B_ref = abs(f): one subtraction, then a product; B_abs = max(q, 1 - q) (abs(x) + abs(y)), of the gradient "
    "max(q, 1 - q); order q * d",
    specials=(
        *DIFFERENCE,
        Special(
            condition="predicted 2 too low at quantile 0.9",
            args={"input": [1.0], "target": [3.0]},
            parameters={"quantile": 0.9},
            want=1.8,
        ),
        Special(
            condition="predicted 2 too high at quantile 0.9",
            args={"input": [3.0], "target": [1.0]},
            parameters={"quantile": 0.9},
            want=0.2,
        ),
        Special(condition="the median: half the absolute error", args={"input": [1.0], "target": [-2.0]}, want=1.5),
        Special(
            condition="mean_pinball_loss of (0, 2, 3) against (1, 2, 3) at 0.1",
            args={"input": [0.0, 2.0, 3.0], "target": [1.0, 2.0, 3.0]},
            parameters={"quantile": 0.1},
            want=0.03333,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="mirror: prediction and target exchanged at the quantile 1 - q",
            move=_mirror,
            needs=("quantile",),
            gradients={"input": ("target", 1.0), "target": ("input", 1.0)},
        ),
        perfect("input", "target"),
        non_negative(),
        scaled(("input", "target"), 3, 1),
        Sibling(
            name="is half l1_loss at quantile 0.5",
            move=_median,
            loss=lambda torch: lambda **k: torch.nn.functional.l1_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    near_kink=_near_kink,
)
