"""Kullback-Leibler divergence, element by element; the target as probability or, in a variant, as its logarithm."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harness.contract import Contract, Parameter
from harness.contracts.errors import of_one_shape, refused
from harness.domain import Arg, LogProbability, SoftLabel
from harness.laws import perfect
from harness.special import SPECIAL_VALUES, Special, table
from reference import reductions
from reference.divergence import kl_div
from reference.mp import elementwise

NO_LOG = ("outside", "not the logarithm of a probability")
NO_PROBABILITY = ("outside", "not a probability")
ABOVE = dict.fromkeys((v for v in SPECIAL_VALUES if v[0] == "+" and v != "+0"), NO_LOG)
NOT_IN_UNIT = dict.fromkeys(("-subnormal", "-normal", "+largest", "-largest", "+inf", "-inf"), NO_PROBABILITY)

INTEGERS = refused(
    "integers",
    lambda torch: (-torch.ones(3), torch.ones(3, dtype=torch.int64)),
    "RuntimeError",
    "Integral inputs not supported",
)

CONTRACT = Contract(
    name="kl_div",
    module="KLDivLoss",
    summary="Pointwise Kullback-Leibler divergence of a target probability from a predicted log-probability.",
    formula="target * (log(target) - input), 0 where target = 0",
    sources=("torch.nn.KLDivLoss",),
    args=(Arg(name="input", kind=LogProbability()), Arg(name="target", kind=SoftLabel(), role="target")),
    parameters=(Parameter(name="log_target", values=(False,)),),
    oracle=kl_div,
    definition=elementwise.kl_div,
    reductions={"sum": reductions.total, "mean": reductions.mean, "batchmean": reductions.batchmean},
    scales="B_ref = abs(t log t) + abs(f), of dt 1 + abs(x) + abs(log t); B_abs = t (1 + abs(x)) + abs(t log t)",
    specials=(
        *table("input", {"target": 0.5}, ABOVE | {"+inf": NO_LOG, "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": -1.0}, NOT_IN_UNIT | {"nan": "nan"}),
        Special(condition="input=-inf where target=0", args={"input": ["-inf"], "target": [0.0]}, want="0"),
        Special(condition="input=nan where target=0", args={"input": ["nan"], "target": [0.0]}, want="nan"),
        Special(condition="perfect: certain and right", args={"input": [0.0], "target": [1.0]}, want="0"),
        Special(
            condition="divergence of (1/2, 1/2) from (1/4, 3/4)",
            args={"input": [-1.3862943611198906, -0.2876820724517809], "target": [0.5, 0.5]},
            want=0.1438410362,
            reduction="sum",
        ),
        Special(
            condition="mean divides the divergence by the number of classes too",
            args={"input": [-1.3862943611198906, -0.2876820724517809], "target": [0.5, 0.5]},
            want=0.0719205181,
            reduction="mean",
        ),
    ),
    errors=(*of_one_shape(), INTEGERS),
)

LOG_TARGET = replace(
    CONTRACT,
    name="kl_div_log_target",
    summary="Pointwise Kullback-Leibler divergence, target and prediction both as log-probabilities.",
    formula="exp(target) * (target - input), 0 where target = -inf",
    args=(Arg(name="input", kind=LogProbability()), Arg(name="target", kind=LogProbability(), role="target")),
    parameters=(Parameter(name="log_target", values=(True,)),),
    oracle=partial(kl_div),
    scales="B_ref = abs(f), of dt p (1 + abs(t - x)), p = exp(t); B_abs = p (1 + abs(t) + abs(x))",
    specials=(
        *table("input", {"target": -1.0}, ABOVE | {"+inf": NO_LOG, "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": -1.0}, ABOVE | {"+inf": NO_LOG, "-inf": "0", "nan": "nan"}),
        Special(condition="input=target=-inf", args={"input": ["-inf"], "target": ["-inf"]}, want="0"),
        Special(condition="perfect: certain and right", args={"input": [0.0], "target": [0.0]}, want="0"),
        Special(
            condition="divergence of (1/2, 1/2) from (1/4, 3/4)",
            args={
                "input": [-1.3862943611198906, -0.2876820724517809],
                "target": [-0.6931471805599453, -0.6931471805599453],
            },
            want=0.1438410362,
            reduction="sum",
        ),
    ),
    laws=(perfect("input", "target"),),
)
