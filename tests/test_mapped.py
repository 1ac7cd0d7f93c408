"""Rows of a loss that takes one at a time: all together, or in a call each with one backward pass, as single calls."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.binding import Subject
from harness.cases import Batch
from harness.custom import custom
from harness.evaluate import observe_rows
from harness.mapped import GRAPHS, apart
from harness.ulp import FLOAT64
from lossproof.inputs import embedding


def pulled_together(first: Tensor, second: Tensor) -> Tensor:
    """Branches on its numbers, as vmap cannot."""
    far = (first - second).norm(dim=1)
    return far.mean() if far.max() > 1 else 0.5 * (far**2).mean()


class Scaled(nn.Module):
    """A learnable parameter beside the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return pulled_together(first * self.scale, second)


def second_only_far(first: Tensor, second: Tensor) -> Tensor:
    """Whether a gradient flows to the second argument depends on the numbers."""
    return first.norm() + second.norm() if first.max() > 1 else first.norm()


def refused(first: Tensor, second: Tensor) -> Tensor:
    if first.max() > 1e6:
        raise ValueError("too large")
    return pulled_together(first, second)


def rows_of(loss: Any, rows: int = GRAPHS + 5) -> tuple[Subject, Batch]:
    """The loss as it is declared, and rows of small numbers."""
    subject = custom(loss, {"first": embedding("B", "D"), "second": embedding("B", "D")})
    rng = np.random.default_rng(0)
    shapes = {"B": 4, "D": 3}
    args = {a.name: rng.normal(size=(rows, *(shapes.get(d, 1) for d in a.dims))) for a in subject.contract.args}
    return subject, Batch(args=args, precision=FLOAT64)


@pytest.mark.parametrize("loss", [pulled_together, Scaled()], ids=["function", "learnable parameter"])
def test_rows_apart_are_what_single_calls_give(loss: Any) -> None:
    subject, batch = rows_of(loss)
    assert subject.contract.one_by_one
    found, single = apart(subject, batch), observe_rows(subject, batch)
    assert found is not None
    assert single.value is not None
    assert np.array_equal(found.value, single.value)
    assert set(found.gradients) == set(single.gradients) >= {"first", "second"}
    for name, gradient in single.gradients.items():
        assert np.array_equal(found.gradients[name], gradient)
        assert np.abs(gradient).max() > 0


def test_an_argument_that_a_row_does_not_reach_has_no_gradient_as_in_single_calls() -> None:
    subject, batch = rows_of(second_only_far)
    found, single = apart(subject, batch), observe_rows(subject, batch)
    assert found is not None
    assert set(found.gradients) == set(single.gradients) == {"first"}


def test_where_a_row_raises_there_is_no_answer_and_single_calls_say_which() -> None:
    subject, batch = rows_of(refused)
    batch.args["first"][GRAPHS + 1, 0, 0] = 2e6
    assert apart(subject, batch) is None
    raised = observe_rows(subject, batch).raised
    assert raised is not None
    assert raised.batch is not None
    assert raised.batch.args["first"].max() == 2e6


@pytest.mark.filterwarnings("error")
def test_what_a_call_warns_of_stays_in_it() -> None:
    def warned(first: Tensor, second: Tensor) -> Tensor:
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
        return pulled_together(first, second)

    subject, batch = rows_of(warned, rows=3)
    assert apart(subject, batch) is not None
