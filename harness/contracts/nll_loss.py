"""Negative log-likelihood of class indices under given log-probabilities."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.classes import LIKELIHOOD_MESSAGES, TWICE_THE_WEIGHT, class_weights, index_errors
from harness.contracts.cross_entropy import kept, one_hot
from harness.contracts.errors import refused
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, LogProbability, Weight
from harness.laws import Law, Moved, everywhere, non_negative, permuted, scaled
from harness.special import SPECIAL_VALUES, Special
from reference import reductions
from reference.classification import nll_loss
from reference.mp import classes


def _others_gone(at: Points) -> Moved:
    x = np.where((one_hot(at) == 1.0) & kept(at)[:, None], at["input"], 0.0)
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


def _on_target(value: str) -> Special:
    want = {"+inf": "-inf", "-inf": "+inf", "nan": "nan"}.get(value, "formula")
    args = {"input": [[-0.5, value, -1.0]], "target": [1]}
    return Special(condition=f"log-probability={value} of the target", args=args, want=want, covers=(("input", value),))


def _off_target(value: str) -> Special:
    args = {"input": [[-0.5, value, -1.0]], "target": [0]}
    return Special(condition=f"log-probability={value} of another class", args=args, want=0.5)


CONTRACT = Contract(
    name="nll_loss",
    module="NLLLoss",
    summary="Minus the log-probability of a class.",
    formula="-weight[y] * x[y], ignored: 0",
    sources=("torch.nn.NLLLoss",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=LogProbability(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(ignored="ignore_index"), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    parameters=(Parameter(name="ignore_index", values=(-100, 0)),),
    oracle=nll_loss,
    definition=classes.nll_loss,
    reductions={"sum": reductions.total, "mean": reductions.class_weighted_mean},
    layouts=("rows", "spatial", "strided", "single"),
    scales="B_ref = abs(f): one product; B_abs = weight * abs(x), of the gradient the weight",
    specials=(
        *(_on_target(value) for value in SPECIAL_VALUES),
        *(_off_target(value) for value in SPECIAL_VALUES),
        *class_weights({"input": [[-0.5, -2.0, -1.0]], "target": [1]}, place=1),
        Special(condition="ignored target", args={"input": [[-1.0, -2.0]], "target": [-100]}, want="0"),
        Special(
            condition="ignored target, log-probabilities=nan",
            args={"input": [["nan", "nan"]], "target": [-100]},
            want="0",
        ),
        Special(
            condition="ignored target, a class of its own",
            args={"input": [[-1.0, -2.0]], "target": [1]},
            parameters={"ignore_index": 1},
            want="0",
        ),
        Special(
            condition="mean over the targets that are not ignored",
            args={"input": [[-1.0, -2.0], [-8.0, -8.0], [-4.0, -3.0]], "target": [0, -100, 1]},
            want=2.0,
            reduction="mean",
        ),
        Special(
            condition="mean over the weights of the targets",
            args={"input": [[-1.0, -2.0], [-4.0, -3.0]], "target": [0, 1], "weight": [3.0, 1.0]},
            want=1.5,
            reduction="mean",
        ),
        Special(
            condition="all targets ignored, mean",
            args={"input": [[-1.0, -2.0]], "target": [-100]},
            want="nan",
            reduction="mean",
        ),
        Special(
            condition="log-probability=-inf of the target, weight 0",
            args={"input": [["-inf", -1.0]], "target": [0], "weight": [0.0, 1.0]},
            want="outside",
            reason="the formula multiplies 0 and infinity",
        ),
        Special(condition="one class", args={"input": [[-3.0]], "target": [0]}, want=3.0),
    ),
    laws=(
        Law(name="only the target's score counts", move=_others_gone, gradients={"input": ("input", 1.0)}),
        permuted(("input",), index="target", per_class=("weight",)),
        scaled(("input",), 3.0, 1.0),
        TWICE_THE_WEIGHT,
        non_negative(),
    ),
    errors=(
        *index_errors("log-probabilities", LIKELIHOOD_MESSAGES),
        refused(
            "log-probabilities of no dimension",
            lambda torch: (torch.tensor(-1.0), torch.tensor(0)),
            "ValueError",
            "Expected 1 or more dimensions",
        ),
    ),
)
