"""A loss without an oracle of ours is a number, with gradients, at the exact points at which losses break."""

from __future__ import annotations

import msgspec
import numpy as np

from harness.binding import Subject
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, in_rows, refusal
from harness.checks.relation import finished
from harness.checks.sampling import calm_batches
from harness.confident import confident_and_wrong, pairs
from harness.edges import IGNORED, all_ignored, edges
from harness.evaluate import observe_rows
from harness.findings import show

ROWS = 3
CONFIDENT_ROWS = 8
CONFIDENT = "logits that are confident of the wrong label"
LEAST = 1e-4
"""A slope that trains, of all elements of a row together, as a share of that at inputs up to 1."""


def at_edges(context: Context) -> Outcome:
    """No nan where the reference is a number, or where only the loss itself refers to itself.

    Where all targets are ignored it is a weakness: that of torch documents nan for a mean of nothing.
    An infinite slope of a finite loss is a weakness: it may be what the mathematics says, and it ends the training.
    """
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    batch = next(calm_batches(subject, context.precision, context.device, ROWS, "edges"))
    asked = list(edges(contract, batch))
    told = any(says.startswith(IGNORED) for says, _ in asked)
    for says, edge in asked:
        seen = observe_rows(subject, edge)
        stopped = refusal(context, seen)
        if stopped is not None and says.startswith(IGNORED):
            continue  # that an ignored class is refused is told by its own law
        if stopped is not None:
            return stopped
        evidence.cases += edge.rows(contract)
        truth = edge.truth(contract).value.exact
        # An oracle that is given says where nan is meant; the loss in float64 breaks where the loss does.
        nothing = all_ignored(contract, edge)
        meant = (np.isnan(truth) & (not contract.itself)) | (nothing & told & (not says.startswith(IGNORED)))
        finite = np.isfinite(truth) if seen.value is None else np.isfinite(seen.value) & np.isfinite(truth)
        for name, array in seen.outputs().items():
            broken = np.isnan(array).reshape(len(array), -1).any(axis=1)
            if broken.shape != meant.shape:  # of a tensor that the rows share
                broken = np.full(meant.shape, bool(broken.any()))
            what = "value" if name == "value" else f"gradient with respect to {name}"
            if (broken & ~meant).any():
                said = f"{what}: {says}: expected a number, got nan"
                found = in_rows(subject, edge, broken & ~meant, "nan", said, name, "a number")
                weak = bool(nothing[broken & ~meant].all())
                evidence.put(msgspec.structs.replace(found, severity="weakness") if weak else found)
            steep = np.isinf(array).reshape(len(array), -1).any(axis=1)
            if name != "value" and steep.shape == finite.shape and (steep & finite).any():
                said = f"{what}: {says}: expected a finite slope of a finite loss, got an infinite one"
                found = in_rows(subject, edge, steep & finite, "infinite-slope", said, name, "a finite slope")
                evidence.put(msgspec.structs.replace(found, severity="weakness"))
    return evidence.outcome()


def confident(context: Context) -> Outcome:
    """A gradient that leads to the label. None, or one away from it, is a weakness.

    A bounded loss means it to be small there, and one that is smoothed or weighs its classes may turn between two wrong
    ones. That a loss prefers what is wrong altogether is a defect by the law ``right_costs_less``.
    """
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    batch = next(calm_batches(subject, context.precision, context.device, CONFIDENT_ROWS, CONFIDENT))
    for made in confident_and_wrong(contract, batch):
        seen = observe_rows(subject, made.batch)
        stopped = refusal(context, seen)
        if stopped is not None:
            return stopped
        evidence.cases += made.batch.rows(contract)
        slope = seen.gradients.get(made.logits, np.zeros_like(made.sign))
        # Of a mean over the elements of a row every element has its share.
        least = LEAST * contract.slope / np.maximum(made.sign.reshape(len(slope), -1).astype(bool).sum(axis=1), 1)
        least = least.reshape(-1, *[1] * (slope.ndim - 1))
        with np.errstate(invalid="ignore"):  # inf times 0, which is left out
            toward = np.where(made.sign == 0.0, np.inf, slope * made.sign)
        for kind, says, wrong in (
            ("dead-gradient", "one that trains", np.abs(toward) < least),
            ("wrong-direction", "one that leads to the label", toward <= -least),
        ):
            rows = np.asarray(wrong.reshape(len(wrong), -1).any(axis=1), np.bool_)
            if rows.any():
                where = f"gradient with respect to {made.logits}: {CONFIDENT} by {made.size:g}"
                said = f"{where}: expected {says}, got {show(float(slope[wrong][0]))}"
                found = in_rows(subject, made.batch, rows, kind, said, made.logits, f"not below {LEAST:g}")
                evidence.put(msgspec.structs.replace(found, severity="weakness"))
    return finished(context, evidence)


def _items(subject: Subject) -> tuple[str, ...]:
    """Contracts of ours have these points among their special values."""
    if not subject.contract.own_gradients:
        return ()
    led = [logits for logits, _ in pairs(subject.contract) if logits.name not in subject.stop_gradient]
    return ("", CONFIDENT) if led else ("",)


def at_points(context: Context) -> Outcome:
    """The exact edges, or logits that are sure of the wrong label."""
    return confident(context) if context.item == CONFIDENT else at_edges(context)


register(Check(name="edges", run=at_points, items=_items))
