"""Logarithm of the hyperbolic cosine of a difference."""

from __future__ import annotations

from harness.contract import Contract
from harness.contracts.differences import DIFFERENCE
from harness.domain import Arg, Real
from harness.laws import exchanged, non_negative, perfect
from harness.special import Special
from reference.mp import robust
from reference.robust import log_cosh_loss

CONTRACT = Contract(
    name="log_cosh_loss",
    module="LogCoshLoss",
    summary="Logarithm of the hyperbolic cosine of a difference: half its square near 0, its size less log 2 far off.",
    formula="log(cosh(d)); d = input - target",
    sources=("Keras, keras.losses.LogCosh",),
    args=(Arg(name="input", kind=Real(edges=(0.7, 4.0))), Arg(name="target", kind=Real())),
    oracle=log_cosh_loss,
    definition=robust.log_cosh_loss,
    scales="B_ref = abs(f), the form log1p(2 sinh(d / 2)**2) near 0; B_abs = 1 + abs(d), of the gradient 1",
    specials=(
        *DIFFERENCE,
        Special(condition="d = 1", args={"input": [1.5], "target": [0.5]}, want=0.4338),
        Special(condition="d = -100: 100 - log 2", args={"input": [-50.0], "target": [50.0]}, want=99.3069),
        Special(
            condition="mean of d = 1 and d = 2",
            args={"input": [1.0, 3.0], "target": [0.0, 1.0]},
            want=0.8794,
            reduction="mean",
        ),
    ),
    laws=(exchanged("input", "target"), perfect("input", "target"), non_negative()),
)
