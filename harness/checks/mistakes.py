"""Why a loss is wrong, in plain language, where one of the mistakes that people make explains what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject
from harness.bounds import UNSTABLE
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import coefficients_of, defect, in_rows, reduced_truth, refusal, shaped
from harness.checks.sampling import calm_batches
from harness.evaluate import Observation, observe, observe_rows
from harness.findings import reproduction
from harness.judge import judge
from harness.mistakes import FAR, FEWEST, explanation, of_gradient, of_reduction
from harness.records import Finding
from harness.ulp import to_hex
from reference.truth import Truth

ROWS = 48
FEW_ROWS = 7
"""Rows of a reduced loss: no number of theirs is near one of ROWS."""
DTYPES = ("float64", "float32")
TOLERANCE = 1e-4
"""Relative; of calm rows, in which a loss with a mistake loses as few digits as any other."""


def mistakes(context: Context) -> Outcome:
    """No known mistake explains what is seen; what none explains is for the other checks to find."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    batch = next(calm_batches(subject, p, context.device, ROWS, "mistakes"))
    seen = observe_rows(subject, batch)
    stopped = refusal(context, seen)
    if stopped is not None:
        return stopped
    truth = batch.truth(contract)
    # A wrong formula has a wrong gradient too.
    found = list(_of_value(subject, batch, truth, seen)) or list(_of_gradients(subject, batch, truth, seen))
    found += _of_reductions(subject, batch.take(contract, slice(0, FEW_ROWS)))
    return Outcome(findings=tuple(found), cases=batch.rows(contract))


def _of_value(subject: Subject, batch: Batch, truth: Truth, seen: Observation) -> Iterator[Finding]:
    if "value" not in shaped(seen, truth):
        return
    assert seen.value is not None
    found = explanation(subject.contract, batch, truth.value.exact, seen.value, TOLERANCE)
    if found is not None:
        says, row = found
        yield _shown(subject, batch, "value", row, (), says, seen.value, truth.value.exact)


def _of_gradients(subject: Subject, batch: Batch, truth: Truth, seen: Observation) -> Iterator[Finding]:
    """Of a loss whose value is right: a gradient that is wrong in as many rows as a mistake of the formula is asked."""
    contract = subject.contract
    own = {n: a for n, a in shaped(seen, truth).items() if n == "value" or not contract.arg(n).shared}
    right = np.ones(batch.rows(contract), np.bool_)
    for j in judge(contract, batch, truth, own, subject.departures):
        want = np.broadcast_to(j.truth.exact, j.got.shape)
        with np.errstate(all="ignore"):
            far = np.abs(j.got - want) > FAR * np.maximum(np.abs(j.got), np.abs(want))
        wrong = (j.grade >= UNSTABLE) & (j.excuse == 0) & far
        rows = wrong.reshape(len(wrong), -1).any(axis=1)
        if j.name == "value":
            right = ~rows
        elif (rows & right).sum() >= FEWEST:
            shown = wrong & right.reshape(-1, *[1] * (wrong.ndim - 1))
            row, *entry = np.unravel_index(int(np.argmax(shown)), wrong.shape)
            says = of_gradient(j.name, j.got[right], want[right], TOLERANCE)
            yield _shown(subject, batch, j.name, int(row), tuple(map(int, entry)), says, j.got, want)


def _of_reductions(subject: Subject, batch: Batch) -> Iterator[Finding]:
    contract = subject.contract
    names = [name for name in subject.reductions if name in contract.reductions]
    if len(names) < 2 or contract.coupled:
        return
    truth, rows = batch.truth(contract), batch.rows(contract)
    coefficients = {name: coefficients_of(subject, batch, name) for name in names}
    wanted = {
        n: float(reduced_truth(contract, replace(batch, reduction=n), truth, c).value.exact.ravel()[0])
        for n, c in coefficients.items()
    }
    for name in names:
        whole = replace(batch, reduction=name)
        seen = observe(subject, whole, gradients=False)
        if seen.value is None or seen.shape != ():
            continue
        got = float(seen.value.ravel()[0])
        if says := of_reduction(name, got, wanted, TOLERANCE):
            want = wanted[name]
            said = f"{says}: expected {want!r} of {rows} rows, got {got!r}"
            lines = reproduction(subject, whole, "value", want)
            yield msgspec.structs.replace(
                defect(subject, "mistake", said, batch=whole, output="value"),
                got=to_hex(got),
                want=to_hex(want),
                reproduction=lines,
            )


def _shown(
    subject: Subject, batch: Batch, output: str, row: int, entry: tuple[int, ...], says: str, got: object, want: object
) -> Finding:
    """The finding of a mistake, with one row that shows it."""
    one, other = float(np.asarray(got)[(row, *entry)]), float(np.asarray(want)[(row, *entry)])
    here = np.arange(batch.rows(subject.contract)) == row
    said = f"{says}: expected {other!r}, got {one!r}"
    found = in_rows(subject, batch, here, "mistake", said, output, repr(other))
    return msgspec.structs.replace(found, got=to_hex(one), want=to_hex(other), count=len(here))


def _items(subject: Subject) -> tuple[str, ...]:
    """A loss that refers to itself has no formula to be wrong."""
    return () if subject.contract.itself else ("",)


register(Check(name="mistakes", run=mistakes, items=_items, dtypes=lambda subject, item: DTYPES))
