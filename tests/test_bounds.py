"""No bound is so wide that nothing could exceed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from harness import registry
from harness.binding import Subject
from harness.cases import Batch
from harness.effort import QUICK
from harness.generate import sweep
from harness.judge import Limits
from harness.ulp import FLOAT32, FLOAT64, Array, Precision
from lossproof import validate
from reference.truth import Output, trailing
from tests.sound import embedding

registry.enlist("suites.specimens")
# What has no Contract of its own names no scales.
SUBJECTS = {s.contract.name: s for s in (*registry.specimens(), *registry.subjects()) if not s.contract.own_gradients}
LEAST, MOST = 0.01, 10.0
SHARE = 0.01
"""Of the scale of the loss; 32 roundings of float32 are 2e-6 of it."""
FAR = 100.0
"""Times the scale of the gradient, or of the numbers it is taken at, what may lie between two branches."""
TINY = 1e-30
"""What a few subnormal numbers of float32 weigh beside ordinary ones, and a gradient of less is none."""
ROWS = 2000


def _ordinary(subject: Subject, batch: Batch) -> npt.NDArray[np.intp]:
    """Rows of numbers that are 0 or of the size of 1, beside such weights."""
    kept = np.ones(batch.rows(subject.contract), np.bool_)
    for name, array in batch.args.items():
        if np.issubdtype(array.dtype, np.floating):
            size = np.abs(array)
            plain = (size == 0.0) | ((size >= LEAST) & (size <= MOST))
            kept &= plain.all() if subject.contract.arg(name).shared else plain.reshape(len(plain), -1).all(axis=1)
    return np.flatnonzero(kept)[:ROWS]


def _ordinary_limits(subject: Subject) -> Iterator[tuple[Limits, npt.NDArray[np.intp]]]:
    """What a sweep has of such rows, and all of their places."""
    for batch in sweep(subject, FLOAT32, QUICK):
        rows = _ordinary(subject, batch)
        if rows.size:
            part = batch.take(subject.contract, rows)
            yield Limits(subject.contract, part, part.truth(subject.contract)), np.arange(len(rows))


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_reference_bound_of_a_value_of_ordinary_numbers_is_below_its_scale(name: str) -> None:
    """Also where a vector is 0 or two are equal, whose terms are 0 and do not underflow."""
    seen = 0
    for limits, every in _ordinary_limits(SUBJECTS[name]):
        allowed, value = limits.without_conditioning("value", every).reference, limits.truth.value
        scale = np.abs(value.exact) + value.absolute
        known = np.isfinite(value.exact) & (scale > 0.0)
        wide = known & (allowed > SHARE * scale)
        assert not wide.any(), limits.batch.take(limits.contract, np.flatnonzero(wide)[:1]).record()
        seen += int(known.sum())
    assert seen


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_reference_bound_of_a_gradient_of_ordinary_numbers_is_below_its_scale(name: str) -> None:
    """Where a rounding may decide between two branches, it adds the distance between them at most.

    The share is 1: a difference that eps = 1e-6 cancels has lost most of its digits. The distance is itself of the
    size of the gradient's scale.
    """
    seen, differentiable = 0, False
    for limits, every in _ordinary_limits(SUBJECTS[name]):
        for output, gradient in limits.truth.gradients.items():
            differentiable = True
            if not gradient.exact.size:
                continue
            allowed = limits.without_conditioning(output, every).reference
            largest = np.abs(gradient.exact).reshape(len(gradient.exact), -1).max(axis=1)
            plain = trailing(largest, gradient.exact.ndim) + gradient.absolute
            jumps = np.sum([np.broadcast_to(a.jump, gradient.exact.shape) for a in gradient.astray], axis=0)
            known = np.isfinite(gradient.exact) & (plain > 0.0)
            wide = known & (allowed > plain + jumps + TINY)
            assert not wide.any(), (output, limits.batch.parameters, np.argwhere(wide)[:1])
            far = known & (jumps > FAR * np.maximum(plain, 1.0))
            assert not far.any(), (output, limits.batch.parameters, np.argwhere(far)[:1])
            seen += int(known.sum())
    assert seen or not differentiable


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32], ids=lambda p: p.name)
def test_no_scale_is_nan_where_the_truth_is_a_number(name: str, precision: Precision) -> None:
    """A bound of nan counts as 0."""
    contract = SUBJECTS[name].contract
    for batch in sweep(SUBJECTS[name], precision, QUICK):
        for output in batch.truth(contract).outputs().values():
            known = np.isfinite(output.exact)
            for scale in (output.reference, output.accumulation, output.underflow, output.absolute, *_choices(output)):
                assert not (np.isnan(np.broadcast_to(scale, known.shape)) & known).any()


def _choices(output: Output) -> list[Array]:
    return [scale for a in output.astray for scale in (a.rounding, a.underflow, a.jump)]


def _at_zero(right: Callable[..., Tensor], wrong: float) -> Callable[..., Tensor]:
    """``right``, but another number where the first argument is 0 or the two are equal."""

    @wraps(right)
    def loss(*tensors: Tensor, **options: Any) -> Tensor:
        first, second, *_ = (a for a in (*tensors, *options.values()) if isinstance(a, Tensor))
        nothing = (first == 0).all(dim=-1) | (first == second).all(dim=-1)
        value = right(*tensors, **options)
        return torch.where(nothing, value + wrong, value) if value.ndim else value

    return loss


@pytest.mark.parametrize(
    ("like", "options", "loss"),
    [
        ("cosine_similarity", {}, embedding.product_of_units),
        ("cosine_embedding_loss", {}, embedding.half_squared_chord),
        ("pairwise_distance", {"eps": 0.0}, embedding.scaled_distance),
    ],
)
def test_a_value_that_is_wrong_only_where_a_vector_is_zero_is_a_defect(
    like: str, options: Mapping[str, Any], loss: Callable[..., Tensor]
) -> None:
    def found(candidate: Callable[..., Tensor]) -> bool:
        return bool(validate(candidate, like, dtype="float32", check="value", init=options).findings)

    assert found(_at_zero(loss, 0.5))
    assert not found(_at_zero(loss, 0.0))


def _at_ties(right: Callable[..., Tensor], times: float) -> Callable[..., Tensor]:
    """``right``, but its gradient so many times as long where a rounding decides whether the hinge is above 0."""

    @wraps(right)
    def loss(*tensors: Tensor, **options: Any) -> Tensor:
        value = right(*tensors, **options)
        longer = (times - 1.0) * (value - value.detach())
        return value + torch.where(value.detach() < NEARLY, longer, torch.zeros_like(value))

    return loss


NEARLY = 1e-6


@pytest.mark.parametrize(
    ("like", "options", "loss"),
    [
        ("triplet_margin_loss", {}, torch.nn.functional.triplet_margin_loss),
        (
            "triplet_margin_with_distance_loss_squared",
            {},
            lambda anchor, positive, negative, *, margin=1.0, swap=False, reduction="mean": (
                torch.nn.functional.triplet_margin_with_distance_loss(
                    anchor,
                    positive,
                    negative,
                    distance_function=lambda x, y: (x - y).square().sum(dim=1),
                    margin=margin,
                    swap=swap,
                    reduction=reduction,
                )
            ),
        ),
    ],
    ids=["triplet", "squared triplet"],
)
def test_a_gradient_that_is_too_long_only_at_ties_is_a_defect(
    like: str, options: Mapping[str, Any], loss: Callable[..., Tensor]
) -> None:
    def found(candidate: Callable[..., Tensor]) -> bool:
        checked = validate(candidate, like, dtype="float32", check="gradient", init=options)
        return any(f.severity == "defect" for f in checked.findings)

    assert found(_at_ties(loss, 8.0))
    assert not found(_at_ties(loss, 1.0))
