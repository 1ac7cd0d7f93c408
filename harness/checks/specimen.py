"""The specimens' own check: each shows what its form is known for, and keeps the grade that its algorithm can reach."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from harness import records
from harness.binding import Subject
from harness.bounds import GRADES
from harness.checks.base import Check, Context, Outcome, answered, register, registered
from harness.checks.grading import Evidence, defect
from harness.specimen import excuse
from harness.ulp import PRECISIONS

SEEN_IN = ("float32", "bfloat16", "float16", "float64")
"""Dtypes in the order in which a finding is looked for."""
VALUE, GRADIENTS = "the value is ", "gradients are "


def measured(tally: records.OutputTally) -> int:
    """The worst grade of an output; an entry whose partial product left the range is a weakness, not unstable."""
    partial = tally.ranges.get("partial-range", 0)
    worst = [g for g in GRADES if tally.grades[g] > (partial if g == "unstable" else 0)]
    return GRADES.index(worst[-1]) if worst else 0


def _shows(context: Context, name: str, kind: str) -> Outcome:
    """A check finds this kind in some dtype; else the declaration is stale."""
    check = next(c for c in registered() if c.name == name)
    for dtype in SEEN_IN:
        for item in check.items(context.subject):
            if check.dtypes is not None and dtype not in check.dtypes(context.subject, item):
                continue
            there = replace(context, precision=PRECISIONS[dtype], item=item)
            if any(f.kind == kind for f in answered(check, there).findings):
                return Outcome(excused=(excuse(name, kind),), cases=1)
    return Outcome(stale=(excuse(name, kind),), cases=1)


def _keeps(context: Context, grade: str, *, gradients: bool) -> Outcome:
    evidence = Evidence(subject=context.subject, precision=context.precision)
    for tally in context.measurement().record.outputs:
        if (tally.output != "value") != gradients:
            continue
        evidence.cases += tally.entries
        got = measured(tally)
        if got > GRADES.index(grade):
            said = f"{tally.output}: declared to be {grade} or better: expected no worse, got {GRADES[got]}"
            found = defect(context.subject, "grade", said, output=tally.output, lines=tally.worst_reproduction)
            evidence.put(msgspec.structs.replace(found, case=tally.worst, got=tally.worst_got, want=tally.worst_want))
    return evidence.outcome()


def specimen(context: Context) -> Outcome:
    """What is declared of the form is what is seen of it."""
    if context.item.startswith(VALUE):
        return _keeps(context, context.item.removeprefix(VALUE), gradients=False)
    if context.item.startswith(GRADIENTS):
        return _keeps(context, context.item.removeprefix(GRADIENTS), gradients=True)
    name, _, kind = context.item.partition(": ")
    return _shows(context, name, kind)


def _items(subject: Subject) -> tuple[str, ...]:
    declared = subject.specimen
    if declared is None:
        return ()
    grades = [VALUE + declared.grade] if declared.grade else []
    grades += [GRADIENTS + declared.gradient] if declared.gradient else []
    return (*grades, *(excuse(*row) for row in declared.rows))


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    return tuple(PRECISIONS) if item.startswith((VALUE, GRADIENTS)) else ("float32",)


register(Check(name="specimen", run=specimen, items=_items, dtypes=_dtypes))
