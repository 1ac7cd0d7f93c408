"""Why a formula is wrong, in plain language, where one of the mistakes that people make explains every value."""

from __future__ import annotations

import msgspec
import numpy as np

from harness.binding import Subject
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import defect, refusal
from harness.checks.sampling import calm_batches
from harness.evaluate import observe_rows
from harness.findings import reproduction
from harness.mistakes import explanation
from harness.ulp import to_hex

ROWS = 48
DTYPES = ("float64", "float32")
TOLERANCE = 1e-4
"""Relative; of calm rows, in which a loss with a mistake loses as few digits as any other."""


def mistakes(context: Context) -> Outcome:
    """No known mistake explains the values; what none explains is for ``value`` to find."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    batch = next(calm_batches(subject, p, context.device, ROWS, "mistakes"))
    seen = observe_rows(subject, batch, gradients=False)
    stopped = refusal(context, seen)
    if stopped is not None:
        return stopped
    rows = batch.rows(contract)
    found = None
    if seen.value is not None and seen.value.shape == (rows,):
        found = explanation(contract, batch, seen.value, TOLERANCE)
    if found is None or seen.value is None:
        return Outcome(cases=rows)
    says, row = found
    case = batch.take(contract, np.array([row]))
    got, want = float(seen.value[row]), float(case.truth(contract).value.exact[0])
    shown = defect(subject, "mistake", f"{says}: expected {want!r}, got {got!r}", batch=case, output="value")
    shown = msgspec.structs.replace(
        shown,
        got=to_hex(got),
        want=to_hex(want),
        count=rows,
        total=rows,
        reproduction=reproduction(subject, case, "value", want),
    )
    return Outcome(findings=(shown,), cases=rows)


def _items(subject: Subject) -> tuple[str, ...]:
    """A loss that refers to itself has no formula to be wrong."""
    return () if subject.contract.caveat else ("",)


register(Check(name="mistakes", run=mistakes, items=_items, dtypes=lambda subject, item: DTYPES))
