"""Options of a declared loss matter, and its arguments mean the same by position and by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject, Way
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.form import identical
from harness.checks.grading import defect, in_rows, refusal
from harness.checks.sampling import calm, calm_batches, fitting, mixed_batches, settings_of
from harness.edges import edges
from harness.evaluate import Observation, observe, observe_rows
from harness.findings import call_text, called, show
from harness.generate import seeded, sizes
from harness.trying import severity_of

ROWS = 48
SINGLES = 8
"""Rows where the Subject has to be called with one at a time."""
BY_POSITION = "arguments by position"


def _batches(context: Context) -> Iterator[Batch]:
    """Calm rows of every size, rows over the whole domain, and the edges."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    rows = ROWS if subject.takes_none else SINGLES
    for number, size in enumerate(sizes(contract)):
        rng = seeded(contract.name, "options", number, p.name)
        count = fitting(contract, size, rows, min(rows, SINGLES))
        yield calm(contract, settings_of(subject)[0], size, count, rng, p, device=context.device)
    yield from mixed_batches(subject, p, context.device, rows, "options")
    few = next(calm_batches(subject, p, context.device, 3, "options"))
    yield from (edge for _, edge in edges(contract, few))


def _seen(subject: Subject, batch: Batch) -> list[Observation]:
    """Rows, and each reduction of them."""
    reduced = [observe(subject, replace(batch, reduction=r)) for r in subject.reductions if r != "none"]
    return [observe_rows(subject, batch), *reduced]


def _differ(one: Observation, other: Observation) -> bool:
    """Whether a value, a gradient or an exception is another."""
    names = {*one.outputs(), *other.outputs()}
    same = all(identical(one.outputs().get(n), other.outputs().get(n)) for n in names)
    return not same or str(one.raised) != str(other.raised) or one.shape != other.shape


def matters(context: Context, name: str) -> Outcome:
    """An option changes the value or a gradient of some row against its default.

    One that nobody gives may mean something to other calls: it is a weakness at most.
    """
    subject = context.subject
    option = subject.given.get(name) or subject.tried[name]
    other, rows = replace(subject, call=option.call, text=option.text), 0
    for batch in _batches(context):
        rows += batch.rows(subject.contract)
        for one, default in zip(_seen(subject, batch), _seen(other, batch), strict=True):
            if _differ(one, default):
                return Outcome(cases=rows)
    said = (
        f"option {name}: expected to matter, got the same bits with {name}={option.given!r} and with its default "
        f"{option.default!r} in all of {rows} rows: is it stored and never used?"
    )
    few = batch.take(subject.contract, slice(0, SINGLES))
    spelled = call_text(other, few)
    before = "import functools" if "functools." in spelled else ""
    lines = called(subject, few, f"torch.equal(loss, {spelled})", before=before)
    found = defect(subject, "option", said, batch=few, lines=lines)
    severity = severity_of(name, option.given, option.default) if name in subject.given else "weakness"
    found = msgspec.structs.replace(found, severity=severity)
    return Outcome(findings=(found,), cases=rows)


def by_position(context: Context, way: Way) -> Outcome:
    """The arguments in the order of the signature, not by name: the same bits."""
    subject = context.subject
    other, rows = replace(subject, call=way.call, text=way.text), 0
    for batch in calm_batches(subject, context.precision, context.device, SINGLES, BY_POSITION):
        rows += batch.rows(subject.contract)
        named, placed = observe_rows(subject, batch), observe_rows(other, batch)
        stopped = refusal(context, named) or refusal(context, placed, BY_POSITION)
        if stopped is not None:
            return stopped
        for output, want in named.outputs().items():
            got = placed.outputs().get(output)
            if got is None or got.shape != want.shape:
                said = f"{BY_POSITION}: {output}: expected what they give by name, got another shape or nothing"
                return Outcome(findings=(defect(other, "position", said, batch=batch, output=output),), cases=rows)
            off = ~((got == want) | (np.isnan(got) & np.isnan(want)))
            if off.any():
                wrong = off.reshape(len(off), -1).any(axis=1)
                said = (
                    f"{BY_POSITION}: {output}: expected {show(float(want[off][0]))} as by name, "
                    f"got {show(float(got[off][0]))}"
                )
                found = in_rows(other, batch, wrong, "position", said, output, repr(float(want[off][0])))
                return Outcome(findings=(found,), cases=rows)
    return Outcome(cases=rows)


def options(context: Context) -> Outcome:
    """What is given counts, however it is given."""
    if context.item == BY_POSITION:
        assert context.subject.by_position is not None
        return by_position(context, context.subject.by_position)
    return matters(context, context.item.removeprefix("option "))


def _items(subject: Subject) -> tuple[str, ...]:
    placed = (BY_POSITION,) if subject.by_position is not None else ()
    return (*(f"option {name}" for name in (*subject.given, *subject.tried)), *placed)


register(
    Check(
        name="options",
        run=options,
        items=_items,
        dtypes=lambda subject, item: ("float64",),
    )
)
