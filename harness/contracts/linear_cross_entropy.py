"""Cross-entropy of logits that the loss itself projects from features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.classes import WEIGHT_RANGE
from harness.contracts.cross_entropy import NO_PROBABILITY
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Embedding, Matrix, Simplex, Weight
from harness.laws import Law, Mask, Moved, Sibling, Vanishing, non_negative
from harness.special import SPECIAL_VALUES, ErrorInput, Special
from reference import reductions
from reference.mp import classes
from reference.projection import linear_cross_entropy

LARGEST = 2.0**500
"""Products of two float64 numbers beyond leave the range of the oracle; the other dtypes end far below."""
INFINITE = "an infinite feature or weight makes infinite logits, whose softmax has no value"
UNIT = [[1.0, 0.0], [0.5, 1.0], [0.0, -1.0]]

ARGS = (
    Arg(name="input", kind=Embedding(largest=LARGEST), dims=("D",)),
    Arg(name="linear_weight", kind=Matrix(largest=LARGEST), dims=("C", "D"), shared=True),
    Arg(name="target", kind=ClassIndex(ignored="ignore_index"), role="target"),
    Arg(name="linear_bias", kind=Matrix(largest=LARGEST), dims=("C",), optional=True, shared=True),
    Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
)


def kept(at: Points) -> Mask:
    """Rows whose class index is not the ignored one."""
    return np.asarray(at["target"] != _ignored(at), np.bool_)


def _reversed(at: Points) -> Moved:
    """The classes in the opposite order."""
    shared = ("linear_weight", "linear_bias", "weight")
    moved = dict(at.args) | {n: np.flip(at.args[n], axis=0).copy() for n in shared if n in at.args}
    target, last = at["target"], len(at["linear_weight"]) - 1
    if np.ndim(target) == 2:
        moved["target"] = np.flip(target, axis=1).copy()
    else:
        moved["target"] = np.where(kept(at) & (target >= 0), last - target, target)
    # An ignored index inside the range of the classes does not move with them.
    clash = np.zeros(len(target), np.bool_) if np.ndim(target) == 2 else kept(at) & (moved["target"] == _ignored(at))
    return Moved(args=moved, parameters=at.parameters, applies=~clash)


def _ignored(at: Points) -> int:
    given = at.parameters.get("ignore_index")
    return -100 if given is None else int(given)


def _with_probabilities(wrong: ErrorInput) -> ErrorInput:
    """The same call with probabilities."""

    def call(torch: Any, loss: Callable[..., Any]) -> Any:
        return wrong.call(torch, lambda x, w, y, **k: loss(x, w, torch.ones(2, 4) / 4, **k))

    return replace(wrong, call=call)


def _unrivalled(at: Points) -> Moved:
    """One class alone has probability 1."""
    shared = ("linear_weight", "linear_bias", "weight")
    moved = dict(at.args) | {n: at.args[n][:1] for n in shared if n in at.args}
    moved["target"] = np.zeros_like(at["target"]) if np.ndim(at["target"]) == 1 else np.ones_like(at["target"][:, :1])
    here = np.full(len(at["target"]), _ignored(at) != 0)
    return Moved(args=moved, parameters=at.parameters, applies=here)


def _biased(at: Points) -> Moved:
    """A bias is the weight of a feature that is always 1."""
    has = "linear_bias" in at.args
    bias = at.args["linear_bias"] if has else np.zeros(len(at["linear_weight"]))
    moved = {k: v for k, v in at.args.items() if k != "linear_bias"}
    moved["input"] = np.concatenate([at["input"], np.ones((len(at["input"]), 1))], axis=1)
    moved["linear_weight"] = np.concatenate([at["linear_weight"], bias[:, None]], axis=1)
    return Moved(args=moved, parameters=at.parameters, applies=np.full(len(at["input"]), has))


def _as_written(torch: Any) -> Any:
    functional = torch.nn.functional

    def loss(input: Any, linear_weight: Any, target: Any, linear_bias: Any = None, **given: Any) -> Any:
        if given.get("ignore_index", 0) is None:
            del given["ignore_index"]
        logits = functional.linear(input, linear_weight, linear_bias)
        return functional.cross_entropy(logits, target, **given, reduction="none")

    return loss


def _in_range(at: Points) -> Mask:
    """Rows without a partial sum that overflows, which the order of the sum decides."""
    partial = at.truth.value.partial
    assert partial is not None
    return np.asarray(partial[1] <= at.precision.largest, np.bool_)


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters=at.parameters, applies=_in_range(at))


def _special(
    argument: str, value: str, args: dict[str, Any], *, legal: bool, reason: str, zero: bool = False
) -> Special:
    want = "nan" if value == "nan" else "formula" if legal else "outside"
    return Special(
        condition=f"{argument}={value}",
        args=args,
        want="0" if zero and legal else want,
        reason="" if want != "outside" else reason,
        covers=((argument, value),),
    )


def _specials(target: Any) -> tuple[Special, ...]:
    rows = []
    for v in SPECIAL_VALUES:
        finite = not v.endswith("inf")
        base = {"input": [[0.5, -1.0]], "linear_weight": UNIT, "target": target}
        rows += [
            _special("input", v, base | {"input": [[v, 1.0]]}, legal=finite, reason=INFINITE),
            _special(
                "linear_weight",
                v,
                base | {"linear_weight": [[v, 1.0], [1.0, 0.0], [0.0, 1.0]]},
                legal=finite,
                reason=INFINITE,
            ),
            _special("linear_bias", v, base | {"linear_bias": [v, 0.25, 1.0]}, legal=finite, reason=INFINITE),
        ]
        args = base | {"weight": [v, 1.0, 1.0]}
        if v == "nan":
            rows.append(_special("weight", v, args, legal=False, reason=WEIGHT_RANGE))
        else:
            rows.append(_special("weight", v, args, legal=v in ("+0", "-0"), reason=WEIGHT_RANGE, zero=True))
    return tuple(rows)


WRONG_CALLS = (
    ErrorInput(
        name="features of another length than those of the weight",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(4, 2), torch.tensor([0, 1])),
        raises=("RuntimeError",),
        match="expected equal input and linear_weight last dimensions",
    ),
    ErrorInput(
        name="input of three dimensions",
        call=lambda torch, loss: loss(torch.ones(2, 2, 3), torch.ones(4, 3), torch.tensor([0, 1])),
        raises=("RuntimeError",),
        match="expected input with dimensionality 1 or 2",
    ),
    ErrorInput(
        name="weight of one dimension",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(3), torch.tensor([0, 1])),
        raises=("RuntimeError",),
        match="expected linear_weight with dimensionality at least 2",
    ),
    ErrorInput(
        name="bias of another length than the classes",
        call=lambda torch, loss: loss(
            torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, 1]), linear_bias=torch.ones(3)
        ),
        raises=("RuntimeError",),
        match="expected linear_bias shape",
    ),
)

CONTRACT = Contract(
    name="linear_cross_entropy",
    module="LinearCrossEntropyLoss",
    summary="Cross-entropy of class indices under logits that are a linear map of features.",
    formula="cross_entropy(input @ linear_weight.T + linear_bias, target, weight, ignore_index, label_smoothing)",
    sources=("torch.nn.functional.linear_cross_entropy", "torch.nn.LinearCrossEntropyLoss"),
    dims={"D": (4, 1, 16), "C": (5, 1, 10)},
    args=ARGS,
    parameters=(
        Parameter(name="ignore_index", values=(None, 0)),
        Parameter(name="label_smoothing", values=(0.0, 0.1, 1.0)),
    ),
    oracle=linear_cross_entropy,
    definition=classes.linear_cross_entropy,
    reductions={"sum": reductions.total, "mean": reductions.class_weighted_mean},
    layouts=("rows", "strided", "single"),
    scales=(
        "those of cross_entropy, and the error of every logit, u (sum abs(x_i w_ij) + abs(z_j)), times abs(dL/dz_j); "
        "gradients of the matrices sum over rows"
    ),
    specials=(
        *_specials([0]),
        Special(
            condition="features=0, no bias, 3 classes",
            args={"input": [[0.0, 0.0]], "linear_weight": UNIT, "target": [1]},
            want=1.0986122887,
        ),
        Special(condition="one class", args={"input": [[3.0]], "linear_weight": [[2.0]], "target": [0]}, want="0"),
        Special(
            condition="ignored target", args={"input": [[1.0, 2.0]], "linear_weight": UNIT, "target": [-100]}, want="0"
        ),
        Special(
            condition="ignored target, ignore_index=-100",
            args={"input": [[1.0, 2.0]], "linear_weight": UNIT, "target": [-100]},
            parameters={"ignore_index": -100},
            want="0",
        ),
        Special(
            condition="ignored target, features=nan",
            args={"input": [["nan", 2.0]], "linear_weight": UNIT, "target": [-100]},
            want="0",
        ),
        Special(
            condition="all targets ignored, mean",
            args={"input": [[1.0, 2.0]], "linear_weight": UNIT, "target": [-100]},
            want="nan",
            reduction="mean",
        ),
    ),
    laws=(
        Law(name="order of classes does not matter", move=_reversed),
        Law(name="a bias is the weight of a feature that is 1", move=_biased),
        Vanishing(name="0 for one class alone", move=_unrivalled),
        Sibling(name="cross_entropy of linear, the documented equivalent", move=_same, loss=_as_written),
        non_negative(),
    ),
    errors=(
        *WRONG_CALLS,
        ErrorInput(
            name="class index at the number of classes",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, 4])),
            raises=("IndexError", "RuntimeError"),
            match="out of (bounds|range)",
        ),
        ErrorInput(
            name="class index -1",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, -1])),
            raises=("IndexError", "RuntimeError"),
            match="out of (bounds|range)",
        ),
        ErrorInput(
            name="label smoothing above 1",
            call=lambda torch, loss: loss(
                torch.ones(2, 3), torch.ones(4, 3), torch.tensor([0, 1]), label_smoothing=1.5
            ),
            raises=("RuntimeError",),
            match=r"label_smoothing",
        ),
    ),
)

SOFT = replace(
    CONTRACT,
    name="linear_cross_entropy_soft",
    summary="Cross-entropy of class probabilities under logits that are a linear map of features.",
    formula="cross_entropy(input @ linear_weight.T + linear_bias, probabilities, weight, label_smoothing)",
    args=tuple(replace(a, kind=Simplex(), dims=("C",), differentiable=True) if a.name == "target" else a for a in ARGS),
    parameters=(Parameter(name="label_smoothing", values=(0.0, 0.1, 1.0)),),
    specials=(
        *_specials([[1.0, 0.0, 0.0]]),
        *(
            Special(
                condition=f"probability={v}",
                args={"input": [[0.5, -1.0]], "linear_weight": UNIT, "target": [[0.25, v, 0.75]]},
                want="nan" if v == "nan" else "formula" if v in ("+0", "-0", "+subnormal", "+normal") else "outside",
                reason="" if v in ("nan", "+0", "-0", "+subnormal", "+normal") else NO_PROBABILITY,
                covers=(("target", v),),
            )
            for v in SPECIAL_VALUES
        ),
        Special(
            condition="uniform probabilities, features=0",
            args={"input": [[0.0, 0.0]], "linear_weight": [*UNIT, [2.0, 2.0]], "target": [[0.25] * 4]},
            want=1.3862943611,
        ),
    ),
    laws=(
        Law(name="order of classes does not matter", move=_reversed),
        Law(name="a bias is the weight of a feature that is 1", move=_biased),
        Vanishing(name="0 for one class alone", move=_unrivalled),
        Sibling(
            name="cross_entropy of linear, the documented equivalent", move=_same, loss=_as_written, real=("target",)
        ),
        non_negative(),
    ),
    errors=(
        *map(_with_probabilities, WRONG_CALLS),
        ErrorInput(
            name="ignore_index with probabilities",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(4, 3), torch.ones(2, 4) / 4, ignore_index=1),
            raises=("RuntimeError",),
            match="ignore_index cannot be specified when target contains probabilities",
        ),
    ),
)
