"""Value, gradient and range: what the survey of a dtype found, one topic each."""

from __future__ import annotations

import re

from harness.bounds import GRADES
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import defect, note, raised_defect
from harness.checks.sampling import calm_batches
from harness.crossed import ROWS, crossed
from harness.evaluate import Raised
from harness.findings import call_lines, called
from harness.records import Finding

ROWS_SHOWN = 3
"""Rows in the lines of what is seen beside the numbers."""


def declared(context: Context, raised: Raised | None, topic: str) -> Outcome | None:
    """The outcome of a topic that raised: unsupported with the very message the Subject declares, else a defect."""
    if raised is None:
        return None
    pattern = context.subject.unsupported.get(topic)
    if pattern is not None and re.search(pattern, raised.message):
        return Outcome(unsupported=str(raised))
    wanted = f"the declared message /{pattern}/" if pattern else "a result"
    said = f"{topic}: expected {wanted}, got {raised}"
    return Outcome(findings=(raised_defect(context.subject, raised, said),))


def _few(context: Context) -> Batch:
    """Ordinary rows, few enough to be read."""
    return next(calm_batches(context.subject, context.precision, context.device, ROWS_SHOWN, "shown"))


def _pairs(context: Context) -> str:
    """Why a result may have too many numbers, where every example meets every other."""
    batch = next(calm_batches(context.subject, context.precision, context.device, ROWS, "pairs"))
    found = crossed(context.subject, batch)
    return "" if found is None else f"; {found.says}"


def _accuracy(context: Context, *, gradient: bool) -> Outcome:
    found = context.measurement()
    if context.subject.misshapen and not gradient:
        message = f"unreduced loss: expected one value a row, got another shape{_pairs(context)}"
        few = _few(context)
        lines = called(context.subject, few, "tuple(loss.shape)")
        shapeless = defect(context.subject, "shape", message, batch=few, lines=lines)
        return Outcome(findings=found.irregular or (shapeless,))
    stopped = declared(context, found.raised, context.precision.name) if not found.cases else None
    if stopped is None and gradient:
        stopped = declared(context, found.gradient_raised, f"{context.precision.name} gradient")
    if stopped is not None:
        return stopped

    def mine(output: str, kind: str) -> bool:
        return (output != "value") == gradient and kind in GRADES

    topic = context.precision.name + (" gradient" if gradient else "")
    findings = (*found.findings(mine), *works_after_all(context, topic))
    unreached = [n for n in found.unreached if n not in context.subject.stop_gradient]
    if gradient and unreached:
        # Without an oracle nobody says that there is one; none at all is a loss that trains nothing.
        itself = context.subject.contract.own_gradients and len(found.unreached) < sum(
            a.differentiable for a in context.subject.contract.args
        )
        hint = f"; if that is meant, declare it: stop_gradient={unreached}" if itself else ""
        few, first = _few(context), unreached[0]
        said = f"no gradient flows to {', '.join(unreached)}: expected one, got none{hint}"
        leaves = [a.name for a in context.subject.contract.args if a.differentiable and a.name in few.args]
        lines = called(context.subject, few, f"{first}.grad", leaves=leaves)
        put = note if itself else defect
        findings += (put(context.subject, "detached", said, batch=few, output=first, lines=lines),)
    if not gradient:
        findings += found.irregular
    names: set[str] = set()
    for output, excused in found.excused.items():
        if (output != "value") == gradient:
            names |= excused
    return Outcome(
        findings=findings,
        excused=tuple(sorted(names)),
        shared=found.findings(mine, apart=True),
        cases=found.cases,
    )


def works_after_all(context: Context, topic: str) -> tuple[Finding, ...]:
    """A topic that the Subject declares unsupported and that gave a result: the declaration is wrong."""
    if topic not in context.subject.unsupported:
        return ()
    few = _few(context)
    lines = call_lines(context.subject, few, gradients="gradient" in topic)
    said = f"{topic}: expected the declared exception, got a result"
    return (defect(context.subject, "supported", said, batch=few, lines=lines),)


def value(context: Context) -> Outcome:
    """Every unreduced value is mixed-stable or better, or a Departure says what it is instead."""
    return _accuracy(context, gradient=False)


def gradient(context: Context) -> Outcome:
    """Every gradient entry is mixed-stable or better, or a Departure says what it is instead."""
    return _accuracy(context, gradient=True)


def finite_range(context: Context) -> Outcome:
    """No inf, nan, or zero where the truth is representable; no finite number where it is not."""
    found = context.measurement()
    stopped = declared(context, found.raised, context.precision.name) if not found.cases else None
    if stopped is not None:
        return stopped

    def mine(output: str, kind: str) -> bool:
        return kind not in GRADES

    return Outcome(findings=found.findings(mine), shared=found.findings(mine, apart=True), cases=found.cases)


register(Check(name="value", run=value))
register(Check(name="gradient", run=gradient))
register(Check(name="range", run=finite_range))
