"""Which mean a loss that is declared by its inputs takes, of those in use; found at one batch, judged at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.contract import Coefficients
from harness.evaluate import observe, observe_rows, singly
from harness.ulp import FLOAT64, Array
from reference.reductions import mean

NEAR = 1e-4
"""Relative difference by which a mean is recognised; how good it is, is judged after."""
EXACT = 1e-6
"""The same of a mean whose weights are found from pairs of rows, in float64."""
APART = 1e-2
"""Relative growth that is no rounding."""
FEWEST = 3
"""Rows that have to count for weights to be told."""
OTHER_WEIGHTS = "a mean with weights of its own, which is not compared with the rows"


def over_elements(arguments: Mapping[str, Any], shape: tuple[int, ...], *, of: str) -> Array:
    """1 / the number of elements of an argument that has the shape of the unreduced loss."""
    rows = int(np.prod(shape))
    with np.errstate(divide="ignore"):
        return np.full(rows, np.float64(1.0) / np.size(arguments[of]))


def over_weights(arguments: Mapping[str, Any], shape: tuple[int, ...], *, of: str) -> Array:
    """1 / the sum of a weight or mask."""
    rows = int(np.prod(shape))
    with np.errstate(divide="ignore"):
        return np.full(rows, np.float64(1.0) / np.sum(arguments[of]))


def mean_of(subject: Subject, batch: Batch, like_result: Sequence[str]) -> Coefficients | None:
    """The mean over elements, rows or weights that a loss takes; None for one that is another mean.

    ``like_result`` are arguments that may have the shape of the unreduced loss. What is no mean at all, since a batch
    twice over gives something else, is held to the first of them.
    """
    contract = subject.contract
    usual: list[Coefficients] = [partial(over_elements, of=name) for name in like_result]
    usual.append(mean)
    usual += [partial(over_weights, of=a.name) for a in contract.args if a.role == "weight"]
    rows = observe_rows(subject, batch, gradients=False).value
    got = _asked(subject, batch, "mean")
    if rows is None or got is None or got.size != 1:
        return usual[0]
    for coefficients in usual:
        want = float(np.sum(coefficients(batch.args, (len(rows),)) * rows))
        if np.isclose(got[0], want, rtol=NEAR, atol=0.0):
            return coefficients
    again = batch.take(contract, np.resize(np.arange(len(rows)), 2 * len(rows)))
    twice = _asked(subject, again, "mean")
    same = twice is not None and twice.shape == got.shape and np.isclose(twice[0], got[0], rtol=NEAR, atol=0.0)
    return None if same else usual[0]


def weighs_rows(subject: Subject, batch: Batch) -> bool:
    """Whether a reduced result is a mean of the rows, each with a positive weight of its own, as by classes.

    A row alone gives its loss, a pair the ratio of two weights; with these the result of all of them is known. A loss
    that has a Contract is held to the means of that.
    """
    exact = replace(batch, precision=FLOAT64)

    def result(*rows: int) -> float:
        seen = observe(subject, exact.take(subject.contract, np.array(rows, np.intp)), gradients=False).value
        return np.nan if seen is None or seen.size != 1 else float(seen.ravel()[0])

    alone = singly(subject, exact) if subject.contract.own_gradients else None
    if alone is None or not np.allclose(alone, _rows_of(subject, exact), rtol=EXACT, atol=0.0, equal_nan=True):
        return False
    rows = range(len(alone))
    counted = np.isfinite(alone)
    if not counted.any():
        return False
    first = int(np.argmax(np.where(counted, np.abs(alone), -1.0)))
    pairs = np.array([alone[first] if r == first else result(first, r) for r in rows])
    with np.errstate(all="ignore"):
        weights = (alone[first] - pairs) / (pairs - alone)
    # Of an ignored row, or one under an empty mask, a pair is the other row.
    weights = np.where(np.isclose(pairs, alone[first], rtol=1e-12, atol=0.0), 0.0, weights)
    weights[first] = 1.0
    if not np.all(np.isfinite(weights) & (weights >= 0.0)) or np.count_nonzero(weights) < FEWEST:
        return False
    counted = weights > 0.0
    want = np.sum(weights[counted] * alone[counted]) / np.sum(weights)
    return bool(np.isclose(result(*rows), want, rtol=EXACT, atol=0.0))


def grows(subject: Subject, batch: Batch) -> str:
    """What is said where a result grows with the number of rows; empty where it does not."""
    rows = np.arange(batch.rows(subject.contract))
    parts = (batch.take(subject.contract, index) for index in (rows, np.tile(rows, 2)))
    seen = [observe(subject, part, gradients=False).value for part in parts]
    if any(v is None or v.size != 1 for v in seen):
        return ""
    one, twice = (v.ravel()[0] for v in seen if v is not None)
    with np.errstate(all="ignore"):
        times = twice / one
    if not (np.isfinite(times) and times > 1.0 + APART):
        return ""
    return f"it grows with the number of examples: with every example twice it is {times:.3g} times as large"


def _rows_of(subject: Subject, batch: Batch) -> Array:
    return batch.truth(subject.contract).value.exact


def _asked(subject: Subject, batch: Batch, reduction: str) -> Array | None:
    return observe(subject, replace(batch, reduction=reduction), gradients=False).value
