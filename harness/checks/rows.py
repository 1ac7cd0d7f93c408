"""Laws that hold for every loss of many rows, because of the arguments it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.bounds import VALUE_CONSTANT, bounds
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.broadcast import broadcasts
from harness.checks.company import INDEPENDENT, influence
from harness.checks.grading import Evidence, Mask, covered_rows, defect, limits_of, reduced_truth, refusal
from harness.checks.masks import masks
from harness.checks.relation import finished, judge_relation, own_gradients, side
from harness.checks.sampling import calm_batches, counted, ignored_by, ignoring, mixed_batches
from harness.domain import Interval, ignored_index
from harness.evaluate import observe
from harness.judge import terms_of
from harness.ulp import Array
from reference.truth import Truth


def _independent(context: Context) -> Outcome:
    """Rows in another order and in other company give the same."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    same = own_gradients(contract.args)
    for batch in mixed_batches(subject, context.precision, context.device, 96, "independence"):
        whole = side(subject, batch)
        stopped = refusal(context, whole.seen)
        if stopped is not None:
            return stopped
        rows = batch.rows(contract)
        order = np.arange(rows)[::-1].copy()
        parts = [order, np.arange(rows // 3), np.arange(rows // 3, rows), *(np.array([r]) for r in range(0, rows, 24))]
        for part in parts:
            if part.size:
                alone = side(subject, batch.take(contract, part))
                everywhere = np.ones(part.size, np.bool_)
                judge_relation(evidence, context.item, whole.take(part), alone, everywhere, outputs=same)
    if evidence.findings or evidence.spoiled or not evidence.cases:
        # What wild rows show is shown by ordinary ones more plainly; and one that is inf may spoil all the others.
        shown = influence(context)
        if shown is not None:
            return Outcome(findings=(shown,), cases=evidence.cases)
    return finished(context, evidence)


def _ones(context: Context, name: str) -> Outcome:
    """A weight of ones is no weight."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    same = own_gradients(contract.args)
    for batch in mixed_batches(subject, context.precision, context.device, 128, "weight"):
        if name not in batch.args:
            continue
        without = side(subject, replace(batch, args={k: v for k, v in batch.args.items() if k != name}))
        given = side(subject, replace(batch, args={**batch.args, name: np.ones_like(batch.args[name])}))
        stopped = refusal(context, without.seen) or refusal(context, given.seen)
        if stopped is not None:
            return stopped
        judge_relation(evidence, context.item, without, given, np.ones(batch.rows(contract), np.bool_), outputs=same)
    return finished(context, evidence)


def _ignored(context: Context) -> Outcome:
    """What an ignored row holds changes nothing: its loss and gradient are 0, everything else is the same."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    target, name = ignoring(contract), ignored_by(contract)
    assert target is not None
    for batch in calm_batches(subject, context.precision, context.device, 24, "ignored"):
        if name not in batch.parameters:
            continue
        index = batch.args[target.name].copy()
        index[::3] = ignored_index(batch.parameters[name])
        clean = replace(batch, args={**batch.args, target.name: index})
        ignored = ~counted(contract, clean)
        for value in (np.nan, np.inf, -np.inf):
            dirty = replace(clean, args={**clean.args, **_filled(context, clean, ignored, value)})
            for reduction in ("none", *(r for r in subject.reductions if r != "none")):
                stopped = _same_but_ignored(context, evidence, clean, dirty, ignored, reduction, value)
                if stopped is not None:
                    return stopped
    return finished(context, evidence)


def _filled(context: Context, batch: Batch, rows: Mask, value: float) -> dict[str, Array]:
    filled = {}
    for arg in context.subject.contract.args:
        if arg.name in batch.args and not arg.kind.integral and not arg.shared:
            array = batch.args[arg.name].copy()
            array[rows] = value
            filled[arg.name] = array
    return filled


def _same_but_ignored(
    context: Context, evidence: Evidence, clean: Batch, dirty: Batch, ignored: Mask, reduction: str, value: float
) -> Outcome | None:
    subject, contract = context.subject, context.subject.contract
    one, other = (observe(subject, replace(b, reduction=reduction)) for b in (clean, dirty))
    stopped = refusal(context, one, "reduction") or refusal(context, other, "ignored")
    if stopped is not None:
        return stopped
    truth = dirty.truth(contract)
    for name, got in other.outputs().items():
        want = one.outputs().get(name)
        if want is None or want.shape != got.shape or (name != "value" and contract.arg(name).shared):
            continue
        scalar = name == "value" and reduction != "none"
        covered = covered_rows(subject, dirty, truth, [name])
        # The clean ignored rows are 0; the others must keep their bits, up to the order of summation.
        with np.errstate(all="ignore"):
            near = (got == want) | (np.abs(got - want) <= 64.0 * clean.precision.u * np.abs(want))
        fine = near.reshape(len(near), -1).all(axis=1)
        zero = np.ones(len(fine), np.bool_) if scalar else (got == 0.0).reshape(len(got), -1).all(axis=1) | ~ignored
        wrong = ~(fine & zero) & ~(np.array([covered.any()]) if scalar else covered)
        evidence.cases += int((~covered).sum())
        for departure in _seen_there(subject, dirty, truth, name, fine, covered):
            evidence.excused.add(departure)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            where = f"{value} in ignored rows, reduction={reduction}"
            said = f"{where}: {name}: expected {want[row].tolist()}, got {got[row].tolist()}"
            evidence.put(defect(subject, "ignored", said, batch=replace(dirty, reduction=reduction), output=name))
    return None


def _seen_there(subject: Subject, batch: Batch, truth: Truth, name: str, fine: Mask, covered: Mask) -> list[str]:
    """Names of the Faults whose rows changed."""
    if len(fine) != len(covered) or not (covered & ~fine).any():
        return []
    points, shape = batch.points(subject.contract, truth), truth.outputs()[name].exact.shape
    return [f.name for f in subject.faults if f.covers(name, points, shape).any()]


def _repeated(context: Context, name: str, *, positive: bool) -> Outcome:
    """Under sum, a row of integer weight k is k rows of weight 1; of pos_weight k, where its label is 1."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    label = next((a.name for a in contract.args if a.role == "target"), "")
    for drawn in calm_batches(subject, context.precision, context.device, 24, "repeated"):
        if name not in drawn.args:
            continue
        rows = drawn.rows(contract)
        if positive:
            hard = (np.arange(rows) % 3 == 0).astype(np.float64)
            batch = replace(drawn, args={**drawn.args, label: hard, name: np.full_like(drawn.args[name], 300 / 100)})
            times = np.where(hard == 1.0, 3, 1)
        else:
            times = 1 + np.arange(rows) % 3
            batch = replace(drawn, args={**drawn.args, name: times.astype(np.float64)})
        copies = np.repeat(np.arange(rows), times)
        plain = batch.take(contract, copies)
        plain = replace(plain, args={k: v for k, v in plain.args.items() if k != name})
        stopped = _same_sum(context, evidence, batch, plain, copies, [label] if positive else [])
        if stopped is not None:
            return stopped
    return finished(context, evidence)


def _same_sum(
    context: Context, evidence: Evidence, weighted: Batch, plain: Batch, copies: npt.NDArray[np.intp], skip: list[str]
) -> Outcome | None:
    subject, contract = context.subject, context.subject.contract
    one, other = (observe(subject, replace(b, reduction="sum")) for b in (weighted, plain))
    stopped = refusal(context, one, "reduction") or refusal(context, other, "reduction")
    if stopped is not None:
        return stopped
    rows = weighted.rows(contract)
    evidence.cases += rows
    truth = weighted.truth(contract)
    whole = reduced_truth(contract, weighted, truth, np.ones(rows))
    for name, got in one.outputs().items():
        if name in skip or name not in other.outputs() or (name != "value" and contract.arg(name).shared):
            continue
        want = other.outputs()[name]
        covered = covered_rows(subject, weighted, truth, [name])
        if name == "value":
            limit = bounds(
                whole.value, weighted.precision, VALUE_CONSTANT, 0.0, len(copies) + terms_of(contract, weighted), 4.0
            ).absolute
            covered = np.array([covered.any()])
        else:
            summed = np.zeros(got.shape)
            np.add.at(summed, copies, want)
            want, limit = summed, limits_of(contract, weighted, truth, name, np.arange(rows)).absolute
        with np.errstate(all="ignore"):
            off = ~(np.abs(got - want) <= 2.0 * limit)
        wrong = off.reshape(len(off), -1).any(axis=1) & ~covered
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            said = f"{context.item}: {name}: expected {want[row].tolist()}, got {got[row].tolist()}"
            evidence.put(defect(subject, "law", said, batch=replace(weighted, reduction="sum"), output=name))
    return None


IGNORED = "ignored rows do not matter, whatever they hold"


def general(subject: Subject) -> dict[str, Callable[[Context], Outcome]]:
    """The laws that hold for the Subject because of the arguments it has."""
    contract = subject.contract
    found: dict[str, Callable[[Context], Outcome]] = {}
    if subject.takes_none:
        found[INDEPENDENT] = _independent
    weights = [a for a in contract.args if a.role == "weight" and a.optional and a.name in subject.arguments]
    for arg in weights:
        if subject.takes_none:
            found[f"no {arg.name} = {arg.name} of ones"] = partial(_ones, name=arg.name)
        if "sum" not in subject.reductions or arg.shared or arg.dims or not isinstance(arg.kind, Interval):
            continue
        if arg.name == "weight":
            found["integer weight = repeated rows under sum"] = lambda c: _repeated(c, "weight", positive=False)
        if arg.name == "pos_weight":
            found["pos_weight 300/100 = positives three times under sum"] = lambda c: _repeated(
                c, "pos_weight", positive=True
            )
    if subject.takes_none and ignored_by(contract) in subject.parameters:
        found[IGNORED] = _ignored
    return found | masks(subject) | broadcasts(subject)
