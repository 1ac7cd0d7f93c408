"""No bound is so wide that nothing could exceed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from harness.ulp import FLOAT32
from lossproof import validate
from tests.sound import embedding

registry.enlist("suites.specimens")
SUBJECTS = {s.contract.name: s for s in (*registry.specimens(), *registry.subjects())}
LEAST, MOST = 0.01, 10.0
SHARE = 0.01
"""Of the scale of the loss; 32 roundings of float32 are 2e-6 of it."""
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


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_reference_bound_of_a_value_of_ordinary_numbers_is_below_its_scale(name: str) -> None:
    """Also where a vector is 0 or two are equal, whose terms are 0 and do not underflow."""
    subject = SUBJECTS[name]
    contract, seen = subject.contract, 0
    for batch in sweep(subject, FLOAT32, QUICK):
        rows = _ordinary(subject, batch)
        if not rows.size:
            continue
        part = batch.take(contract, rows)
        truth = part.truth(contract)
        allowed = Limits(contract, part, truth).without_conditioning("value", np.arange(len(rows))).reference
        scale = np.abs(truth.value.exact) + truth.value.absolute
        known = np.isfinite(truth.value.exact) & (scale > 0.0)
        wide = known & (allowed > SHARE * scale)
        assert not wide.any(), part.take(contract, np.flatnonzero(wide)[:1]).record()
        seen += int(known.sum())
    assert seen


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_scale_is_nan_where_the_truth_is_a_number(name: str) -> None:
    """A bound of nan counts as 0."""
    contract = SUBJECTS[name].contract
    for batch in sweep(SUBJECTS[name], FLOAT32, QUICK):
        for output in batch.truth(contract).outputs().values():
            known = np.isfinite(output.exact)
            for scale in (output.reference, output.accumulation, output.underflow, output.absolute):
                assert not (np.isnan(np.broadcast_to(scale, known.shape)) & known).any()


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
