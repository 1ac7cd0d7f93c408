"""A module is its functional form, bit for bit."""

from __future__ import annotations

from dataclasses import replace

from harness.binding import Subject
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.form import identical
from harness.checks.grading import Evidence, defect, refused
from harness.checks.sampling import mixed_batches
from harness.evaluate import observe

ROWS, FEW = 64, 8


def twin(context: Context) -> Outcome:
    """Value and gradients of the module and of its functional form have the same bits."""
    subject, other = context.subject, context.subject.twin
    assert other is not None
    contract = subject.contract
    reduction = context.item.removeprefix("reduction=")
    evidence = Evidence(subject=subject, precision=context.precision)
    for batch in mixed_batches(subject, context.precision, context.device, ROWS, "twin"):
        asked = replace(batch, reduction=reduction)
        mine, theirs = observe(subject, asked), observe(other, asked)
        evidence.cases += asked.rows(subject.contract)
        if (mine.raised or mine.gradient_raised) != (theirs.raised or theirs.gradient_raised):
            said = f"expected what {other.name} does ({theirs.raised or 'a result'}), got {mine.raised or 'a result'}"
            evidence.put(defect(subject, "twin", said, batch=asked.take(contract, slice(0, FEW))))
        elif mine.raised is not None:
            return refused(context, mine.raised, "reduction")
        for name in {**mine.outputs(), **theirs.outputs()}:
            if not identical(mine.outputs().get(name), theirs.outputs().get(name)):
                said = f"{name}: expected the bits of {other.name}, got others"
                evidence.put(defect(subject, "twin", said, batch=asked.take(contract, slice(0, FEW)), output=name))
    return evidence.outcome()


def _items(subject: Subject) -> tuple[str, ...]:
    return () if subject.twin is None else tuple(f"reduction={r}" for r in subject.reductions)


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    return ("float64", "float32", "bfloat16")


register(Check(name="twin", run=twin, items=_items, dtypes=_dtypes))
