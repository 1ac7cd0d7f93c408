"""The ledger's own check: what a Fault's witnesses show is still seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import limits_of, refused, shaped
from harness.deviations import Fault, Witness
from harness.evaluate import observe_rows
from harness.judge import judge
from harness.ulp import Precision


def witness_batch(subject: Subject, witness: Witness, p: Precision, device: str = "cpu") -> Batch:
    """The one row that a Witness is; numbers or hex text, with or without the axis of rows."""
    contract = subject.contract
    args: dict[str, npt.NDArray[Any]] = {}
    for name, nested in witness.args.items():
        arg = contract.arg(name)
        array = np.array(_numbers(nested), np.int64 if arg.kind.integral else np.float64)
        args[name] = array if arg.shared or array.ndim > len(arg.dims) else array[None]
    given = {q.name: q.values[0] for q in contract.parameters if q.name in subject.parameters} | dict(
        witness.parameters
    )
    return Batch(args=args, parameters=given, precision=p, device=device, origin="regression")


def _numbers(nested: Any) -> Any:
    if isinstance(nested, (list, tuple)):
        return [_numbers(v) for v in nested]
    return float.fromhex(nested) if isinstance(nested, str) else nested


def shows(subject: Subject, fault: Fault, batch: Batch) -> bool | None:
    """Whether one output, by the plain oracle, is bad inside the region and is what the Fault says; None: it raised."""
    contract = subject.contract
    seen = observe_rows(subject, batch)
    if seen.raised is not None:
        return None
    truth = batch.truth(contract)
    points = batch.points(subject.contract, truth)
    for j in judge(contract, batch, truth, shaped(seen, truth)):
        here = j.bad & fault.covers(j.name, points, j.bad.shape)
        if not here.any():
            continue
        index = np.arange(len(j.bad))
        absolute = limits_of(contract, batch, truth, j.name, index).absolute
        with np.errstate(all="ignore"):
            holds = np.broadcast_to(fault.seen.holds(j.got, j.truth, points, absolute), here.shape)
        if (here & holds).any():
            return True
    return False


def witness(context: Context) -> Outcome:
    """Every witness of the Fault still shows it."""
    subject = context.subject
    fault = next(f for f in subject.faults if f.name == context.item)
    cases = 0
    for evidence in fault.witnesses:
        if evidence.dtype != context.precision.name:
            continue
        batch = witness_batch(subject, evidence, context.precision, context.device)
        shown = shows(subject, fault, batch)
        if shown is None:
            raised = observe_rows(subject, batch).raised
            assert raised is not None
            return refused(context, raised, fault.name)
        cases += 1
        if not shown:
            return Outcome(stale=(fault.name,), cases=cases)
    return Outcome(excused=(fault.name,), cases=cases)


def witnessed(subject: Subject) -> tuple[str, ...]:
    """The Faults that have a witness."""
    return tuple(f.name for f in subject.faults if f.in_force() and f.witnesses)


def _items(subject: Subject) -> tuple[str, ...]:
    """None where parameters are held: the witnesses are of other values."""
    return () if subject.held else witnessed(subject)


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    fault = next(f for f in subject.faults if f.name == item)
    return tuple(dict.fromkeys(w.dtype for w in fault.witnesses))


register(Check(name="witness", run=witness, items=_items, dtypes=_dtypes))
