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
from lossproof.inputs import class_index, logits

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
