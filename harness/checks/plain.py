"""Rows in which nothing is wrong, which the checks of other questions start from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.grading import HEADROOM, covered_rows, shaped
from harness.checks.sampling import calm_batches
from harness.evaluate import observe
from harness.judge import judge
from harness.ulp import Precision


def plain_rows(subject: Subject, batch: Batch) -> Batch:
    """The rows that no Departure covers and whose unreduced loss the Subject gets right; all, where that leaves none.

    What is wrong with single rows is found by ``value`` and ``gradient``; the other checks ask other questions.
    """
    contract = subject.contract
    truth = batch.truth(contract)
    good = ~covered_rows(subject, batch, truth, truth.outputs())
    for name, output in truth.outputs().items():
        if name == "value" or not contract.arg(name).shared:
            fits = np.abs(output.exact) <= HEADROOM * batch.precision.largest
            good &= fits.reshape(len(good), -1).all(axis=1)
    if subject.takes_none:
        got = {
            n: a
            for n, a in shaped(observe(subject, batch), truth).items()
            if n == "value" or not contract.arg(n).shared
        }
        for j in judge(contract, batch, truth, got):
            good &= ~j.bad.reshape(len(good), -1).any(axis=1)
    return batch.take(contract, np.flatnonzero(good)) if good.any() else batch


@lru_cache(maxsize=4)
def plain_batches(subject: Subject, p: Precision, device: str, rows: int, salt: str) -> tuple[Batch, ...]:
    """The plain rows of every calm batch, worked out once for all items of a check."""
    return tuple(plain_rows(subject, batch) for batch in calm_batches(subject, p, device, rows, salt))
