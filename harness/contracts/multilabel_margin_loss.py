"""Multi-label hinge loss of scores and the indices of some classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.contracts.classes import shifted
from harness.contracts.errors import NO_KERNEL, Tensors, ones, refused, unknown_reduction
from harness.contracts.multi_margin_loss import NEAR, NO_MATRIX
from harness.deviations import Points
from harness.domain import Arg, Logits, MultiLabelIndex
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative
from harness.special import SPECIAL_VALUES, Special
from reference.mp import classes
from reference.multiclass import multilabel_margin_loss

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


def front(at: Points) -> Mask:
    """Which targets count: those before the first -1, shape (R, K)."""
    return np.logical_and.accumulate(at["target"] >= 0, axis=1)


def labelled(at: Points) -> Mask:
    """Which classes are a label, shape (R, K)."""
    target, counts = at["target"], front(at)
    member = np.zeros(target.shape, np.bool_)
    row, place = np.nonzero(counts)
    member[row, target[row, place]] = True
    return member


def _near_kink(at: Points) -> Mask:
    """A hinge within NEAR of 0."""
    x, y = at["input"], labelled(at)
    gap = 1.0 - x[:, :, None] + x[:, None, :]
    near = (np.abs(gap) < NEAR) & y[:, :, None] & ~y[:, None, :]
    return np.asarray(near.any(axis=(1, 2)), np.bool_)


def _renamed(at: Points) -> Moved:
    x, t = at["input"], at["target"]
    target = np.where(t >= 0, t.shape[1] - 1 - t, t)
    return Moved(args={"input": np.flip(x, axis=1).copy(), "target": target}, parameters={}, applies=everywhere(at))


def _reordered(at: Points) -> Moved:
    """The labels that count in the opposite order, the rest where it is."""
    target, counts = at["target"], front(at)
    places = np.arange(target.shape[1])
    back = np.where(counts, counts.sum(axis=1, keepdims=True) - 1 - places, places)
    moved = np.take_along_axis(target, back, axis=1)
    return Moved(args={**at.args, "target": moved}, parameters={}, applies=everywhere(at))


def _padded(at: Points) -> Moved:
    return Moved(
        args={**at.args, "target": np.where(front(at), at["target"], -1)}, parameters={}, applies=everywhere(at)
    )


def _won(at: Points) -> Moved:
    return Moved(args={**at.args, "input": np.where(labelled(at), 2.0, 0.0)}, parameters={}, applies=everywhere(at))


def _unlabelled(at: Points) -> Moved:
    return Moved(args={**at.args, "target": np.full_like(at["target"], -1)}, parameters={}, applies=everywhere(at))


def _as_class(at: Points) -> Moved:
    first: Indices = np.maximum(at["target"][:, 0], 0)
    return Moved(args={"input": at["input"], "target": first}, parameters={}, applies=front(at).sum(axis=1) == 1)


def _off_label(value: str) -> Special:
    wanted = {"+inf": "+inf", "-inf": "0", "nan": "nan"}
    return Special(
        condition=f"score={value} of no label",
        args={"input": [[0.5, value, -1.0]], "target": [[0, -1, 1]]},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


def _on_label(value: str) -> Special:
    wanted = {"+inf": "0", "-inf": "+inf", "nan": "nan", "+largest": "0"}
    return Special(
        condition=f"score={value} of the label",
        args={"input": [[0.5, value, -1.0]], "target": [[1, -1, 0]]},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


def _labelled(target: Any, dtype: str = "int64") -> Tensors:
    return lambda torch: (torch.zeros(2, 3), torch.tensor(target, dtype=getattr(torch, dtype)))


OUT_OF_RANGE = (("RuntimeError", "IndexError"), "out of range")
OTHER_SIZE = ("RuntimeError", "inconsistent target size")

CONTRACT = Contract(
    name="multilabel_margin_loss",
    module="MultiLabelMarginLoss",
    summary="By how much, on average, the classes that are no label come closer than 1 to the scores of the labels.",
    formula="sum over labels j and classes i that are no label of max(0, 1 - (x[y[j]] - x[i])), over the number of"
    " classes; the labels are the targets before the first -1",
    sources=("torch.nn.MultiLabelMarginLoss",),
    # Not C: the number of pairs grows with its square, so that rows of 128,256 classes are out of reach.
    dims={"K": (5, 1, 2, 10, 24)},
    args=(
        Arg(name="input", kind=Logits(), dims=("K",)),
        Arg(name="target", kind=MultiLabelIndex(classes="K"), dims=("K",), role="target"),
    ),
    oracle=multilabel_margin_loss,
    definition=classes.multilabel_margin_loss,
    layouts=("rows", "strided", "single"),
    scales="B_ref = the terms with the rounding of x[i] - x[y[j]] in them; B_abs = pairs / K (1 + max abs(x))",
    specials=(
        *(_off_label(value) for value in SPECIAL_VALUES),
        *(_on_label(value) for value in SPECIAL_VALUES),
        Special(
            condition="scores=+inf of a label and of none",
            args={"input": [["+inf", "+inf", 0.0]], "target": [[0, -1, -1]]},
            want="nan",
        ),
        Special(
            condition="score=nan of no label, no labels", args={"input": [["nan", 0.0]], "target": [[-1, 0]]}, want="0"
        ),
        Special(condition="no labels", args={"input": [[1.0, 2.0, 3.0]], "target": [[-1, 0, 2]]}, want="0"),
        Special(condition="all classes are labels", args={"input": [[1.0, 2.0, 3.0]], "target": [[2, 0, 1]]}, want="0"),
        Special(condition="one class, a label", args={"input": [[3.0]], "target": [[0]]}, want="0"),
        Special(condition="one class, no label", args={"input": [[3.0]], "target": [[-1]]}, want="0"),
        Special(
            condition="tied scores cost 1 a pair", args={"input": [[7.0] * 4], "target": [[2, 0, -1, 1]]}, want=1.0
        ),
        Special(
            condition="ahead by just the margin", args={"input": [[2.0, 1.0, 1.0]], "target": [[0, -1, -1]]}, want="0"
        ),
        Special(
            condition="a label given twice counts twice",
            args={"input": [[0.0, 0.0, 0.0]], "target": [[0, 0, -1]]},
            want=1.333333,
        ),
        Special(
            condition="index beyond the classes after the first -1",
            args={"input": [[0.0, 0.0, 0.0]], "target": [[0, -1, 3]]},
            want="outside",
            reason="it does not count, but is no class either",
        ),
        Special(
            condition="published: [0.1,0.2,0.4,0.8] against [3,0,-1,1], mean",
            args={"input": [[0.1, 0.2, 0.4, 0.8]], "target": [[3, 0, -1, 1]]},
            want=0.85,
            reduction="mean",
        ),
    ),
    laws=(
        shifted("scores"),
        Law(name="order of classes does not matter", move=_renamed),
        Law(name="order of labels does not matter", move=_reordered, gradients={"input": ("input", 1.0)}),
        Law(name="nothing counts after the first -1", move=_padded, gradients={"input": ("input", 1.0)}),
        Vanishing(name="0 where the labels are ahead by 2", move=_won),
        Vanishing(name="0 without labels", move=_unlabelled),
        Sibling(
            name="multi_margin_loss where there is one label",
            move=_as_class,
            loss=lambda torch: lambda **given: torch.nn.functional.multi_margin_loss(**given, reduction="none"),
        ),
        non_negative(),
    ),
    errors=(
        refused("label at the number of classes", _labelled([[0, 3, -1], [0, 1, -1]]), *OUT_OF_RANGE),
        refused("label -2", _labelled([[0, -2, -1], [0, 1, -1]]), *OUT_OF_RANGE),
        refused("fewer targets than classes", _labelled([[0, -1], [0, 1]]), *OTHER_SIZE),
        refused("targets without a batch dimension", _labelled([0, 1, -1]), *OTHER_SIZE),
        refused(
            "targets of dtype int32",
            _labelled([[0, 1, -1]] * 2, "int32"),
            "RuntimeError",
            "expected scalar type Long but found Int",
        ),
        refused(
            "targets of dtype float32",
            _labelled([[0, 1, -1]] * 2, "float32"),
            "RuntimeError",
            "expected scalar type Long but found Float",
        ),
        refused("scores of dtype int64", ones((2, 3), (2, 3), dtype="int64"), *NO_KERNEL),
        refused("scores of three dimensions", ones((2, 3, 4), (2, 3, 4), dtype="int64"), *NO_MATRIX),
        refused("no classes", ones((2, 0), (2, 0), dtype="int64"), *NO_MATRIX),
        unknown_reduction(_labelled([[0, 1, -1]] * 2)),
    ),
    near_kink=_near_kink,
)
