"""A loss without an oracle of ours is a number, with gradients, at the exact points at which losses break."""

from __future__ import annotations

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, Mask, defect, refusal
from harness.checks.relation import finished
from harness.checks.sampling import calm_batches
from harness.confident import pairs, sure_and_wrong
from harness.edges import edges
from harness.evaluate import observe_rows
from harness.findings import reproduction, show
from harness.itself import SELF_REFERENCED
from harness.records import Finding

ROWS = 3
CONFIDENT_ROWS = 8


def at_edges(context: Context) -> Outcome:
    """No nan where the reference is a number, or where only the loss itself refers to itself.

    An infinite slope of a finite loss is a weakness: it may be what the mathematics says, and it ends the training.
    """
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    batch = next(calm_batches(subject, context.precision, context.device, ROWS, "edges"))
    for says, edge in edges(contract, batch):
        seen = observe_rows(subject, edge)
        stopped = refusal(context, seen)
        if stopped is not None:
            return stopped
        evidence.cases += edge.rows(contract)
        truth = edge.truth(contract).value.exact
        # An oracle that is given says where nan is meant; the loss in float64 breaks where the loss does.
        meant = np.isnan(truth) & (not contract.caveat.startswith(SELF_REFERENCED))
        finite = np.isfinite(truth) if seen.value is None else np.isfinite(seen.value) & np.isfinite(truth)
        for name, array in seen.outputs().items():
            broken = np.isnan(array).reshape(len(array), -1).any(axis=1)
            if broken.shape != meant.shape:  # of a tensor that the rows share
                broken = np.full(meant.shape, bool(broken.any()))
            what = "value" if name == "value" else f"gradient with respect to {name}"
            if (broken & ~meant).any():
                said = f"{what}: {says}: expected a number, got nan"
                evidence.put(_found(subject, edge, broken & ~meant, name, "nan", said, "a number"))
            steep = np.isinf(array).reshape(len(array), -1).any(axis=1)
            if name != "value" and steep.shape == finite.shape and (steep & finite).any():
                said = f"{what}: {says}: expected a finite slope of a finite loss, got an infinite one"
                found = _found(subject, edge, steep & finite, name, "infinite-slope", said, "a finite slope")
                evidence.put(msgspec.structs.replace(found, severity="weakness"))
    return evidence.outcome()


LEAST = 1e-4
"""A slope that trains; that of cross-entropy is nearly 1 there."""
CONFIDENT = "logits that are sure of the wrong label"


def confident(context: Context) -> Outcome:
    """A gradient that leads to the label. None is a weakness: a bounded loss means it to be small there."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    batch = next(calm_batches(subject, context.precision, context.device, CONFIDENT_ROWS, CONFIDENT))
    for sure in sure_and_wrong(contract, batch):
        seen = observe_rows(subject, sure.batch)
        stopped = refusal(context, seen)
        if stopped is not None:
            return stopped
        evidence.cases += sure.batch.rows(contract)
        slope = seen.gradients.get(sure.logits)
        if slope is None or slope.shape != sure.sign.shape:
            continue
        toward = np.where(sure.sign == 0.0, np.inf, slope * sure.sign)
        for kind, says, wrong in (
            ("dead-gradient", "one that trains", np.abs(toward) < LEAST),
            ("wrong-direction", "one that leads to the label", toward <= -LEAST),
        ):
            rows = np.asarray(wrong.reshape(len(wrong), -1).any(axis=1), np.bool_)
            if rows.any():
                got = show(float(slope[wrong][0]))
                said = (
                    f"gradient with respect to {sure.logits}: {CONFIDENT} by {sure.size:g}: expected {says}, got {got}"
                )
                found = _found(subject, sure.batch, rows, sure.logits, kind, said, f"at least {LEAST:g} in magnitude")
                evidence.put(msgspec.structs.replace(found, severity="weakness"))
    return finished(context, evidence)


def _found(subject: Subject, edge: Batch, rows: Mask, output: str, kind: str, message: str, want: str) -> Finding:
    """A defect with the first of the rows and the lines that reproduce it."""
    wrong = np.flatnonzero(rows)
    case = edge.take(subject.contract, wrong[:1])
    return msgspec.structs.replace(
        defect(subject, kind, message, batch=case, output=output),
        reproduction=reproduction(subject, case, output, want),
        count=int(wrong.size),
        total=len(rows),
    )


def _items(subject: Subject) -> tuple[str, ...]:
    """Contracts of ours have these points among their special values."""
    if not subject.contract.caveat:
        return ()
    return ("", CONFIDENT) if pairs(subject.contract) else ("",)


def at_points(context: Context) -> Outcome:
    """The exact edges, or logits that are sure of the wrong label."""
    return confident(context) if context.item == CONFIDENT else at_edges(context)


register(Check(name="edges", run=at_points, items=_items))
