"""Rows of a loss that takes one at a time: a call each and one backward pass for many give what single calls give."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness import evaluate, registry
from harness.api import subject_for
from harness.binding import Subject, bind
from harness.cases import Batch
from harness.custom import custom
from harness.evaluate import GRAPHS, Observation, observe, observe_rows, settled
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


def singly(subject: Subject, batch: Batch) -> list[Observation]:
    rows = batch.rows(subject.contract)
    return [observe(subject, batch.take(subject.contract, slice(r, r + 1))) for r in range(rows)]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many gradients are asked for from now on."""
    passes: list[int] = []
    backward = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: passes.append(1) or backward(*a, **k))
    return passes


@pytest.mark.parametrize("loss", [pulled_together, Scaled()], ids=["function", "learnable parameter"])
def test_rows_with_one_backward_pass_are_what_single_calls_give(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, batch = rows_of(loss)
    assert subject.contract.one_by_one
    single, passes = singly(subject, batch), counted(monkeypatch)
    found = observe_rows(subject, batch)
    assert len(passes) == 2, "one for so many rows, one for the rest"
    assert found.value is not None
    assert np.array_equal(found.value, np.concatenate([s.value for s in single if s.value is not None]))
    assert set(found.gradients) >= {"first", "second"}
    for name, gradient in found.gradients.items():
        assert np.array_equal(gradient, np.concatenate([s.gradients[name] for s in single]))
        assert np.abs(gradient).max() > 0
    for told in ("unreached", "dtype", "gradient_dtypes", "shape", "device", "warnings", "mutated", "used_rng"):
        assert getattr(found, told) == getattr(single[0], told), told


def mean_cosine(input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cosine_embedding_loss(input1, input2, target)


def mean_cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(input, target)


MEANS = {"cosine_embedding_loss": mean_cosine, "cross_entropy": mean_cross_entropy}


@pytest.mark.parametrize("like", MEANS)
def test_a_mean_of_one_row_has_the_gradient_of_the_row(like: str) -> None:
    """In a leaf of its own, which keeps the axis of the rows."""
    subject = subject_for(MEANS[like], like)
    assert not subject.takes_none
    contract, rng, rows = subject.contract, np.random.default_rng(1), 9
    args = {
        "cosine_embedding_loss": {
            "input1": rng.normal(size=(rows, 4)),
            "input2": rng.normal(size=(rows, 4)),
            "target": rng.choice((-1.0, 1.0), rows),
        },
        "cross_entropy": {"input": rng.normal(size=(rows, 4)), "target": rng.integers(0, 4, rows)},
    }[like]
    batch = Batch(args=args, precision=FLOAT64)
    found = observe_rows(subject, batch)
    truth = batch.truth(contract)
    assert found.value is not None
    assert np.allclose(found.value, truth.value.exact, rtol=1e-12)
    for name, gradient in found.gradients.items():
        assert gradient.shape == truth.gradients[name].exact.shape
        assert np.allclose(gradient, truth.gradients[name].exact, rtol=1e-9, atol=1e-12)


def test_an_argument_that_a_row_does_not_reach_has_no_gradient_as_in_single_calls() -> None:
    subject, batch = rows_of(second_only_far)
    single = singly(subject, batch)
    assert {"second" in s.gradients for s in single} == {True, False}
    assert set(observe_rows(subject, batch).gradients) == {"first"}


def test_where_a_row_raises_single_calls_say_which() -> None:
    subject, batch = rows_of(refused)
    batch.args["first"][GRAPHS + 1, 0, 0] = 2e6
    raised = observe_rows(subject, batch).raised
    assert raised is not None
    assert raised.batch is not None
    assert raised.batch.rows(subject.contract) == 1
    assert raised.batch.args["first"].max() == 2e6


def detached_far(first: Tensor, second: Tensor) -> Tensor:
    value = pulled_together(first, second)
    return value.detach() if first.max() > 1 else value


def of_another_dtype_far(first: Tensor, second: Tensor) -> Tensor:
    value = pulled_together(first, second)
    return value.float() if first.max() > 1 else value


@pytest.mark.parametrize("loss", [detached_far, of_another_dtype_far])
def test_rows_that_are_not_alike_are_asked_singly(loss: Any) -> None:
    subject, batch = rows_of(pulled_together)
    subject = replace(subject, call=rows_of(loss)[0].call)
    single, found = singly(subject, batch), observe_rows(subject, batch)
    assert found.value is not None
    assert np.array_equal(found.value, np.concatenate([s.value for s in single if s.value is not None]))
    assert (found.gradient_raised is not None) == any(s.gradient_raised is not None for s in single)
    assert (loss is detached_far) == (found.gradient_raised is not None)


def unruly(first: Tensor, second: Tensor) -> Tensor:
    """Every fifth call or so warns, changes its input and draws a number."""
    if first.max() > 1:
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
        second.data.mul_(1.0)
        first.detach().add_(0.0)
        torch.rand(1)
    return pulled_together(first, second)


@pytest.mark.filterwarnings("error")
def test_what_a_row_does_beside_its_result_is_seen() -> None:
    subject, batch = rows_of(pulled_together)
    assert not observe_rows(subject, batch).mutated
    assert not observe_rows(subject, batch).used_rng
    subject = replace(subject, call=rows_of(unruly)[0].call)
    seen = observe_rows(subject, batch)
    assert seen.warnings == ("mind the gap",)
    assert seen.mutated == ("first",)
    assert seen.used_rng


def test_slow_calls_are_not_held_back_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is that of a call, and a backward pass is one too."""
    subject, batch = rows_of(pulled_together, rows=6)
    monkeypatch.setattr(evaluate, "SLOW", -1.0)
    passes = counted(monkeypatch)
    found = observe_rows(subject, batch)
    assert len(passes) == 6
    assert found.value is not None
    assert len(found.value) == 6


def with_calls_of(subject: Subject, loss: Any) -> Subject:
    """The Subject with another loss in its place, which is not asked anything beforehand."""
    return replace(subject, call=lambda tensors, parameters, reduction: loss(**tensors))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_result_that_cannot_be_read_is_what_the_loss_does(gradients: bool) -> None:
    subject, batch = rows_of(pulled_together)
    elsewhere = with_calls_of(subject, lambda first, second: pulled_together(first, second).to("meta"))
    raised = observe_rows(elsewhere, batch, gradients=gradients).raised
    assert raised is not None
    assert "meta" in raised.message
    assert raised.batch is not None
    assert raised.batch.rows(subject.contract) == 1


class Kept(nn.Module):
    """Gives the tensor that it has given before, with another number in it."""

    def __init__(self) -> None:
        super().__init__()
        self.result = torch.zeros((), dtype=torch.float64)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        self.result = self.result.detach()
        return self.result.copy_(pulled_together(first, second))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_result_that_the_next_call_overwrites_is_read_before(gradients: bool) -> None:
    subject, batch = rows_of(pulled_together)
    want = observe_rows(subject, batch, gradients=gradients)
    got = observe_rows(with_calls_of(subject, Kept()), batch, gradients=gradients)
    assert got.value is not None
    assert want.value is not None
    assert np.array_equal(got.value, want.value)
    assert set(got.gradients) == set(want.gradients)
    for name, gradient in got.gradients.items():
        assert np.array_equal(gradient, want.gradients[name])


def scaling(input: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Doubles an argument that all rows share."""
    value = nn.functional.cross_entropy(input, target, weight, reduction="sum")
    weight.mul_(2.0)
    return value


def test_an_argument_that_all_rows_share_is_changed_for_no_other_row() -> None:
    def of(loss: Any) -> Subject:
        return settled(bind(loss, registry.contract("cross_entropy")))

    def summed(input: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.cross_entropy(input, target, weight, reduction="sum")

    rng, rows = np.random.default_rng(1), 9
    args = {"input": rng.normal(size=(rows, 4)), "target": rng.integers(0, 4, rows), "weight": np.full(4, 0.5)}
    batch = Batch(args=args, precision=FLOAT64)
    want, got = (observe_rows(of(loss), batch, gradients=False) for loss in (summed, scaling))
    assert got.mutated == ("weight",)
    assert got.value is not None
    assert want.value is not None
    assert np.array_equal(got.value, want.value)


def test_what_a_loss_writes_into_its_input_is_not_written_into_the_case() -> None:
    subject, batch = rows_of(pulled_together, rows=1)
    before = {name: values.copy() for name, values in batch.args.items()}

    def halving(first: Tensor, second: Tensor) -> Tensor:
        first.data.mul_(0.5)
        return pulled_together(first, second)

    observe(with_calls_of(subject, halving), batch)
    for name, values in batch.args.items():
        assert np.array_equal(values, before[name]), name
