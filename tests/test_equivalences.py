"""Ways to write the same loss, judged as what they are, and remedies for nan, with what each costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lossproof import Result, validate
from suites.specimens.binary import bce_of_sigmoid, cross_entropy_with_eps, two_logits
from suites.specimens.cross_entropy import nll_of_log_softmax
from suites.specimens.metric import triplet_margin_loss_by_clamp
from suites.specimens.regression import RMSELoss, rmse_loss
from suites.specimens.wild import log_of_clamped, nan_to_0

ACCURACY = ("value", "gradient", "range")


def judged(loss: Any, like: str, baseline: str | None = None) -> Result:
    result = validate(loss, like=like, baseline=baseline, dtype="float32", check=ACCURACY, name="loss")
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return result


def triplet_by_relu(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    return F.relu(margin + F.pairwise_distance(anchor, positive) - F.pairwise_distance(anchor, negative))


def triplet_of_squares(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """FaceNet's."""
    near, far = (anchor - positive).square().sum(dim=1), (anchor - negative).square().sum(dim=1)
    return torch.clamp(near - far + margin, min=0)


SAME: list[tuple[Callable[..., Tensor], str]] = [
    (nll_of_log_softmax, "cross_entropy"),
    (two_logits, "binary_cross_entropy_with_logits"),
    (triplet_margin_loss_by_clamp, "triplet_margin_loss"),
    (triplet_by_relu, "triplet_margin_loss"),
]
OTHER: list[tuple[Callable[..., Tensor], str]] = [
    (bce_of_sigmoid, "binary_cross_entropy_with_logits"),
    (triplet_of_squares, "triplet_margin_loss"),
]


@pytest.mark.parametrize(("loss", "like"), SAME, ids=[loss.__name__ for loss, _ in SAME])
def test_ways_that_are_no_worse_than_that_of_torch(loss: Any, like: str) -> None:
    result = judged(loss, like, baseline="torch")
    assert result.ok, [f.message for f in result.findings if f.severity == "defect"]


@pytest.mark.parametrize(("loss", "like"), OTHER, ids=[loss.__name__ for loss, _ in OTHER])
def test_ways_that_are_worse_or_another_loss(loss: Any, like: str) -> None:
    assert not judged(loss, like, baseline="torch").ok


REMEDIES: list[tuple[Callable[..., Tensor], str, set[tuple[str, str]]]] = [
    # No inf any more, but other values near the ends and another slope.
    (cross_entropy_with_eps, "binary_cross_entropy", {("finite-for-inf", "value"), ("unstable", "value")}),
    # A gradient of 0 where the loss is largest.
    (log_of_clamped, "binary_cross_entropy", {("finite-for-inf", "value"), ("vanished", "input")}),
    # 0 for a loss that is too large to be computed naively.
    (nan_to_0, "soft_margin_loss", {("vanished", "value")}),
    # The nan of the root is gone; a perfect prediction costs 1e-3.
    (rmse_loss, "rmse_loss", {("nan", "input")}),
    (RMSELoss, "rmse_loss", {("unstable", "value"), ("unstable", "input")}),
]


@pytest.mark.parametrize(("loss", "like", "costs"), REMEDIES, ids=[loss.__name__ for loss, _, _ in REMEDIES])
def test_what_a_remedy_costs(loss: Any, like: str, costs: set[tuple[str, str]]) -> None:
    assert costs <= {(f.kind, f.output) for f in judged(loss, like).findings if f.severity == "defect"}


def test_a_remedy_against_nan_leaves_none() -> None:
    assert "nan" not in {f.kind for f in judged(RMSELoss, "rmse_loss").findings}
