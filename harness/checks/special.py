"""Special values: every row of the Contract's table, which the oracle and the Subject must both satisfy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import (
    Evidence,
    coefficients_of,
    defect,
    judge_reduced,
    limits_of,
    note,
    reduced_truth,
    refused,
    shaped,
)
from harness.deviations import Mask
from harness.domain import ClassIndex
from harness.evaluate import Observation, observe_rows
from harness.findings import called, show
from harness.judge import Judged, judge
from harness.special import Special, numbers
from harness.ulp import FLOAT64, Array, Precision
from reference.truth import Truth


class WrongTableError(RuntimeError):
    """The oracle does not satisfy a row of its own Contract."""


def offered(subject: Subject, special: Special) -> bool:
    """Whether the Subject takes everything that a row names."""
    defaults = {p.name: p.values[0] for p in subject.contract.parameters}
    lacking = any(n not in subject.parameters and v != defaults.get(n) for n, v in special.parameters.items())
    alone = not subject.takes_none and special.reduction == "none" and rows_of(subject, special) != 1
    reductions = {"none", *(subject.reductions or (subject.fixed,))}
    taken = {*subject.arguments, *subject.parameters}
    complete = {*special.args, *special.needs, *_ignoring(subject, special)} <= taken
    return not lacking and not alone and complete and special.reduction in reductions


def _ignoring(subject: Subject, special: Special) -> set[str]:
    """Parameters that make a target of the row, which is no class, one to be ignored."""
    kinds = {n: subject.contract.arg(n).kind for n in special.args}
    return {
        k.ignored
        for n, k in kinds.items()
        if isinstance(k, ClassIndex) and k.ignored is not None and np.min(special.args[n], initial=0) < 0
    }


def rows_of(subject: Subject, special: Special) -> int:
    return next((len(v) for k, v in special.args.items() if not subject.contract.arg(k).shared), 0)


def batch_of(subject: Subject, special: Special, p: Precision, device: str, *, rounded: bool = True) -> Batch:
    contract = subject.contract
    parameters = {q.name: q.values[0] for q in contract.parameters if q.name in subject.parameters}
    given = {n: v for n, v in special.parameters.items() if n in subject.parameters}
    return Batch(
        args={
            n: numbers(v, p, integral=contract.arg(n).kind.integral, rounded=rounded) for n, v in special.args.items()
        },
        parameters=parameters | given,
        precision=p,
        reduction=special.reduction,
        device=device,
        origin="special",
    )


def truth_of(subject: Subject, batch: Batch) -> Truth:
    truth = batch.truth(subject.contract)
    if batch.reduction == "none":
        return truth
    return reduced_truth(subject.contract, batch, truth, coefficients_of(subject, batch, batch.reduction))


def judged(subject: Subject, batch: Batch, seen: Observation) -> list[Judged]:
    expected = truth_of(subject, batch)
    got = shaped(seen, expected)
    if batch.reduction == "none":
        return judge(subject.contract, batch, expected, got, subject.departures)
    truth = batch.truth(subject.contract)
    return judge_reduced(subject, batch, truth, coefficients_of(subject, batch, batch.reduction), expected, got)


def satisfies(want: str | float, value: Array, slack: Array | float = 0.0) -> Mask:
    """Whether a value is what a row says; a number is compared at its printed digits."""
    if isinstance(want, (int, float)):
        half = 0.5 * 10.0 ** -printed_digits(want)
        with np.errstate(invalid="ignore"):
            near: Mask = np.asarray(np.abs(value - want) <= half + slack) | (np.isnan(want) & np.isnan(value))
            return near
    tests = {
        "finite": np.isfinite(value),
        "0": np.abs(value) <= slack,
        "+inf": np.isposinf(value),
        "-inf": np.isneginf(value),
        "nan": np.isnan(value),
    }
    return np.asarray(tests.get(want, np.ones(value.shape, np.bool_)))


def printed_digits(number: float) -> int:
    """Digits after the point of the shortest text of a number."""
    mantissa, _, exponent = repr(float(number)).partition("e")
    return len(mantissa.partition(".")[2]) - (int(exponent) if exponent else 0)


def special(context: Context) -> Outcome:
    """Under this condition the loss is that."""
    subject, p = context.subject, context.precision
    row = next(s for s in subject.contract.specials if s.law == context.item)
    batch = batch_of(subject, row, p, context.device)
    seen = observe_rows(subject, batch)
    if row.want == "outside":
        shown = seen.raised or ", ".join(show(float(v)) for v in (() if seen.value is None else seen.value))
        said = f"{row.condition}: outside the domain: {row.reason}; seen: {shown}"
        return Outcome(findings=(note(subject, "outside", said, batch=batch, output="value"),), cases=1)
    if seen.raised is not None:
        return refused(context, seen.raised, row.condition)
    exact = truth_of(subject, batch).value.exact
    as_written = batch_of(subject, row, p, context.device, rounded=False)
    written = truth_of(subject, replace(as_written, precision=FLOAT64)).value.exact
    if not satisfies(row.want, written).all():
        raise WrongTableError(f"{subject.contract.name}: {row.law}: the oracle gives {written.tolist()}")
    found = judged(subject, batch, seen)
    evidence = Evidence(subject=subject, precision=p, cases=batch.rows(subject.contract))
    evidence.add(batch, found, row.condition)
    value = next((j for j in found if j.name == "value"), None)
    if value is None:
        said = f"{row.condition}: expected shape {exact.shape}, got {seen.shape}"
        evidence.put(defect(subject, "shape", said, batch=batch, lines=called(subject, batch, "tuple(loss.shape)")))
        return evidence.outcome()
    # The inputs of a published number may not be numbers of the dtype: then the formula alone judges.
    same = bool(np.all(satisfies(row.want, exact)))
    free = (value.excuse == 0) & ~value.bad
    wrong = free & ~satisfies(row.want, value.got, _slack(subject, batch, value))
    if same and wrong.any():
        got = show(float(value.got[np.flatnonzero(wrong)[0]]))
        evidence.put(
            defect(subject, "special", f"{row.condition}: expected {row.want}, got {got}", batch=batch, output="value")
        )
    return evidence.outcome()


def _slack(subject: Subject, batch: Batch, value: Judged) -> Array | float:
    """The error that rounding can explain at these rows."""
    if not np.isfinite(value.truth.exact).all():
        return math.inf
    if batch.reduction != "none":
        return np.asarray(64.0 * batch.precision.u * (np.abs(value.truth.exact) + value.truth.absolute))
    index = np.arange(len(value.got))
    return limits_of(subject.contract, batch, batch.truth(subject.contract), "value", index).mixed


def _items(subject: Subject) -> tuple[str, ...]:
    laws: dict[str, Any] = {s.law: None for s in subject.contract.specials if offered(subject, s)}
    return tuple(laws)


register(Check(name="special", run=special, items=_items))
