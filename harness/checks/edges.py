"""A loss without an oracle of ours is a number, with gradients, at the exact points at which losses break."""

from __future__ import annotations

import msgspec
import numpy as np

from harness.binding import Subject
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import Evidence, defect, refusal
from harness.checks.sampling import calm_batches
from harness.edges import edges
from harness.evaluate import observe_rows
from harness.findings import reproduction
from harness.itself import SELF_REFERENCED

ROWS = 3


def at_edges(context: Context) -> Outcome:
    """No nan where the reference is a number, or where only the loss itself refers to itself."""
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
        for name, array in seen.outputs().items():
            broken = np.isnan(array).reshape(len(array), -1).any(axis=1)
            if broken.shape != meant.shape:  # of a tensor that the rows share
                broken = np.full(meant.shape, bool(broken.any()))
            wrong = np.flatnonzero(broken & ~meant)
            if wrong.size:
                case = edge.take(contract, wrong[:1])
                what = "value" if name == "value" else f"gradient with respect to {name}"
                found = defect(subject, "nan", f"{what}: {says}: expected a number, got nan", batch=case, output=name)
                lines = reproduction(subject, case, name, "a number")
                evidence.put(
                    msgspec.structs.replace(found, reproduction=lines, count=int(wrong.size), total=len(meant))
                )
    return evidence.outcome()


def _items(subject: Subject) -> tuple[str, ...]:
    """Contracts of ours have these points among their special values."""
    return ("",) if subject.contract.caveat else ()


register(Check(name="edges", run=at_edges, items=_items))
