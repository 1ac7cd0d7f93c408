"""What a mask leaves out changes nothing: a law of every declared loss that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.grading import Evidence, Mask, in_rows, refusal
from harness.checks.relation import Side, finished, judge_relation, own_gradients, side
from harness.checks.sampling import calm_batches
from harness.contract import Contract
from harness.domain import Arg, Choice
from harness.evaluate import observe_rows
from harness.findings import show

ROWS = 24
CLOSE = 64.0
"""Units of roundoff within which a value counts as the same."""
HELD = (np.nan, np.inf)


def masks(subject: Subject) -> dict[str, Callable[[Context], Outcome]]:
    """A law for every mask of a declared loss; what has to be arranged is not replaced."""
    contract = subject.contract
    if not contract.own_gradients or contract.arrange is not None:
        return {}
    found = [a for a in contract.args if isinstance(a.kind, Choice) and a.role == "weight" and masked_by(contract, a)]
    return {f"what {a.name} leaves out does not matter": partial(_masked, mask=a) for a in found}


def masked_by(contract: Contract, mask: Arg) -> list[Arg]:
    """The arguments of which a mask tells the elements that count: all but weights that begin with its dimensions."""
    size = len(mask.dims)
    return [a for a in contract.args if a.role != "weight" and not a.shared and a.dims[:size] == mask.dims]


def _filled(batch: Batch, mask: Arg, values: dict[str, Any]) -> Batch:
    """The batch with other numbers where the mask is 0."""
    out = batch.args[mask.name] == 0.0

    def where(name: str, value: Any) -> Any:
        array = batch.args[name]
        return np.where(out.reshape(out.shape + (1,) * (array.ndim - out.ndim)), value, array)

    return replace(batch, args={**batch.args, **{n: where(n, v) for n, v in values.items()}})


def _masked(context: Context, mask: Arg) -> Outcome:
    """Other members of the kind change nothing; nan and inf change nothing, which is a weakness where they do."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    drawn = (calm_batches(subject, context.precision, context.device, ROWS, salt) for salt in ("masked", "replaced"))
    for batch, other in zip(*drawn, strict=True):
        under = masked_by(contract, mask)
        before = side(subject, batch)
        after = side(subject, _filled(batch, mask, {a.name: other.args[a.name] for a in under}))
        stopped = refusal(context, before.seen) or refusal(context, after.seen)
        if stopped is not None:
            return stopped
        everywhere = np.ones(batch.rows(contract), np.bool_)
        judge_relation(evidence, context.item, before, after, everywhere, outputs=own_gradients(contract.args))
        for value in HELD:
            dirty = _filled(batch, mask, {a.name: value for a in under if not a.kind.integral})
            for finding in _reached(before, dirty, f"{value} in what {mask.name} leaves out"):
                evidence.put(finding)
    return finished(context, evidence)


def _reached(before: Side, dirty: Batch, says: str) -> Iterator[Any]:
    """A weakness for every output that what is masked reaches; a loss may refuse it."""
    subject = before.subject
    seen = observe_rows(subject, dirty)
    for name, got in seen.outputs().items():
        want = before.seen.outputs().get(name)
        if want is None or want.shape != got.shape:
            continue
        with np.errstate(all="ignore"):
            near = (got == want) | (np.abs(got - want) <= CLOSE * dirty.precision.u * np.abs(want))
        wrong: Mask = (~near & np.isfinite(want)).reshape(len(want), -1).any(axis=1)
        if not wrong.any():
            continue
        row = int(np.flatnonzero(wrong)[0])
        entry = int(np.flatnonzero(np.ravel(~near[row]))[0])
        expected, found = (float(np.ravel(array[row])[entry]) for array in (want, got))
        what = "value" if name == "value" else f"gradient with respect to {name}"
        said = f"{says}: {what}: expected {show(expected)}, got {show(found)}"
        shown = in_rows(subject, dirty, wrong, "ignored", said, name, repr(expected))
        yield msgspec.structs.replace(shown, severity="weakness")
