"""Whether the rows of a batch influence each other, by ordinary rows: alone, in company, in another order."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Context
from harness.checks.grading import Mask, covered_rows, defect, limits_of
from harness.checks.sampling import calm_batches
from harness.evaluate import observe, singly
from harness.findings import call_lines, show
from harness.records import Finding
from harness.ulp import Array

Rows = npt.NDArray[np.intp]
INDEPENDENT = "rows do not influence each other"
ROWS = 7
APART, ROUNDINGS = 1e-3, 16.0
"""Difference of two results of ordinary numbers, and in units of roundoff, that no order of summation makes."""


def influence(context: Context) -> Finding | None:
    """The defect that the value of a row is another one beside other rows, shown by as few of them as show it."""
    subject, contract = context.subject, context.subject.contract
    if not subject.takes_none or contract.coupled:
        return None
    for batch in calm_batches(subject, context.precision, context.device, ROWS, "company"):
        alone, together = singly(subject, batch), observe(subject, batch, gradients=False).value
        if alone is None or together is None or together.shape != alone.shape:
            continue
        moved = _moved(subject, batch, alone, together)
        if moved.any():
            row = int(np.flatnonzero(moved)[0])
            found = _fewest(subject, batch, alone, row) or (np.arange(len(alone)), together, row)
            return _shown(subject, batch, alone, *found, count=int(moved.sum()), total=len(moved))
    return None


def _moved(subject: Subject, batch: Batch, alone: Array, together: Array) -> Mask:
    """Rows whose values differ by more than rounding explains."""
    truth = batch.truth(subject.contract)
    allowed = limits_of(subject.contract, batch, truth, "value", np.arange(len(alone))).absolute
    with np.errstate(all="ignore"):
        differ = ~(np.abs(alone - together) <= 2.0 * allowed) & (alone != together)
    return np.asarray(differ & np.isfinite(alone) & ~covered_rows(subject, batch, truth, ["value"]), np.bool_)


def _fewest(subject: Subject, batch: Batch, alone: Array, row: int) -> tuple[Rows, Array, int] | None:
    """A row beside another one that changes it, before it or after: both, their values together, and its place."""
    for other in np.delete(np.arange(len(alone)), row):
        for place, index in enumerate((np.array([row, other]), np.array([other, row]))):
            pair = batch.take(subject.contract, index)
            together = observe(subject, pair, gradients=False).value
            if together is None or together.shape != (2,):
                continue
            if _moved(subject, pair, alone[index], together)[place]:
                return index, together, place
    return None


def _shown(
    subject: Subject,
    batch: Batch,
    alone: Array,
    index: Rows,
    together: Array,
    place: int,
    *,
    count: int,
    total: int,
) -> Finding:
    few, alone = batch.take(subject.contract, index), alone[index]
    want, got = (show(float(values[place])) for values in (alone, together))
    said = f"value of row {place} of {len(index)}: expected {want} as alone, got {got} beside the others"
    lines = call_lines(subject, few, gradients=False)
    return msgspec.structs.replace(
        defect(subject, "law", f"{INDEPENDENT}: {said}", batch=few, output="value"),
        count=count,
        total=total,
        reproduction=f"{lines}  # of each row alone {alone.tolist()}",
    )


def order_matters(subject: Subject, batch: Batch) -> str:
    """What is said where the examples of a reduced loss, in reverse, give another result; empty where they do not."""
    contract = subject.contract
    reverse = batch.take(contract, np.arange(batch.rows(contract))[::-1].copy())
    seen = [observe(subject, replace(b, reduction="none"), gradients=False).value for b in (batch, reverse)]
    if any(v is None or v.size != 1 or not np.isfinite(v).all() for v in seen):
        return ""
    one, other = (float(np.ravel(v)[0]) for v in seen if v is not None)
    near = max(APART, ROUNDINGS * batch.precision.u)
    if abs(one - other) <= near * max(abs(one), abs(other), 1.0):
        return ""
    return f"the order of the examples changes the result: {show(one)} as they are, {show(other)} in reverse"
