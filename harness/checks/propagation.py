"""A nan, and an infinity where it is legal, reaches every output that depends on it, and no other."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import (
    Evidence,
    VacuousCheckError,
    coefficients_of,
    covered_rows,
    judge_reduced,
    note,
    reduced_truth,
    refusal,
    shaped,
)
from harness.checks.plain import plain_batches
from harness.checks.sampling import counted, settings_of
from harness.domain import Choice
from harness.evaluate import observe, observe_rows
from harness.judge import judge

ROWS = 6
PLACES = 3
"""Entries of one row that are poisoned in turn at the first setting: first, last, middle; at the others the first."""


def poisons(subject: Subject, name: str) -> tuple[float, ...]:
    """nan, and the infinities that are members of the argument's kind."""
    legal = subject.contract.arg(name).kind.legal
    return (np.nan, *(v for v in (np.inf, -np.inf) if bool(legal(np.array(v)))))


def strangers(subject: Subject, name: str) -> tuple[float, ...]:
    """The infinities that the domain leaves out: what they give is a matter of tables, other rows must not notice."""
    arg = subject.contract.arg(name)
    if arg.shared or isinstance(arg.kind, Choice):
        return ()
    return tuple(v for v in (np.inf, -np.inf) if not bool(arg.kind.legal(np.array(v))))


def poisoned(batch: Batch, name: str, row: int, entry: int, value: float, *, shared: bool) -> Batch:
    array = batch.args[name].copy()
    flat = array.reshape(1 if shared else len(array), -1)
    flat[0 if shared else row, entry] = value
    return replace(batch, args={**batch.args, name: array})


def nonfinite(context: Context) -> Outcome:
    """The outputs that become nan are those whose truth does; the others stay right."""
    subject, p = context.subject, context.precision
    contract = subject.contract
    arg = contract.arg(context.item)
    evidence = Evidence(subject=subject, precision=p)
    for plain in plain_batches(subject, p, context.device, 8 * ROWS, "nonfinite"):
        if arg.name not in plain.args:
            continue
        sound = plain.take(contract, slice(0, ROWS))
        counting = np.flatnonzero(counted(contract, sound))
        row = int(counting[len(counting) // 2]) if counting.size else 0
        width = sound.args[arg.name].size if arg.shared else int(np.prod(sound.args[arg.name].shape[1:]))
        if not width:
            continue
        for entry in sorted({0, width - 1, width // 2})[: PLACES if not evidence.cases else 1]:
            for value in poisons(subject, arg.name):
                batch = poisoned(sound, arg.name, row, entry, value, shared=arg.shared)
                what = f"{arg.name} is {value} in row {row}"
                stopped = _look(context, batch, what, evidence)
                if stopped is not None:
                    return stopped
            for value in strangers(subject, arg.name):
                batch = poisoned(sound, arg.name, row, entry, value, shared=False)
                _look_beside(subject, batch, row, f"{arg.name} is {value} in row {row}", evidence)
    if not evidence.cases:
        raise VacuousCheckError(f"{subject.name}: {context.item}: no setting has this argument")
    outcome = evidence.outcome()
    if isinstance(arg.kind, Choice):
        # Labels of which nan is not one: what happens is shown, not failed.
        notes = tuple(msgspec.structs.replace(f, severity="note") for f in outcome.findings)
        return replace(outcome, findings=notes)
    return outcome


def _look(context: Context, batch: Batch, what: str, evidence: Evidence) -> Outcome | None:
    subject = context.subject
    contract = subject.contract
    seen = observe_rows(subject, batch)
    if seen.raised is not None:
        pattern = refusal(context, seen, "nan")
        if pattern is not None and pattern.unsupported:
            return pattern
        return Outcome(findings=(note(subject, "raised", f"{what}: refused: {seen.raised}", batch=batch),), cases=1)
    truth = batch.truth(contract)
    evidence.cases += batch.rows(contract)
    evidence.add(batch, judge(contract, batch, truth, shaped(seen, truth), subject.departures), what)
    explained = covered_rows(subject, batch, truth, truth.outputs()).any()
    for reduction in contract.reductions:
        if reduction not in subject.reductions or explained:
            continue
        whole = replace(batch, reduction=reduction)
        seen = observe(subject, whole)
        coefficients = coefficients_of(subject, batch, reduction)
        expected = reduced_truth(contract, whole, truth, coefficients)
        judged = judge_reduced(subject, whole, truth, coefficients, expected, shaped(seen, expected))
        evidence.add(whole, judged, f"{what}, reduction={reduction}")
    return None


def _look_beside(subject: Subject, batch: Batch, row: int, what: str, evidence: Evidence) -> None:
    """The rows beside one that is outside the domain are as right as without it; a loss may refuse such a batch."""
    seen = observe_rows(subject, batch)
    if seen.raised is not None or not subject.takes_none:
        return
    contract = subject.contract
    truth = batch.truth(contract)
    own = {n: a for n, a in shaped(seen, truth).items() if n == "value" or not contract.arg(n).shared}
    others = np.arange(batch.rows(contract)) != row
    evidence.add(batch, judge(contract, batch, truth, own, subject.departures), what, rows=others)


def _items(subject: Subject) -> tuple[str, ...]:
    present = {n for c in settings_of(subject) for n in c.present}
    return tuple(a.name for a in subject.contract.args if a.name in present and not a.kind.integral)


register(Check(name="nonfinite", run=nonfinite, items=_items))
