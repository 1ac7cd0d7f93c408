"""Forms found in the wild, wrong on purpose of nobody: what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossproof import validate
from lossproof.inputs import binary, probability


def iou_of_raw_coordinates(input: Tensor, target: Tensor) -> Tensor:
    """``max`` where ``min`` is needed, and areas that are products of coordinates: 0 / 0 of a box at 0 and itself."""
    both = torch.max(input, target).prod(dim=1)
    return 1 - both / (input.prod(dim=1) + target.prod(dim=1) - both)


def dice_of_floats(input: Tensor, target: Tensor) -> Tensor:
    """No smoothing, and a conversion that narrows float64."""
    p, g = input.float(), target.float()
    return 1 - 2 * (p * g).sum(dim=1) / (p.sum(dim=1) + g.sum(dim=1))


def dice(input: Any, target: Any) -> Any:
    """In NumPy; two empty sets are the same set."""
    alone = (input * (1 - target) + (1 - input) * target).sum(axis=1)
    return alone / np.where(alone == 0, 1.0, input.sum(axis=1) + target.sum(axis=1))


def focal_of_clamped(input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Probabilities that are clamped, so that confident mistakes cost no more than 16."""
    p = input.clamp(1e-7, 1 - 1e-7)
    positive = -alpha * target * (1 - p) ** gamma * p.log()
    return positive - (1 - alpha) * (1 - target) * p**gamma * (1 - p).log()


def cross_entropy_after_softmax(input: Tensor, target: Tensor) -> Tensor:
    """Two softmaxes."""
    return F.cross_entropy(input.softmax(dim=1), target, reduction="none")


def triplet_without_hinge(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Far below 0 for easy triplets."""
    return F.pairwise_distance(anchor, positive) - F.pairwise_distance(anchor, negative) + margin


def root_of_mse(input: Tensor, target: Tensor) -> Tensor:
    """An infinite slope times 0 at a perfect prediction."""
    return torch.sqrt(F.mse_loss(input, target))


def squeezed(input: Tensor, target: Tensor, reduction: str = "none") -> Tensor:
    """A batch of one loses its dimension."""
    loss = (input - target).square().squeeze()
    return loss if reduction == "none" else getattr(loss, reduction)()


def of_integer_one_hot(input: Tensor, target: Tensor) -> Tensor:
    """Labels as integers of a distribution."""
    return F.cross_entropy(input, F.one_hot(target, input.shape[1]), reduction="none")


def ctc_batch_first(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0
) -> Tensor:
    """(N, T, C) where (T, N, C) is meant."""
    return F.ctc_loss(log_probs.transpose(0, 1), targets, input_lengths, target_lengths, blank, reduction="none")


class OtherInTraining(nn.Module):
    """Dropout inside a loss."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction, self.dropout = reduction, nn.Dropout(0.5)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(self.dropout(input), target, reduction=self.reduction)


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
    (focal_of_clamped, {"like": "binary_focal_loss", "check": "range"}, "finite-for-inf", "a finite number where"),
    (
        cross_entropy_after_softmax,
        {"like": "cross_entropy", "check": "mistakes"},
        "mistake",
        "applied to input first: twice",
    ),
    (triplet_without_hinge, {"like": "triplet_margin_loss", "check": "laws"}, "law", "never below 0"),
    (root_of_mse, {"like": "rmse_loss", "check": "range"}, "nan", "gradient with respect to input: nan where"),
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
