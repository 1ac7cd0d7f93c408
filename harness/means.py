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
from harness.evaluate import observe, observe_rows
from harness.ulp import Array
from reference.reductions import mean

NEAR = 1e-4
"""Relative difference by which a mean is recognised; how good it is, is judged after."""
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


def _asked(subject: Subject, batch: Batch, reduction: str) -> Array | None:
    return observe(subject, replace(batch, reduction=reduction), gradients=False).value
