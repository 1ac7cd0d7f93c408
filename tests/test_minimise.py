"""From a failing row to one that is read at a glance: what is left of it, and what is asked to find it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.cases import Batch
from harness.minimise import CALL, NUMBERS, PASSING, minimise
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


class _Counted(_Fails):
    """The same, and every row that was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def __call__(self, batch: Batch) -> npt.NDArray[np.bool_]:
        self.asked += [batch.args["x1"][r].tobytes() + batch.args["x2"][r].tobytes() for r in range(batch.rows(COSINE))]
        return super().__call__(batch)


def test_where_every_row_is_dear_nothing_is_asked_twice_and_rows_come_one_by_one() -> None:
    fails, dear = _Counted(), replace(COSINE, one_by_one=True)
    small = minimise(dear, _row(), fails, one_by_one=True)
    assert small.args["x1"].tolist() == [[1024.0]]
    assert fails.rows == len(fails.asked) == len(set(fails.asked))
    cheap = _Counted()
    minimise(COSINE, _row(), cheap)
    assert fails.rows < cheap.rows


def test_what_another_number_stood_in_the_way_of_is_tried_again() -> None:
    """Of 3 and 5 either may become 0 only once the other is 1; both are tried before either is."""

    def fails(batch: Batch) -> npt.NDArray[np.bool_]:
        x1, x2 = batch.args["x1"][:, 0], batch.args["x2"][:, 0]
        return np.asarray((x1 == 3) & (x2 == 5) | (x1 == 1) & (x2 == 5) | (x1 == 1) & (x2 == 0), np.bool_)

    batch = Batch(args={"x1": np.array([[3.0]]), "x2": np.array([[5.0]])}, precision=FLOAT32)
    small = minimise(COSINE, batch, fails)
    assert (small.args["x1"].tolist(), small.args["x2"].tolist()) == ([[1.0]], [[0.0]])


def test_what_passes_may_cost_less_than_a_defect() -> None:
    """Of a row that nothing can be taken from, neither its width nor its numbers."""
    asked: list[int] = []

    def as_it_is(batch: Batch) -> npt.NDArray[np.bool_]:
        asked.append(batch.rows(COSINE))
        if batch.args["x1"].shape[1] < WIDTH:
            return np.zeros(batch.rows(COSINE), np.bool_)
        return np.logical_and(*((a == _row().args[n]).all(axis=1) for n, a in batch.args.items()))

    minimise(COSINE, _row(), as_it_is, one_by_one=True)
    defect = sum(asked)
    asked.clear()
    minimise(COSINE, _row(), as_it_is, one_by_one=True, numbers=PASSING)
    assert sum(asked) <= 2 * PASSING // CALL < defect <= 2 * NUMBERS // CALL
