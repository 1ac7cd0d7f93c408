"""Cross-entropy of logits against class indices, and against probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.classes import (
    BEYOND,
    IGNORING,
    LIKELIHOOD_MESSAGES,
    RIGHT,
    SHORT_WEIGHT,
    TWICE_THE_WEIGHT,
    WRONG_TENSORS,
    class_weights,
    index_errors,
    shifted,
)
from harness.contracts.errors import ones, refused, unknown_reduction
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits, Simplex, Weight
from harness.laws import Mask, Moved, Sibling, Vanishing, non_negative, permuted
from harness.special import SPECIAL_VALUES, ErrorInput, Special
from reference import reductions
from reference.classification import cross_entropy
from reference.mp import classes

INFINITE_LOGIT = "the softmax of an infinite logit has no value"
NO_PROBABILITY = "not a probability"


def kept(at: Points) -> Mask:
    """Rows whose target is not ignored; all rows of soft targets."""
    target = at["target"]
    if np.ndim(target) == 2:
        return np.ones(len(target), np.bool_)
    return np.asarray(target != at.parameters.get("ignore_index", -100), np.bool_)


def one_hot(at: Points) -> Any:
    """Class indices as rows of 0 and 1, shape (R, C); class 0 stands for an ignored target."""
    classes = at["input"].shape[1]
    return (np.arange(classes) == np.where(kept(at), at["target"], 0)[:, None]).astype(np.float64)


def unmask_targets(args: dict[str, Any], parameters: Any) -> dict[str, Any]:
    """-inf stands for a class that cannot be; the target, or a class of positive probability, is one that can."""
    x, target = args["input"], args["target"]
    if np.ndim(target) == 2:
        possible = target > 0.0
    else:
        possible = (target[:, None] == np.arange(x.shape[1])) & (target != parameters.get("ignore_index", -100))[
            :, None
        ]
    return args | {"input": np.where(np.isneginf(x) & possible, 0.0, x)}


def _unrivalled(at: Points) -> Moved:
    x = np.where(one_hot(at) == 1.0, 0.0, -np.inf)
    plain = kept(at) & (at.parameters.get("label_smoothing", 0.0) == 0.0)
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=plain)


def _as_probabilities(at: Points) -> Moved:
    parameters = {k: v for k, v in at.parameters.items() if k != "ignore_index"}
    possible = np.isfinite(at["input"]).all(axis=1)
    return Moved(args={**at.args, "target": one_hot(at)}, parameters=parameters, applies=kept(at) & possible)


def _as_log_likelihood(at: Points) -> Moved:
    parameters = {k: v for k, v in at.parameters.items() if k != "label_smoothing"}
    plain = np.full(len(at["input"]), at.parameters.get("label_smoothing", 0.0) == 0.0)
    return Moved(args=at.args, parameters=parameters, applies=plain)


def _logit(value: str) -> Special:
    want, reason = {"+inf": ("outside", INFINITE_LOGIT), "nan": ("nan", "")}.get(value, ("formula", ""))
    args = {"input": [[0.5, value, -1.0]], "target": [0]}
    return Special(
        condition=f"logits={value} off target", args=args, want=want, reason=reason, covers=(("input", value),)
    )


def _probability(value: str) -> Special:
    legal = value in ("+0", "-0", "+subnormal", "+normal", "nan")
    return Special(
        condition=f"probability={value}",
        args={"input": [[0.5, 2.0, -1.0]], "target": [[0.25, value, 0.75]]},
        want="outside" if not legal else "nan" if value == "nan" else "formula",
        reason="" if legal else NO_PROBABILITY,
        covers=(("target", value),),
    )


def _soft(wrong: ErrorInput) -> ErrorInput:
    """The same call with probabilities."""

    def call(torch: Any, loss: Callable[..., Any]) -> Any:
        return wrong.call(torch, lambda x, y, *rest, **given: loss(x, torch.ones_like(x) / 3, *rest, **given))

    return replace(wrong, call=call)


SMOOTHED_TOO_MUCH = refused(
    "label smoothing above 1", RIGHT, "RuntimeError", "label_smoothing must be between 0.0 and 1.0", label_smoothing=1.5
)
ERRORS = (
    *index_errors("logits", LIKELIHOOD_MESSAGES),
    SMOOTHED_TOO_MUCH,
    replace(
        refused(f"{BEYOND}, smoothed", WRONG_TENSORS[BEYOND], *LIKELIHOOD_MESSAGES[BEYOND], label_smoothing=0.1),
        legal=IGNORING[BEYOND],
    ),
)

CONTRACT = Contract(
    name="cross_entropy",
    module="CrossEntropyLoss",
    summary="Negative log-likelihood of a class under the softmax of logits.",
    formula="sum over c of a_c * (logsumexp(x) - x_c), a = weight * ((1 - s) * onehot(target) + s / C), ignored: 0",
    sources=("torch.nn.CrossEntropyLoss",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(masked=True), dims=("C",)),
        Arg(name="target", kind=ClassIndex(ignored="ignore_index"), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    parameters=(
        Parameter(name="ignore_index", values=(-100, 0)),
        Parameter(name="label_smoothing", values=(0.0, 0.1, 1.0)),
    ),
    oracle=cross_entropy,
    definition=classes.cross_entropy,
    arrange=unmask_targets,
    reductions={"sum": reductions.total, "mean": reductions.class_weighted_mean},
    layouts=("rows", "spatial", "strided", "single"),
    scales="B_ref = abs(f) + sum p_j abs(x_j - x_t), the log1p form; B_abs = 1 + max abs(x), of gradients 2 weight",
    specials=(
        *(_logit(value) for value in SPECIAL_VALUES),
        *class_weights({"input": [[0.5, 2.0, -1.0]], "target": [0]}, place=0),
        Special(condition="logits=-inf on target", args={"input": [[0.5, "-inf", -1.0]], "target": [1]}, want="+inf"),
        Special(condition="logits=+largest on target", args={"input": [[0.5, "+largest"]], "target": [1]}, want="0"),
        Special(
            condition="logits=-largest on target", args={"input": [[0.5, "-largest"]], "target": [1]}, want="formula"
        ),
        Special(
            condition="logits=+largest everywhere", args={"input": [["+largest"] * 4], "target": [1]}, want="formula"
        ),
        Special(
            condition="logits=-inf off target only", args={"input": [["-inf", 0.0, "-inf"]], "target": [1]}, want="0"
        ),
        Special(
            condition="logits=-inf off target, label_smoothing=0.1",
            args={"input": [[0.0, "-inf", 1.0]], "target": [0]},
            parameters={"label_smoothing": 0.1},
            want="+inf",
        ),
        Special(
            condition="logits=-inf off target, weight 0, label_smoothing=0.1",
            args={"input": [[0.0, "-inf", 1.0]], "target": [0], "weight": [1.0, 0.0, 1.0]},
            parameters={"label_smoothing": 0.1},
            want="formula",
        ),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(condition="tied logits", args={"input": [[7.0] * 4], "target": [2]}, want=1.3862943611),
        Special(condition="ignored target", args={"input": [[1.0, 2.0]], "target": [-100]}, want="0"),
        Special(condition="ignored target, logits=nan", args={"input": [["nan", 0.0]], "target": [-100]}, want="0"),
        Special(
            condition="ignored target, logits=-inf", args={"input": [["-inf", "-inf"]], "target": [-100]}, want="0"
        ),
        Special(
            condition="all targets ignored, mean",
            args={"input": [[1.0, 2.0]], "target": [-100]},
            want="nan",
            reduction="mean",
        ),
        Special(
            condition="published: [[10,0,-10],[8,8,8]] against [0,2], mean",
            args={"input": [[10.0, 0.0, -10.0], [8.0, 8.0, 8.0]], "target": [0, 2]},
            want=0.5493,
            reduction="mean",
        ),
    ),
    laws=(
        shifted("logits"),
        permuted(("input",), index="target", per_class=("weight",)),
        TWICE_THE_WEIGHT,
        Vanishing(name="0 where every class but the target is masked", move=_unrivalled),
        Sibling(
            name="a class index is a one-hot probability",
            move=_as_probabilities,
            loss=lambda torch: lambda **given: torch.nn.functional.cross_entropy(**given, reduction="none"),
            real=("target",),
        ),
        Sibling(
            name="nll_loss of log_softmax",
            move=_as_log_likelihood,
            loss=lambda torch: (
                lambda input, target, **given: torch.nn.functional.nll_loss(
                    torch.nn.functional.log_softmax(input, 1), target, **given, reduction="none"
                )
            ),
        ),
        non_negative(),
    ),
    errors=ERRORS,
)

SOFT = replace(
    CONTRACT,
    name="cross_entropy_soft",
    summary="Expected negative log-likelihood of classes of known probabilities under the softmax of logits.",
    formula="sum over c of a_c * (logsumexp(x) - x_c), a = weight * ((1 - s) * target + s / C)",
    dims={"C": (5, 1, 2, 12)},
    args=(
        Arg(name="input", kind=Logits(masked=True), dims=("C",)),
        Arg(name="target", kind=Simplex(), dims=("C",), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    parameters=(Parameter(name="label_smoothing", values=(0.0, 0.1, 1.0)),),
    scales="as of cross_entropy; of the target gradient, -weight * log p, B_ref = weight * (2 gap + log sum + spread)",
    specials=(
        *(
            replace(
                row,
                args={**row.args, "target": [[0.75, 0.0, 0.25]]},
                condition=row.condition.replace("off target", "of probability 0"),
            )
            for row in map(_logit, SPECIAL_VALUES)
        ),
        *class_weights({"input": [[0.5, 2.0, -1.0]], "target": [[1.0, 0.0, 0.0]]}, place=0),
        *(_probability(value) for value in SPECIAL_VALUES),
        Special(
            condition="logits=-inf of probability 0.5",
            args={"input": [[0.0, "-inf"]], "target": [[0.5, 0.5]]},
            want="+inf",
        ),
        Special(condition="one class", args={"input": [[3.0]], "target": [[1.0]]}, want="0"),
        Special(
            condition="uniform probabilities of tied logits",
            args={"input": [[7.0] * 4], "target": [[0.25] * 4]},
            want=1.3862943611,
        ),
        Special(
            condition="hard: [[10,0,-10]] against [1,0,0]",
            args={"input": [[10.0, 0.0, -10.0]], "target": [[1.0, 0.0, 0.0]]},
            want="formula",
        ),
    ),
    laws=(
        shifted("logits", "target"),
        permuted(("input", "target"), per_class=("weight",)),
        TWICE_THE_WEIGHT,
        non_negative(),
    ),
    errors=(
        *map(
            _soft,
            (e for e in ERRORS if e.name in (SHORT_WEIGHT, SMOOTHED_TOO_MUCH.name, unknown_reduction(RIGHT).name)),
        ),
        refused(
            "probabilities of dtype int64",
            lambda torch: (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)),
            "RuntimeError",
            "Expected floating point type for target with class probabilities",
        ),
        refused(
            "ignore_index with probabilities",
            ones((2, 3), (2, 3)),
            "RuntimeError",
            "ignore_index is not supported for floating point target",
            ignore_index=1,
        ),
        refused(
            "probabilities for other classes than the logits",
            ones((2, 3), (2, 2)),
            "RuntimeError",
            "target tensor expected",
        ),
    ),
)
