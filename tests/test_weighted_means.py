"""A result over a batch that is a mean with weights of each row's own is one; what ties the rows together is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.cases import Batch
from harness.custom import custom
from harness.means import weighs_rows
from harness.ulp import FLOAT32
from lossproof import validate
from lossproof.inputs import class_index, lengths, logits, mask, real

INPUTS = {"logits": logits("N", 3), "target": class_index("N", classes=3)}


class ByClass(nn.Module):
    """Cross-entropy with weights of the classes, as it is usually held."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 5.0]))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        assert isinstance(self.weight, Tensor)
        return F.cross_entropy(logits, target, weight=self.weight)


def centred(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits - logits.mean(dim=0), target)


def ranked(logits: Tensor, target: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, target, reduction="none")
    return (losses * torch.arange(1, len(losses) + 1)).mean()


def of_confident_rows(logits: Tensor, target: Tensor) -> Tensor:
    """Weights that are 0 or negative make no mean."""
    losses = F.cross_entropy(logits, target, reduction="none")
    weights = torch.where(target == 2, -0.5, 1.0)
    return (weights * losses).sum() / weights.sum()


@pytest.mark.parametrize(
    ("loss", "is_one"), [(ByClass(), True), (centred, False), (ranked, False), (of_confident_rows, False)]
)
def test_weights_are_found_from_pairs_of_rows(loss: Any, is_one: bool) -> None:
    subject = custom(loss, INPUTS)
    rng = np.random.default_rng(1)
    args = {"logits": rng.normal(size=(7, 3)), "target": np.array([0, 1, 2, 0, 1, 2, 2])}
    assert weighs_rows(subject, Batch(args=args, precision=FLOAT32)) is is_one


def test_a_mean_by_class_is_no_finding_and_said() -> None:
    result = validate(ByClass(), inputs=INPUTS, dtype="float32", check="reductions")
    assert result.ok
    assert [f.message for f in result.findings if "weights of their own" in f.message]


def half(logits: Tensor, target: Tensor) -> Tensor:
    return 0.5 * F.cross_entropy(logits, target)


def test_where_a_formula_says_what_the_rows_are_no_other_mean_will_do() -> None:
    def rows(logits: Any, target: Any) -> Any:
        shifted = logits - logits.max(axis=1, keepdims=True)
        return np.log(np.exp(shifted).sum(axis=1)) - np.take_along_axis(shifted, target[:, None], 1)[:, 0]

    for options in ({"like": "cross_entropy"}, {"inputs": INPUTS, "oracle": rows}):
        result = validate(half, dtype="float32", check="reductions", **options)
        assert not result.ok
        assert not [f for f in result.findings if "weights of their own" in f.message]


@pytest.mark.parametrize("loss", [centred, ranked])
def test_rows_that_are_tied_together_are_found(loss: Any) -> None:
    assert not validate(loss, inputs=INPUTS, dtype="float32", check="reductions").ok


def masked(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    counts = mask.to(pred.dtype)
    return ((pred - target) ** 2 * counts).sum() / counts.sum().clamp(min=1)


def within_lengths(pred: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    inside = torch.arange(pred.shape[1], device=pred.device)[None] < lengths[:, None]
    return torch.where(inside, (pred - target) ** 2, 0.0).sum() / inside.sum()


class Kept(nn.Module):
    """The mean of torch, which leaves a class out."""

    def __init__(self, reduction: str = "mean", ignore_index: int = 0) -> None:
        super().__init__()
        self.reduction, self.ignore_index = reduction, ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction=self.reduction)


def kept(logits: Tensor, target: Tensor) -> Tensor:
    return Kept()(logits, target)


PAIR = {"pred": real("N", "T"), "target": real("N", "T")}
LEFT_OUT: list[tuple[Any, dict[str, Any]]] = [
    (masked, {"pred": real("N"), "target": real("N"), "mask": mask("N")}),
    (masked, {**PAIR, "mask": mask("N", "T")}),
    (within_lengths, {**PAIR, "lengths": lengths("N", of="T")}),
    (Kept, {"logits": logits("N", "C"), "target": class_index("N", classes="C")}),
    (kept, {"logits": logits("N", "C"), "target": class_index("N", classes="C")}),
]


@pytest.mark.parametrize(("loss", "inputs"), LEFT_OUT)
def test_a_mean_of_what_counts_is_not_held_to_the_mean_of_all_rows(loss: Any, inputs: dict[str, Any]) -> None:
    result = validate(loss, inputs=inputs, dtype="float32", check=["reductions", "mistakes", "laws"])
    assert [f.message for f in result.findings if f.severity == "defect"] == []
