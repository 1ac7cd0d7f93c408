"""What rounding inside a backward pass explains, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.adjoints import rounding
from harness.bounds import ABSOLUTE_ONLY, UNSTABLE
from harness.cases import Batch
from harness.custom import custom
from harness.evaluate import observe_rows
from harness.judge import judge
from harness.ulp import FLOAT32
from lossproof import validate

X = torch.tensor([0.5, -3.0, 7.0], dtype=torch.float64)


def _moves(loss: Callable[[Tensor], Tensor]) -> Tensor:
    x = X.clone().requires_grad_()
    return rounding(loss(x).sum, {"x": x})["x"]


def test_a_gradient_that_nothing_cancels_in_moves_by_its_own_rounding() -> None:
    moves = _moves(lambda x: 3.0 * x)
    # Two nodes hand on, of which each rounds once: the product, and the sum of the rows.
    assert moves.tolist() == pytest.approx([6.0] * 3, rel=1e-5)


def test_a_gradient_that_is_what_cancellation_leaves_moves_by_what_cancelled() -> None:
    moves = _moves(lambda x: 1e6 * x - (1e6 - 1.0) * x)
    assert (moves > 1e6).all()
    assert (moves < 1e7).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: F.log_softmax(torch.stack([x, torch.full_like(x, -40.0)], dim=-1), dim=-1)[..., 0],
        lambda x: F.softmax(torch.stack([x, torch.full_like(x, -40.0)], dim=-1), dim=-1)[..., 0],
        lambda x: F.binary_cross_entropy_with_logits(x + 40.0, torch.ones_like(x), reduction="none"),
        lambda x: x[:, None] @ torch.tensor([[1.0, 2.0**-40 - 1.0]], dtype=torch.float64),
    ],
)
def test_what_cancels_inside_a_node_counts(loss: Callable[[Tensor], Tensor]) -> None:
    moves = _moves(loss)
    assert (moves >= 0.5).all()
    assert (moves <= 4.1).all()


def test_how_the_values_came_about_does_not_count() -> None:
    moves = _moves(lambda x: ((x + 1e6) ** 2 - 1e12 - 2e6 * x).detach() * x)
    assert (moves <= 3 * X**2 + 1.0).all()


def test_graph_and_generator_are_left_as_they_were() -> None:
    x = X.clone().requires_grad_()
    state, total = torch.get_rng_state(), (x.exp() * x).sum()
    (before,) = torch.autograd.grad(total, x, retain_graph=True)
    first, second = rounding(lambda: total, {"x": x}), rounding(lambda: total, {"x": x})
    (after,) = torch.autograd.grad(total, x)
    assert torch.equal(before, after)
    assert torch.equal(first["x"], second["x"])
    assert torch.equal(state, torch.get_rng_state())


def test_a_leaf_that_is_not_reached_is_missing() -> None:
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    assert set(rounding(x.sum, {"x": x, "y": y})) == {"x"}
    assert rounding(X.sum, {"x": x}) == {}


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_graph_is_made_anew_for_every_pass() -> None:
    def loss(x: Tensor) -> Tensor:
        return (3.0 * x).sin()

    x = X.clone().requires_grad_()
    compiled = torch.compile(loss, dynamic=True)
    moves = rounding(lambda: compiled(x).sum(), {"x": x})["x"]
    assert (moves >= (3.0 * (3.0 * X).cos()).abs()).all()
    assert validate(compiled, inputs=["real(N, low=-8.0, high=8.0)"], dtype="float32", check=["value", "gradient"]).ok


def contrasted(first: Tensor, second: Tensor) -> Tensor:
    """Confident of the pairs in their order: of vectors of 1e-9 the slope is 1e9 times what its two parts leave."""
    alike = F.normalize(first, dim=-1, eps=1e-30) @ F.normalize(second, dim=-1, eps=1e-30).T
    return F.cross_entropy(alike / 0.03, torch.arange(len(first)))


def spread(first: Tensor, second: Tensor) -> Tensor:
    """A variance as a difference of squares, under a root."""
    both = torch.cat([first, second], dim=-1)
    return ((both**2).mean(dim=-1) - both.mean(dim=-1) ** 2).abs().sqrt().mean()


@pytest.mark.parametrize(
    ("loss", "scale", "offset", "grade"), [(contrasted, 1e-9, 0.0, ABSOLUTE_ONLY), (spread, 1.0, 1e3, UNSTABLE)]
)
def test_a_self_referenced_gradient_may_be_rounded_but_values_may_not_cancel(
    loss: Callable[..., Tensor], scale: float, offset: float, grade: int
) -> None:
    subject = custom(loss, ["embedding(B, D)", "embedding(B, D)"])
    first, second = np.random.default_rng(0).normal(size=(2, 1, 4, 8))
    vectors = {"first": scale * first + offset, "second": scale * (first + 0.1 * second) + offset}
    args = {n: v.astype(np.float32).astype(np.float64) for n, v in vectors.items()}
    batch = Batch(args=args, precision=FLOAT32)
    seen = observe_rows(subject, batch)
    judged = judge(subject.contract, batch, batch.truth(subject.contract), seen.gradients)
    assert max(j.grade.max() for j in judged) == grade
    heuristic = replace(subject.contract, adjoints=None)
    alone = judge(heuristic, batch, batch.truth(heuristic), seen.gradients)
    assert max(j.grade.max() for j in alone) == UNSTABLE
