"""The rows of a batch in another shape, or not contiguous."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.grading import (
    Evidence,
    convention,
    covered_rows,
    defect,
    limits_of,
    refusal,
    shaped,
)
from harness.checks.sampling import (
    mixed_batches,
)
from harness.evaluate import observe
from harness.findings import called


def layout(context: Context, layout: str) -> Outcome:
    """The rows in another shape or not contiguous: the same bits, or both within the bounds."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    evidence = Evidence(subject=subject, precision=p)
    for batch in _laid_out(context, layout):
        flat, laid = observe(subject, replace(batch, layout="rows")), observe(subject, batch)
        stopped = refusal(context, laid, f"layout {layout}") or refusal(context, flat)
        if stopped is not None:
            return stopped
        truth = batch.truth(contract)
        one, other = shaped(flat, truth), shaped(laid, truth)
        evidence.cases += batch.rows(contract)
        for name in truth.outputs():
            if name not in one:
                continue
            if name not in other:
                said = f"layout {layout}: {name}: got another shape than the rows"
                shape = called(subject, batch, "tuple(loss.shape)") if name == "value" else None
                evidence.put(convention(subject, "shape", said, batch=batch, output=name, lines=shape))
                continue
            if name != "value" and contract.arg(name).shared:
                continue
            differ = ~((one[name] == other[name]) | (np.isnan(one[name]) & np.isnan(other[name])))
            index = np.flatnonzero(
                differ.reshape(len(differ), -1).any(axis=1) & ~covered_rows(subject, batch, truth, [name])
            )
            if not index.size:
                continue
            bounds = limits_of(contract, batch, truth, name, index)
            # A value that refers to itself is known no better than its scale.
            limits = bounds.absolute if contract.itself else bounds.mixed
            with np.errstate(invalid="ignore"):
                off = differ[index] & ~(np.abs(one[name][index] - other[name][index]) <= 2.0 * limits)
            worse = index[off.reshape(len(off), -1).any(axis=1)]
            if worse.size:
                # Enough rows beside it for every layout to be another shape.
                first = 4 * (int(worse[0]) // 4)
                few = batch.take(contract, slice(first, first + 4))
                want, got = one[name][worse[0]].tolist(), other[name][worse[0]].tolist()
                said = f"layout {layout}: {name}: expected the rows' {want}, got {got}"
                evidence.put(defect(subject, "layout", said, batch=few, output=name))
    return evidence.outcome()


def _laid_out(context: Context, layout: str) -> Iterator[Batch]:
    subject, contract = context.subject, context.subject.contract
    for batch in mixed_batches(subject, context.precision, context.device, 64, f"layout {layout}"):
        if layout == "single":
            for row in range(0, batch.rows(contract), 16):
                yield replace(batch.take(contract, slice(row, row + 1)), layout=layout)
        else:
            even = batch.rows(contract) // 2 * 2
            yield replace(batch.take(contract, slice(0, even)), layout=layout)
