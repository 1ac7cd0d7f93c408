"""A trial becomes a record; a run its header and declarations."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from harness import conduct, records
from harness.binding import Subject
from harness.cases import NoReferenceError
from harness.checks.base import Context, Outcome, answered
from harness.checks.grading import defect, without_reference
from harness.checks.ledger import witness_batch
from harness.checks.sampling import calm_batches
from harness.conduct import Change
from harness.deviations import GARBAGE, Departure, Deviation, Fault
from harness.domain import Arg
from harness.effort import Effort
from harness.findings import MESSAGES, reproduction
from harness.plan import SURVEY_CHECK, SURVEYED, Trial
from harness.specimen import excuse
from harness.ulp import PRECISIONS
from harness.version import VERSION


def verdict(outcome: Outcome, subject: Subject, *, strict: bool) -> str:
    """The first that applies of fail, stale, fault, deviation, unsupported, pass."""
    severities = {f.severity for f in outcome.findings}
    if "defect" in severities or (strict and "weakness" in severities):
        return "fail"
    if outcome.stale:
        return "stale"
    faults = {f.name for f in subject.faults}
    if subject.specimen is not None:
        faults |= {excuse(*row) for row in subject.specimen.rows}
    if faults & set(outcome.excused):
        return "fault"
    if outcome.excused:
        return "deviation"
    return "unsupported" if outcome.unsupported else "pass"


def _explained(trial: Trial, outcome: Outcome) -> Outcome:
    """The outcome without the findings that a Fault says this very row shows, or a specimen is known for."""
    row = f"{trial.check.name}: {trial.item}"
    left, excused = list(outcome.findings), set(outcome.excused)
    for departure in trial.subject.departures:
        if isinstance(departure, Fault) and trial.precision.name in departure.dtypes and row in departure.rows:
            kept = [f for f in left if f.kind not in departure.rows[row]]
            if len(kept) < len(left) or departure.seen is GARBAGE:
                left, excused = kept, excused | {departure.name}
    declared, check = trial.subject.specimen, trial.check.name
    if declared is not None:
        excused |= {excuse(check, f.kind) for f in left if declared.explains(check, f.kind)}
        left = [f for f in left if not declared.explains(check, f.kind)]
    return replace(outcome, findings=tuple(left), excused=tuple(sorted(excused)))


FEW = 3
"""Rows in the lines of a change whose call is not known."""


def _set_apart(trial: Trial, outcome: Outcome, other: Context) -> Outcome:
    """The outcome without the findings that the baseline shows in the same row of the same check."""
    if not outcome.findings or other.item not in trial.check.items(other.subject):
        return outcome
    known = {(f.kind, f.output, f.severity) for f in trial.check.run(other).findings}
    shared = tuple(f for f in outcome.findings if (f.kind, f.output, f.severity) in known)
    left = tuple(f for f in outcome.findings if f not in shared)
    return replace(outcome, findings=left, shared=(*outcome.shared, *shared))


def run(trial: Trial, effort: Effort, *, strict: bool, baseline: Subject | None = None) -> list[records.Line]:
    """Run one trial: its record, and the survey where it carries one. An exception of ours is the verdict ``error``."""
    started = time.perf_counter()
    context = Context(
        subject=trial.subject,
        precision=trial.precision,
        device=trial.device,
        effort=effort,
        item=trial.item,
        baseline=baseline,
    )
    lines: list[records.Line] = []
    before = conduct.state()
    try:
        kept = trial.subject.specimen is not None
        surveyed = trial.check.name == SURVEY_CHECK
        try:
            found = answered(trial.check, context) if kept else trial.check.run(context)
        except NoReferenceError as error:
            found, surveyed = without_reference(context, error), False
        outcome = _explained(trial, found)
        if baseline is not None and trial.check.name not in SURVEYED:  # the survey sets it apart case by case
            outcome = _set_apart(trial, outcome, replace(context, subject=replace(baseline, faults=()), baseline=None))
        result = verdict(outcome, trial.subject, strict=strict)
        reason = outcome.unsupported or ", ".join(outcome.stale)
        if surveyed and not outcome.unsupported:
            lines.append(context.measurement().record)
    except Exception:
        outcome, result, reason = Outcome(), "error", traceback.format_exc()
    if left := conduct.changes_since(before):
        # With torch changed under it, an exception of ours is not our fault.
        outcome = replace(outcome, findings=(*outcome.findings, *_left_changed(trial, left)))
        result = verdict(outcome, trial.subject, strict=strict)
    record = records.Trial(
        id=trial.id,
        subject=trial.subject.name,
        contract=trial.subject.contract.name,
        check=trial.check.name,
        item=trial.item,
        dtype=trial.precision.name,
        device=trial.device,
        verdict=result,
        reason=reason,
        findings=list(outcome.findings),
        excused=list(outcome.excused),
        shared=list(outcome.shared),
        cases=outcome.cases,
        seconds=round(time.perf_counter() - started, 3),
    )
    return [record, *lines]


def _left_changed(trial: Trial, changes: Sequence[Change]) -> list[records.Finding]:
    """A finding for each thing that the calls of a trial left changed, with the first call that is known for it."""
    first = {change.what: change for change in reversed(changes)}
    ordinary = next(calm_batches(trial.subject, trial.precision, trial.device, FEW, "left"))
    return [
        defect(trial.subject, "global state", f"leaves something changed: {what}", batch=change.batch or ordinary)
        for what, change in first.items()
    ]


def header(effort: Effort, *, strict: bool, devices: Sequence[str], planned: int) -> records.Run:
    """The circumstances of a run on this machine."""
    return records.Run(
        lossproof=VERSION,
        torch=str(torch.__version__),
        numpy=np.__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        threads=torch.get_num_threads(),
        effort=effort.name,
        strict=strict,
        seed=effort.seed,
        devices=list(devices),
        planned=planned,
    )


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return f"{names[0]} x{os.cpu_count()}" if names else platform.processor()
    except OSError:
        return platform.processor()


def declarations(subjects: Iterable[Subject]) -> list[records.Declaration]:
    """What is declared of every Subject, as text."""
    return [_declaration(s) for s in subjects]


def _declaration(subject: Subject) -> records.Declaration:
    contract = subject.contract
    judged = subject.twin or subject
    ledger = [_entry(judged, d) for d in (*contract.deviations, *subject.faults)] + _known_for(subject)
    return records.Declaration(
        subject=subject.name,
        contract=contract.name,
        origin=subject.origin,
        summary=contract.summary,
        formula=contract.formula,
        sources=list(contract.sources),
        arguments={a.name: _argument_text(a) for a in contract.args},
        parameters={p.name: ", ".join(map(repr, p.values)) for p in contract.parameters},
        reductions=["none", *contract.reductions],
        scales=contract.scales,
        ledger=ledger,
        caveat="; ".join(filter(None, (contract.caveat, *subject.intended, *subject.unasked))),
        not_offered=[_missing_text(subject, name) for name in subject.not_offered if name not in subject.held],
    )


def _missing_text(subject: Subject, name: str) -> str:
    """What is not offered, with the default that a parameter is judged at, or why."""
    parameter = next((p for p in subject.contract.parameters if p.name == name), None)
    if parameter is not None:
        return f"{name} (taken as {parameter.values[0]!r})"
    why = subject.reducing.reasons.get(name)
    return f"{name} ({why})" if why else name


def _known_for(subject: Subject) -> list[records.LedgerEntry]:
    """What a specimen is declared to show, an entry each."""
    declared = subject.specimen
    if declared is None:
        return []
    return [
        records.LedgerEntry(
            name=excuse(check, kind),
            kind="fault",
            region="wherever it is found",
            seen=MESSAGES.get(kind, kind),
            source=declared.source,
            versions="all",
            dtypes=list(PRECISIONS),
            outputs=["value"] if check == "value" else [a.name for a in subject.contract.args if a.differentiable],
        )
        for check, kind in declared.rows
    ]


def _argument_text(arg: Arg) -> str:
    shape = "(" + ", ".join((() if arg.shared else ("N",)) + arg.dims) + ")"
    optional = ", optional" if arg.optional else ""
    return f"{arg.role} {shape}, {type(arg.kind).__name__}{optional}" + (
        ", differentiable" if arg.differentiable else ""
    )


def _witnessed(subject: Subject, fault: Fault) -> str:
    """Lines that show a Fault, from its first witness."""
    if not fault.witnesses or subject.held:  # its witnesses are of other values of what is held
        return ""
    witness = fault.witnesses[0]
    batch = witness_batch(subject, witness, PRECISIONS[witness.dtype])
    output = fault.outputs[0]
    truth = batch.truth(subject.contract).outputs()[output].exact
    return reproduction(subject, batch, output, truth.tolist())


def _entry(subject: Subject, departure: Departure) -> records.LedgerEntry:
    assert isinstance(departure, (Deviation, Fault))
    documented = isinstance(departure, Deviation)
    return records.LedgerEntry(
        name=departure.name,
        kind="deviation" if documented else "fault",
        region=departure.where,
        seen=departure.says if isinstance(departure, Deviation) else departure.seen.text,
        source=departure.source if isinstance(departure, Deviation) else departure.upstream,
        versions=departure.versions or "all",
        dtypes=list(departure.dtypes),
        outputs=list(departure.outputs),
        reproduction=_witnessed(subject, departure) if isinstance(departure, Fault) else "",
    )
