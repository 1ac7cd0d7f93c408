"""From a failing row to one that is read at a glance: what is left of it, and what is asked to find it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.cases import Batch
from harness.minimise import minimise
from harness.registry import contract
from harness.ulp import FLOAT32, round_to

COSINE = contract("cosine_similarity")
WIDTH, PLACE = 48, 37


def _row() -> Batch:
    rng = np.random.default_rng(0)
    x1, x2 = (round_to(FLOAT32, rng.normal(size=(1, WIDTH))) for _ in range(2))
    x1[0, PLACE] = 1234.5
    return Batch(args={"x1": x1, "x2": x2}, precision=FLOAT32)


class _Fails:
    """Rows whose largest number is above 1000 and whose second argument is not 0; counts what it is asked."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, batch: Batch) -> npt.NDArray[np.bool_]:
        self.rows += batch.rows(COSINE)
        return np.asarray((batch.args["x1"].max(axis=1) > 1000.0) & (batch.args["x2"] != 0.0).any(axis=1), np.bool_)


def test_what_does_not_matter_becomes_0_and_what_does_a_simple_number() -> None:
    small = minimise(COSINE, _row(), _Fails())
    x1, x2 = small.args["x1"][0], small.args["x2"][0]
    assert np.count_nonzero(x1) == np.count_nonzero(x2) == 1
    assert (x1.max(), np.abs(x2).max()) == (1024.0, 0.5)


def test_numbers_are_replaced_together_where_every_row_is_a_call_also_of_the_reference() -> None:
    fails = _Fails()
    fixed = replace(COSINE, one_by_one=True, dims=dict.fromkeys(COSINE.dims, (WIDTH,)))
    small = minimise(fixed, _row(), fails, one_by_one=True)
    assert fails.rows <= 160
    assert np.count_nonzero(small.args["x1"]) + np.count_nonzero(small.args["x2"]) <= 12


def test_an_array_of_nothing_and_numbers_that_cannot_be_simpler_stay() -> None:
    batch = Batch(args={"x1": np.array([[1024.0]]), "x2": np.array([[1.0]])}, precision=FLOAT32)
    small = minimise(COSINE, batch, lambda b: np.asarray(b.args["x1"][:, 0] == 1024.0, np.bool_))
    assert small.args["x1"].tolist() == [[1024.0]]
    assert small.args["x2"].tolist() == [[0.0]]
