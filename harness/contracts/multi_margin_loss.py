"""Multi-class hinge loss of scores and the index of a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits, Weight
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, ErrorInput, Special
from harness.ulp import round_to
from reference.multiclass import multi_margin_loss

Mask = npt.NDArray[np.bool_]

SHIFT = 4.0
NEAR = 1e-3
WEIGHT_RANGE = "weights are 0 or from 2**-12 to 2**10: beyond, the weight and not the loss leaves the range"


def chosen(at: Points) -> Mask:
    """Which class is the target, shape (R, C)."""
    return np.asarray(np.arange(at["input"].shape[1]) == at["target"][:, None], np.bool_)


def _near_kink(at: Points) -> Mask:
    """A hinge within NEAR of 0; it costs nothing at p = 2."""
    x = at["input"]
    gap = at["margin"] - x[chosen(at)][:, None] + x
    near = (np.abs(gap) < NEAR) & ~chosen(at)
    return np.asarray(near.any(axis=1) & (at["p"] == 1), np.bool_)


def shifted(at: Points) -> Moved:
    """All scores moved by SHIFT, where that is exact."""
    x = at["input"]
    moved = round_to(at.precision, x + SHIFT)
    exact = ((moved - SHIFT == x) & (moved == x + SHIFT)).all(axis=1)
    return Moved(args={**at.args, "input": moved}, parameters=at.parameters, applies=exact)


def _scaled(at: Points) -> Moved:
    """Scores and margin eight times as large, where no number leaves the normal range."""
    x, p = at["input"], at.precision
    safe = (np.abs(8.0 * x) <= p.largest * 2.0**-8) & ((np.abs(x) >= p.smallest_normal) | (x == 0.0))
    parameters = {**at.parameters, "margin": 8.0 * at["margin"]}
    applies = np.asarray(safe.all(axis=1), np.bool_)
    return Moved(args={**at.args, "input": 8.0 * x}, parameters=parameters, applies=applies, factor=8.0 ** at["p"])


def _doubled(at: Points) -> Moved:
    weight = 2.0 * np.asarray(at["weight"], np.float64) * np.ones(at["input"].shape[1])
    here = np.full(len(at["input"]), "weight" in at.args)
    return Moved(args={**at.args, "weight": weight}, parameters=at.parameters, applies=here, factor=2.0)


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


def _weight(value: str) -> Special:
    legal = value in ("+0", "-0")
    return Special(
        condition=f"weight={value} of the target",
        args={"input": [[0.5, 2.0, -1.0]], "target": [0], "weight": [value, 1.0, 2.0]},
        want="0" if legal else "outside",
        reason="" if legal else WEIGHT_RANGE,
        covers=(("weight", value),),
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
    layouts=("rows", "strided", "single"),
    scales="B_ref = the terms with the rounding of x[i] - x[y] in them; B_abs = weight (margin + max abs(x))**p",
    specials=(
        *(_off_target(value) for value in SPECIAL_VALUES),
        *(_on_target(value, p) for p in (1, 2) for value in SPECIAL_VALUES),
        *(_weight(value) for value in SPECIAL_VALUES),
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
        Law(name=f"adding {SHIFT:g} to all scores changes nothing", move=shifted, gradients={"input": ("input", 1.0)}),
        permuted(("input",), index="target", per_class=("weight",)),
        Law(name="scores and margin 8 times as large, the loss 8**p times", move=_scaled, needs=("margin",)),
        Law(name="twice the weight, twice the loss", move=_doubled, needs=("weight",)),
        Vanishing(name="0 where the target is ahead by twice the margin", move=_won),
        Sibling(
            name="multilabel_margin_loss of one label",
            move=_one_label,
            loss=lambda torch: lambda **given: torch.nn.functional.multilabel_margin_loss(**given, reduction="none"),
        ),
        non_negative(),
    ),
    errors=(
        ErrorInput(
            name="p of 3",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 1]), p=3),
            raises=("ValueError",),
            match="only p == 1 and p == 2 supported",
        ),
        ErrorInput(
            name="weight of two dimensions",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 1]), weight=torch.ones(2, 3)),
            raises=("ValueError",),
            match="one-dimensional|1D",
        ),
        ErrorInput(
            name="weight of another length than the classes",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 1]), weight=torch.ones(2)),
            raises=("RuntimeError",),
            match="inconsistent weight size",
        ),
        ErrorInput(
            name="class index at the number of classes",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 3])),
            raises=("RuntimeError", "IndexError"),
            match="target out of range",
        ),
        ErrorInput(
            name="class index -1",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, -1])),
            raises=("RuntimeError", "IndexError"),
            match="target out of range",
        ),
        ErrorInput(
            name="fewer targets than rows",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0])),
            raises=("RuntimeError",),
            match="target tensor should be 1-D with size equal to the number of input samples",
        ),
        ErrorInput(
            name="class indices of dtype int32",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 1], dtype=torch.int32)),
            raises=("RuntimeError",),
            match="expected scalar type Long but found Int",
        ),
        ErrorInput(
            name="class indices of dtype float32",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0.0, 1.0])),
            raises=("RuntimeError",),
            match="expected scalar type Long but found Float",
        ),
        ErrorInput(
            name="scores of dtype int64",
            call=lambda torch, loss: loss(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1])),
            raises=("NotImplementedError", "RuntimeError"),
            match="not implemented for 'Long'",
        ),
        ErrorInput(
            name="scores of three dimensions",
            call=lambda torch, loss: loss(torch.zeros(2, 3, 4), torch.tensor([0, 1])),
            raises=("RuntimeError",),
            match="Expected non-empty vector or matrix",
        ),
        ErrorInput(
            name="no classes",
            call=lambda torch, loss: loss(torch.zeros(2, 0), torch.tensor([0, 1])),
            raises=("RuntimeError",),
            match="Expected non-empty vector or matrix",
        ),
        ErrorInput(
            name="reduction that does not exist",
            call=lambda torch, loss: loss(torch.zeros(2, 3), torch.tensor([0, 1]), reduction="average"),
            raises=("ValueError",),
            match="not a valid value for reduction",
        ),
    ),
    near_kink=_near_kink,
)
