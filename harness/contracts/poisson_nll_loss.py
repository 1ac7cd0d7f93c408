"""Poisson negative log-likelihood, of a log-rate or, in a variant, of a rate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.errors import of_one_shape
from harness.deviations import Points
from harness.domain import Arg, Count, NonNegative, Real
from harness.laws import Law, Moved, everywhere
from harness.special import SPECIAL_VALUES, Special, Wanted, table
from reference.likelihood import poisson_nll_loss
from reference.mp import elementwise

NEAR = 1e-3
LOG_COUNTS = tuple(math.log(n) for n in (2.0, 3.0, 4.0, 7.0, 40.0, 1000.0, 65504.0))
"""Log-rates at which the terms of the full loss cancel."""
NO_COUNT = ("outside", "not a count")
NO_RATE = ("outside", "a rate is not negative")
COUNTS: dict[str, Wanted | tuple[str, str]] = {
    **dict.fromkeys((v for v in SPECIAL_VALUES if v not in ("+0", "-0", "+largest", "nan")), NO_COUNT),
    "nan": "nan",
}
RATES: dict[str, Wanted | tuple[str, str]] = {
    **dict.fromkeys((v for v in SPECIAL_VALUES if v[0] == "-" and v != "-0"), NO_RATE),
    "+inf": "+inf",
    "nan": "nan",
}


def _near_one(at: Points) -> npt.NDArray[np.bool_]:
    """Stirling's term sets in beyond a count of 1 with a jump, and begins at 0."""
    t = at["target"]
    return np.asarray(bool(at["full"]) & ((np.abs(t - 1.0) < NEAR) | (t < NEAR)), np.bool_)


def _without_stirling(at: Points) -> Moved:
    applies = everywhere(at) & bool(at["full"]) & (at["target"] <= 1.0)
    return Moved(args=at.args, parameters={**at.parameters, "full": False}, applies=applies)


CONTRACT = Contract(
    name="poisson_nll_loss",
    module="PoissonNLLLoss",
    summary="Negative log-likelihood of a count under a Poisson distribution, given the logarithm of its rate.",
    formula="exp(x) - t x; full adds t log(t) - t + log(2 pi t) / 2 where t > 1",
    sources=("torch.nn.PoissonNLLLoss",),
    args=(Arg(name="input", kind=Real(edges=LOG_COUNTS)), Arg(name="target", kind=Count(), role="target")),
    parameters=(
        Parameter(name="log_input", values=(True,)),
        Parameter(name="full", values=(False, True)),
        Parameter(name="eps", values=(1e-8, 1e-3)),
    ),
    oracle=poisson_nll_loss,
    definition=elementwise.poisson_nll_loss,
    scales="B_ref = exp(x) + abs(t x), of the deviance if full; B_abs = exp(x) + t (1 + abs(x) + log t)",
    specials=(
        *table("input", {"target": 2.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("input", {"target": 0.0}, {"+inf": "+inf", "-inf": "0", "nan": "nan"}),
        *table("target", {"input": 0.5}, COUNTS),
        Special(condition="count 0 at log-rate 0", args={"input": [0.0], "target": [0.0]}, want=1.0),
        Special(
            condition="count 0 adds no Stirling term",
            args={"input": [0.0], "target": [0.0]},
            parameters={"full": True},
            want=1.0,
        ),
        Special(
            condition="count 1 adds no Stirling term",
            args={"input": [0.0], "target": [1.0]},
            parameters={"full": True},
            want=1.0,
        ),
        Special(
            condition="count 2 at log-rate 0, full",
            args={"input": [0.0], "target": [2.0]},
            parameters={"full": True},
            want=1.65180648,
        ),
    ),
    laws=(
        Law(name="full adds nothing to counts 0 and 1", move=_without_stirling, gradients={"input": ("input", 1.0)}),
    ),
    errors=of_one_shape(),
    near_kink=_near_one,
)

RATE = replace(
    CONTRACT,
    name="poisson_nll_loss_rate",
    summary="Negative log-likelihood of a count under a Poisson distribution, given its rate.",
    formula="x - t log(x + eps); full adds t log(t) - t + log(2 pi t) / 2 where t > 1",
    args=(Arg(name="input", kind=NonNegative()), Arg(name="target", kind=Count(), role="target")),
    parameters=(
        Parameter(name="log_input", values=(False,)),
        Parameter(name="full", values=(False, True)),
        Parameter(name="eps", values=(1e-8, 1e-3)),
    ),
    scales="B_ref = x + abs(t log(x + eps)), of the deviance if full; B_abs = x + t (1 + abs(log(x + eps)) + log t)",
    specials=(
        *table("input", {"target": 2.0}, RATES),
        *table("target", {"input": 0.5}, COUNTS),
        Special(condition="count 0 at rate 0", args={"input": [0.0], "target": [0.0]}, want="0"),
        Special(
            condition="count 1 at rate 0 costs -log(eps)", args={"input": [0.0], "target": [1.0]}, want=18.42068074
        ),
        Special(
            condition="count 2 at rate 1, full, eps 1e-3",
            args={"input": [1.0], "target": [2.0]},
            parameters={"full": True, "eps": 1e-3},
            want=1.6498074839,
        ),
    ),
)
