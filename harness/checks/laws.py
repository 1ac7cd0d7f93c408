"""Metamorphic laws: those of the Contract, and those that hold for every loss of many rows."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, Mask, note, refusal
from harness.checks.relation import Side, broken_law, finished, judge_relation, side
from harness.checks.rows import general
from harness.checks.sampling import calm_batches, mixed_batches
from harness.contract import Contract
from harness.evaluate import Raised
from harness.findings import show
from harness.laws import Inequality, Law, Moved, NotAbove, Sibling, Vanishing
from harness.probe import sibling
from harness.ulp import Array
from reference.truth import trailing

ROWS = 512
CALM_ROWS = 128
SINGLES = 24
"""Rows where the Subject has to be called with one at a time."""
ROUND = 64
"""Rows of round numbers, of which few are enough for a law that applies to them."""
UNITS = (1.0, 2.0**-5)
"""What round numbers are multiples of: the small ones can grow within narrow bounds."""


def _declared(context: Context, law: Law) -> Outcome:
    subject, p = context.subject, context.precision
    evidence = Evidence(subject=subject, precision=p)
    rows = ROWS if subject.takes_none else SINGLES
    for batch in mixed_batches(subject, p, context.device, rows, "laws"):
        stopped = _asked(context, law, batch, evidence)
        if stopped is not None:
            return stopped
    if subject.contract.own_gradients and _unasked(evidence):
        # A law of a user that no such row satisfies exactly, as few do whose numbers have many digits or are large.
        for batch in calm_batches(subject, p, context.device, min(rows, ROUND), "laws"):
            for unit in UNITS:
                stopped = _asked(context, law, rounded(subject.contract, batch, unit), evidence)
                if stopped is not None:
                    return stopped
        if _unasked(evidence):
            return Outcome(unsupported=f"{law.name}: no row of {p.name} was found in which it can hold exactly")
    return finished(context, evidence)


def _unasked(evidence: Evidence) -> bool:
    return not evidence.cases and not evidence.spoiled


def rounded(contract: Contract, batch: Batch, unit: float) -> Batch:
    """The batch with whole numbers of units, where they are in the domain: these can be moved and scaled exactly."""
    args = dict(batch.args)
    for name, array in batch.args.items():
        arg = contract.arg(name)
        if arg.role == "input" and not arg.kind.integral and not arg.shared:
            near = unit * np.rint(array) + 0.0
            rows = arg.kind.legal_rows(near, batch.precision)
            args[name] = np.where(trailing(rows, array.ndim), near, array)
    return replace(batch, args=args)


def _inside(contract: Contract, batch: Batch, moved: Moved) -> Mask:
    """Rows that a law of a user leaves in the domain; one of the catalogue says itself where it applies."""
    changed = [
        a.name
        for a in contract.args
        if a.name in moved.args and not a.kind.integral and moved.args[a.name] is not batch.args.get(a.name)
    ]
    return contract.legal_rows(moved.args, batch.precision, changed if contract.own_gradients else ())


def _asked(context: Context, law: Law, batch: Batch, evidence: Evidence) -> Outcome | None:
    """Judge a law at the rows of a batch; the outcome where the Subject raised."""
    subject, contract = context.subject, context.subject.contract
    before = side(subject, batch)
    stopped = refusal(context, before.seen)
    if stopped is not None:
        return stopped
    with np.errstate(all="ignore"):
        moved = law.move(batch.points(contract, before.truth))
    applies = np.broadcast_to(np.asarray(moved.applies, np.bool_), before.truth.value.exact.shape)
    applies = applies & _inside(contract, batch, moved)
    if isinstance(law, Sibling):
        other = sibling(law.loss, moved.args, law.real, moved.parameters, batch)
        if isinstance(other, Raised) and other.type == "NotImplementedError":
            return Outcome(findings=(note(subject, "not supported", f"{law.name}: the sibling raised {other}"),))
        if isinstance(other, Raised):
            raise RuntimeError(f"{law.name}: the sibling raised {other}")
        _judge_sibling(evidence, law.name, before, other, applies, moved.factor)
        return None
    index = np.flatnonzero(applies)
    if not index.size:
        return None
    parameters = {k: v for k, v in moved.parameters.items() if k in subject.parameters}
    args = {k: v if contract.arg(k).shared else v[index] for k, v in moved.args.items()}
    after = side(subject, replace(batch, args=args, parameters=parameters))
    stopped = refusal(context, after.seen, law.name)
    if stopped is not None:
        return stopped
    everywhere = np.ones(len(index), np.bool_)
    if isinstance(law, Inequality):
        _judge_sign(evidence, law.name, after, everywhere, below=True)
    elif isinstance(law, Vanishing):
        _judge_sign(evidence, law.name, after, everywhere, below=False)
    else:
        factor = np.broadcast_to(moved.factor, applies.shape)[index]
        outputs = {k: (source, sign) for k, (source, sign) in law.gradients.items()}
        judge_relation(evidence, law.name, before.take(index), after, everywhere, factor=factor, outputs=outputs)
    return None


def ordered(context: Context, law: NotAbove) -> Outcome:
    """Of calm rows: where both sides are numbers the first is not above the second."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    rows = CALM_ROWS if subject.takes_none else SINGLES
    for batch in calm_batches(subject, context.precision, context.device, rows, "ordered"):
        points = batch.points(contract, batch.truth(contract))
        low, high = (side(subject, replace(batch, args=dict(move(points).args))) for move in (law.move, law.other))
        stopped = refusal(context, low.seen, law.name) or refusal(context, high.seen, law.name)
        if stopped is not None:
            return stopped
        less, more = low.got("value"), high.got("value")
        if less is None or more is None:
            continue
        numbers = low.usable("value") & high.usable("value")
        evidence.cases += int(numbers.sum())
        index = np.flatnonzero(numbers & (less > more))
        allowed = low.limits("value", index) + high.limits("value", index) if index.size else np.zeros(0)
        broken = index[~(less[index] - more[index] <= allowed)]
        if broken.size:
            row = int(broken[np.argmax(less[broken] - more[broken])])
            found = broken_law(subject, law.name, low, row, "value", more[row], less[row], broken.size, numbers.sum())
            said = f"expected at most {show(float(more[row]))}, got {show(float(less[row]))}"
            evidence.put(msgspec.structs.replace(found, message=f"{subject.name}: {law.says}: {said}"))
    if not evidence.cases:
        return Outcome(findings=(note(subject, "not asked", f"{law.name}: no row in which both are numbers"),))
    return evidence.outcome()


def _judge_sign(evidence: Evidence, law: str, at: Side, rows: Mask, *, below: bool) -> None:
    """value >= 0, or value = 0, up to the bound."""
    got = at.got("value")
    if got is None:
        return
    evidence.spoil(at.batch, rows & at.smooth("value") & ~at.regular("value"))
    rows = rows & at.usable("value")
    evidence.cases += int(rows.sum())
    index = np.flatnonzero(rows & ((got < 0.0) if below else (got != 0.0)))
    if not index.size:
        return
    broken = index[~(np.abs(got[index]) <= at.limits("value", index))]
    if broken.size:
        row = int(broken[0])
        zero = np.zeros(1)
        evidence.put(broken_law(evidence.subject, law, at, row, "value", zero, got[row], broken.size, rows.sum()))


def _judge_sibling(
    evidence: Evidence, law: str, before: Side, other: Array, applies: Mask, factor: Array | float
) -> None:
    got = before.got("value")
    if got is None:
        return
    with np.errstate(all="ignore"):
        want = np.broadcast_to(factor, got.shape) * np.reshape(other, got.shape)
    evidence.spoil(before.batch, applies & before.smooth("value") & ~before.regular("value"))
    rows = applies & before.usable("value") & np.isfinite(want)
    index = np.flatnonzero(rows & (got != want))
    allowed = before.limits("value", index) if index.size else np.zeros(0)
    # A sibling that is off the truth itself says nothing about the Subject.
    right = np.abs(want[index] - before.truth.value.exact[index]) <= allowed
    evidence.cases += int(rows.sum()) - int((~right).sum())
    if int((~right).sum()) > rows.sum() / 2:
        raise RuntimeError(f"{law}: the sibling is off the truth in {(~right).sum()} of {rows.sum()} rows")
    broken = index[right & ~(np.abs(got[index] - want[index]) <= 2.0 * allowed)]
    if broken.size:
        row = int(broken[0])
        evidence.put(
            broken_law(evidence.subject, law, before, row, "value", want[row], got[row], broken.size, rows.sum())
        )


def laws(context: Context) -> Outcome:
    """The relation holds up to the bounds of both sides."""
    named = {law.name: law for law in context.subject.contract.laws}
    if context.item in named:
        law = named[context.item]
        return ordered(context, law) if isinstance(law, NotAbove) else _declared(context, law)
    return general(context.subject)[context.item](context)


def _items(subject: Subject) -> tuple[str, ...]:
    taken = {*subject.arguments, *subject.parameters}
    return (*(law.name for law in subject.contract.laws if set(law.needs) <= taken), *general(subject))


register(Check(name="laws", run=laws, items=_items))
