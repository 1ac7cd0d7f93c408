"""Forms found in the wild, wrong on purpose of nobody: what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from lossproof import validate
from lossproof.inputs import binary, probability
from suites.specimens.binary import binary_focal_loss
from suites.specimens.cross_entropy import cross_entropy_of_leads
from suites.specimens.regression import rmse_loss
from suites.specimens.wild import (
    OtherInTraining,
    cross_entropy_after_softmax,
    ctc_batch_first,
    dice_of_floats,
    iou_of_raw_coordinates,
    of_integer_one_hot,
    squeezed,
    triplet_without_hinge,
)


def dice(input: Any, target: Any) -> Any:
    """In NumPy; two empty sets are the same set."""
    alone = (input * (1 - target) + (1 - input) * target).sum(axis=1)
    return alone / np.where(alone == 0, 1.0, input.sum(axis=1) + target.sum(axis=1))


WILD: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
    (iou_of_raw_coordinates, {"like": "box_iou_loss", "check": "value"}, "unstable", "expected"),
    (iou_of_raw_coordinates, {"like": "box_iou_loss", "check": "laws"}, "law", "never below 0"),
    (
        iou_of_raw_coordinates,
        {"like": "box_iou_loss", "check": "special"},
        "nan",
        "value: nan where the truth is a number: expected 0.0, got nan (one box twice)",
    ),
    (
        dice_of_floats,
        {"inputs": {"input": probability("N", "D"), "target": binary("N", "D")}, "oracle": dice, "check": "edges"},
        "nan",
        "expected a number, got nan",
    ),
    (
        dice_of_floats,
        {
            "inputs": {"input": probability("N", "D"), "target": binary("N", "D")},
            "check": "form",
            "dtype": "float64",
        },
        "dtype",
        "expected dtype float64 on cpu, got float32",
    ),
    (binary_focal_loss, {"like": "binary_focal_loss", "check": "range"}, "finite-for-inf", "a finite number where"),
    (
        cross_entropy_after_softmax,
        {"like": "cross_entropy", "check": "mistakes"},
        "mistake",
        "applied to input first: twice",
    ),
    (triplet_without_hinge, {"like": "triplet_margin_loss", "check": "laws"}, "law", "never below 0"),
    (rmse_loss, {"like": "rmse_loss", "check": "range"}, "nan", "gradient with respect to input: nan where"),
    (squeezed, {"like": "mse_loss", "check": "form"}, "shape", "(1,)"),
    (
        of_integer_one_hot,
        {"like": "cross_entropy", "check": "value"},
        "raised",
        "got RuntimeError: Expected floating point type for target with class probabilities, got Long",
    ),
    (
        ctc_batch_first,
        {"like": "ctc_loss", "check": "mistakes"},
        "mistake",
        "log_probs is taken with the batch first, as (N, T, C): expected (T, N, C)",
    ),
    (OtherInTraining, {"like": "mse_loss", "check": "form"}, "random", "random number generator"),
]


def test_a_gradient_that_is_infinite_is_no_error_of_the_harness() -> None:
    result = validate(iou_of_raw_coordinates, like="box_iou_loss", check="form", dtype="float32")
    assert [t.reason for t in result.trials if t.verdict == "error"] == []


def test_ignored_targets_are_no_error_of_the_harness_where_mistakes_are_sought() -> None:
    result = validate(cross_entropy_of_leads, like="cross_entropy", check="mistakes", dtype="float32")
    assert [(t.verdict, t.reason) for t in result.trials] == [("pass", "")]


def ctc_that_always_raises(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0
) -> Tensor:
    raise ValueError("not today")


def test_what_raises_in_either_layout_is_not_said_to_have_the_batch_first() -> None:
    result = validate(ctc_that_always_raises, like="ctc_loss", check="mistakes", dtype="float32")
    assert [f.kind for f in result.findings] == ["raised"]
    assert "ValueError: not today" in result.findings[0].message


@pytest.mark.parametrize(
    ("loss", "options", "kind", "says"), WILD, ids=[f"{loss.__name__}-{kind}" for loss, _, kind, _ in WILD]
)
def test_what_is_wrong_is_said(loss: Any, options: dict[str, Any], kind: str, says: str) -> None:
    result = validate(loss, **{"dtype": "float32", **options})
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    defects = [f for f in result.findings if f.severity == "defect"]
    said = [f.message for f in defects if f.kind == kind]
    assert any(says in message for message in said), {(f.kind, f.message) for f in defects}
    assert not result.ok
