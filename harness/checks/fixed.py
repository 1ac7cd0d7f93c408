"""A loss with one result for a batch: which reduction that is, and whether it is the one that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.company import order_matters
from harness.checks.grading import coefficients_of, defect, note, reduced_truth, refusal
from harness.checks.reduced import of_rows, plain
from harness.checks.sampling import calm_batches
from harness.crossed import crossed
from harness.evaluate import observe
from harness.means import grows, weighs_rows
from harness.mistakes import GROWS
from harness.records import Finding
from harness.ulp import FLOAT32, FLOAT64, Precision

NEAR = 0.02
"""Relative difference by which a fixed result is recognised as a reduction; how good it is, is judged after."""
NEAR_WITHOUT_FORMULA = 1e-4
"""The same for a loss that no formula says a mean of: of weights or masks there are means near that of the rows."""


def _live(subject: Subject, batch: Batch) -> Batch:
    """The rows whose loss is not 0; all, where that leaves none."""
    live = np.flatnonzero(batch.truth(subject.contract).value.exact != 0.0)
    return batch.take(subject.contract, live) if live.size else batch


def fixed_reduction(subject: Subject, p: Precision = FLOAT32) -> str:
    """The reduction that a callable without the keyword applies: ``none``, one of the Contract's, or empty."""
    contract = subject.contract
    calm_ = next(calm_batches(subject, p, "cpu", 64, "fixed"))
    if contract.own_gradients:  # nothing says which rows count: of many some do not
        batch, near = calm_, NEAR_WITHOUT_FORMULA
    else:  # of rows that are all 0 a sum and a mean are the same
        batch, near = plain(replace(subject, fixed="none"), _live(subject, calm_), 7), NEAR
    seen = observe(subject, batch, gradients=False)
    if seen.value is None:
        return ""
    if seen.shape == (batch.rows(contract),):
        return "none"
    truth = batch.truth(contract)
    distances = {}
    for name in contract.reductions:
        want = float(reduced_truth(contract, batch, truth, coefficients_of(subject, batch, name)).value.exact[0])
        distances[name] = abs(float(seen.value.ravel()[0]) - want) / max(abs(want), 1e-300)
    close = [n for n in sorted(distances, key=lambda n: distances[n]) if distances[n] <= near]
    if seen.shape != () or not close:
        return ""
    return subject.reducing.held if subject.reducing.held in close else close[0]


def fixed(context: Context) -> Outcome:
    subject = context.subject
    calm_ = next(calm_batches(subject, context.precision, context.device, 7, "fixed"))
    seen = observe(subject, calm_)
    stopped = refusal(context, seen, "reduction")
    if stopped is not None:
        return stopped
    # A loss that is its own reference may refuse in float64 what is only exact in float32.
    exact = context.precision is FLOAT64 and subject.contract.own_gradients
    reduction = fixed_reduction(subject, FLOAT64 if exact else FLOAT32)
    if reduction == "none":
        return Outcome(cases=1)
    if not reduction and seen.shape == () and weighs_rows(subject, calm_):
        said = "a mean of the rows with weights of their own, as those of classes"
        return Outcome(findings=(note(subject, "reduction", said, batch=calm_),), cases=1)
    if not reduction:
        wanted = " or ".join(("none", *subject.contract.reductions))
        message = f"expected a result that is {wanted} of the unreduced loss, got shape {seen.shape} and another number"
        cross = crossed(subject, calm_)
        order = "" if cross is not None else order_matters(subject, calm_)
        if cross is not None:
            message += f"; {cross.says}"
        elif order:
            message += f"; {order}"
        else:
            message += f"; {growing}" if (growing := grows(subject, calm_)) else ""
        if subject.contract.own_gradients and not (cross or order):
            message += "; where the loss ties its examples together, call the batch B and not N in the declarations"
        return Outcome(findings=(defect(subject, "reduction", message, batch=calm_, output="value"),), cases=1)
    outcome = of_rows(context, reduction)
    return replace(outcome, findings=(*_meant(subject, calm_, reduction), *outcome.findings))


def _meant(subject: Subject, batch: Batch, reduction: str) -> Iterator[Finding]:
    """A fixed result that is not what the loss says it is, or, where it says nothing, what its Contract does.

    Nothing but its name promises the second.
    """
    held, contract = subject.reducing.held, subject.contract
    if held and held != reduction:
        said = f"it is made with reduction={held!r} and gives the {reduction}{GROWS if reduction == 'sum' else ''}"
        yield defect(subject, "mistake", said, batch=batch, output="value")
    elif not held and reduction == "sum" and "mean" in contract.reductions and not contract.own_gradients:
        said = (
            f"the result is the sum of the examples{GROWS}: expected their mean, "
            f"which {contract.name} is where nothing else is asked for; "
            "if the sum is meant, declare it: reductions={'sum': {}}"
        )
        found = defect(subject, "mistake", said, batch=batch, output="value")
        yield msgspec.structs.replace(found, severity="weakness")
