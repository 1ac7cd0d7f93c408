"""Multi-class hinge loss of scores and the index of a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.classes import RIGHT, SHORT_WEIGHT, TWICE_THE_WEIGHT, class_weights, index_errors, shifted
from harness.contracts.errors import refused
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits, Weight
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from harness.ulp import round_to
from reference.mp import classes
from reference.multiclass import multi_margin_loss

Mask = npt.NDArray[np.bool_]

NEAR = 1e-3
NO_MATRIX = ("RuntimeError", "Expected non-empty vector or matrix")


def chosen(at: Points) -> Mask:
    """Which class is the target, shape (R, C)."""
    return np.asarray(np.arange(at["input"].shape[1]) == at["target"][:, None], np.bool_)


def _near_kink(at: Points) -> Mask:
    """A hinge within NEAR of 0; it costs nothing at p = 2."""
    x = at["input"]
    gap = at["margin"] - x[chosen(at)][:, None] + x
    near = (np.abs(gap) < NEAR) & ~chosen(at)
    return np.asarray(near.any(axis=1) & (at["p"] == 1), np.bool_)


def _scaled(at: Points) -> Moved:
    """Scores and margin eight times as large, where no number leaves the normal range."""
    x, p = at["input"], at.precision
    safe = (np.abs(8.0 * x) <= p.largest * 2.0**-8) & ((np.abs(x) >= p.smallest_normal) | (x == 0.0))
    parameters = {**at.parameters, "margin": 8.0 * at["margin"]}
    applies = np.asarray(safe.all(axis=1), np.bool_)
    return Moved(args={**at.args, "input": 8.0 * x}, parameters=parameters, applies=applies, factor=8.0 ** at["p"])


def _won(at: Points) -> Moved:
    x = round_to(at.precision, np.where(chosen(at), 2.0 * abs(at["margin"]), 0.0))
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


def _one_label(at: Points) -> Moved:
    """The target as the first of the labels, which are then at an end."""
    target = np.where(np.arange(at["input"].shape[1]) == 0, at["target"][:, None], -1)
    plain = np.full(len(target), at["p"] == 1 and at["margin"] == 1.0 and "weight" not in at.args)
    return Moved(args={"input": at["input"], "target": target}, parameters={}, applies=plain)


def _off_target(value: str) -> Special:
    wanted = {"+inf": "+inf", "-inf": "0", "nan": "nan"}
    return Special(
        condition=f"score={value} off target",
        args={"input": [[0.5, value, -1.0]], "target": [0]},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


def _on_target(value: str, p: int) -> Special:
    wanted = {"+inf": "0", "-inf": "+inf", "nan": "nan", "+largest": "0"}
    return Special(
        condition=f"score={value} on target, p={p}",
        args={"input": [[0.5, value, -1.0]], "target": [1]},
        parameters={"p": p},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


CONTRACT = Contract(
    name="multi_margin_loss",
    module="MultiMarginLoss",
    summary="By how much, on average, the other classes come closer than the margin to the score of the target.",
    formula="weight[y] * sum over i != y of max(0, margin - x[y] + x[i])**p, over the number of classes",
    sources=("torch.nn.MultiMarginLoss",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    parameters=(
        Parameter(name="p", values=(1, 2)),
        Parameter(name="margin", values=(1.0, 0.3, 0.0)),
    ),
    oracle=multi_margin_loss,
    definition=classes.multi_margin_loss,
    layouts=("rows", "strided", "single"),
    scales="B_ref = the terms with the rounding of x[i] - x[y] in them; B_abs = weight (margin + max abs(x))**p",
    specials=(
        *(_off_target(value) for value in SPECIAL_VALUES),
        *(_on_target(value, p) for p in (1, 2) for value in SPECIAL_VALUES),
        *class_weights({"input": [[0.5, 2.0, -1.0]], "target": [0]}, place=0),
        Special(
            condition="scores=+inf on target and off it",
            args={"input": [["+inf", "+inf", 0.0]], "target": [0]},
            want="nan",
        ),
        Special(
            condition="scores=-inf on target and off it",
            args={"input": [["-inf", "-inf", 0.0]], "target": [0]},
            want="nan",
        ),
        Special(condition="scores=-inf off target", args={"input": [["-inf", 0.0, "-inf"]], "target": [1]}, want="0"),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(condition="tied scores cost the margin", args={"input": [[7.0] * 4], "target": [2]}, want=0.75),
        Special(
            condition="tied scores, no margin",
            args={"input": [[7.0] * 4], "target": [2]},
            parameters={"margin": 0.0},
            want="0",
        ),
        Special(condition="ahead by just the margin", args={"input": [[2.0, 1.0, 1.0]], "target": [0]}, want="0"),
        Special(
            condition="behind by 1, p=2",
            args={"input": [[0.0, 1.0, -1.0]], "target": [0]},
            parameters={"p": 2},
            want=1.333333,
        ),
        Special(
            condition="published: [0.1,0.2,0.4,0.8] against 3, mean",
            args={"input": [[0.1, 0.2, 0.4, 0.8]], "target": [3]},
            want=0.325,
            reduction="mean",
        ),
    ),
    laws=(
        shifted("scores"),
        permuted(("input",), index="target", per_class=("weight",)),
        Law(name="scores and margin 8 times as large, the loss 8**p times", move=_scaled, needs=("margin",)),
        TWICE_THE_WEIGHT,
        Vanishing(name="0 where the target is ahead by twice the margin", move=_won),
        Sibling(
            name="multilabel_margin_loss of one label",
            move=_one_label,
            loss=lambda torch: lambda **given: torch.nn.functional.multilabel_margin_loss(**given, reduction="none"),
        ),
        non_negative(),
    ),
    errors=(
        *index_errors(
            "scores",
            {
                "class index at the number of classes": (("RuntimeError", "IndexError"), "target out of range"),
                "class index -1": (("RuntimeError", "IndexError"), "target out of range"),
                "fewer targets than rows": (
                    "RuntimeError",
                    "target tensor should be 1-D with size equal to the number of input samples",
                ),
                "class indices of dtype int32": ("RuntimeError", "expected scalar type Long but found Int"),
                "class indices of dtype float32": ("RuntimeError", "expected scalar type Long but found Float"),
                SHORT_WEIGHT: ("RuntimeError", "inconsistent weight size"),
            },
        ),
        refused("p of 3", RIGHT, "ValueError", "only p == 1 and p == 2 supported", p=3),
        refused(
            "weight of two dimensions",
            lambda torch: (*RIGHT(torch), torch.ones(2, 3)),
            "ValueError",
            "one-dimensional|1D",
        ),
        refused("scores of three dimensions", lambda torch: (torch.zeros(2, 3, 4), torch.tensor([0, 1])), *NO_MATRIX),
        refused("no classes", lambda torch: (torch.zeros(2, 0), torch.tensor([0, 1])), *NO_MATRIX),
    ),
    near_kink=_near_kink,
)
