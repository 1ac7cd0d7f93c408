"""Why a loss is wrong, in plain language, where one of the mistakes that people make explains what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import msgspec
import numpy as np

from harness.binding import Subject, exchanged
from harness.bounds import UNSTABLE
from harness.cases import Batch, halves
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.grading import coefficients_of, defect, in_rows, note, reduced_truth, refusal, shaped, told_of_pairs
from harness.checks.sampling import calm_batches
from harness.crossed import crossed
from harness.evaluate import Observation, observe, observe_rows
from harness.findings import reproduction, show
from harness.judge import judge
from harness.means import grows
from harness.mistakes import (
    FAR,
    FEWEST,
    close,
    close_to,
    exchanged_in_torch,
    explains,
    explanation,
    in_units,
    of_axis,
    of_gradient,
    of_reduction,
    scores_of_classes,
)
from harness.predictions import twins
from harness.records import Finding
from harness.ulp import Array, to_hex
from reference.truth import Truth

ROWS = 48
FEW_ROWS = 7
"""Rows of a reduced loss: no number of theirs is near one of ROWS."""
DTYPES = ("float64", "float32")
TOLERANCE = 1e-4
"""Relative; of calm rows, in which a loss with a mistake loses as few digits as any other."""


def mistakes(context: Context) -> Outcome:
    """No known mistake explains what is seen; what none explains is for the other checks to find."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    batch = next(calm_batches(subject, p, context.device, ROWS, "mistakes"))
    seen = observe_rows(subject, batch)
    stopped = refusal(context, seen)
    if stopped is not None:
        told = (*_of_order(subject, batch, seen), *_of_batch_axis(subject, batch, seen))
        return Outcome(findings=told, cases=batch.rows(contract)) if told else stopped
    truth = batch.truth(contract)
    # A wrong formula has a wrong gradient too.
    found = list(_of_value(subject, batch, truth, seen)) or list(_of_shares(subject, batch))
    found = found or list(_of_gradients(subject, batch, truth, seen)) or list(_of_axis(subject, batch, truth))
    found += _of_reductions(subject, batch.take(contract, slice(0, FEW_ROWS))) or _of_pairs(subject, batch)
    return Outcome(findings=tuple(found), cases=batch.rows(contract))


def without_formula(context: Context) -> Outcome:
    """Of a loss that refers to itself: what shows without a formula."""
    subject, contract = context.subject, context.subject.contract
    batch = next(calm_batches(subject, context.precision, context.device, ROWS, "mistakes"))
    seen = observe_rows(subject, batch, gradients=False)
    stopped = refusal(context, seen)
    if stopped is not None:
        return stopped
    found = [] if seen.value is None else list(_of_exchanged(subject, batch, seen.value))
    found += [] if seen.value is None else _of_turned(subject, batch, seen.value)
    found += _of_reductions(subject, batch.take(contract, slice(0, FEW_ROWS))) or _of_pairs(subject, batch)
    return Outcome(findings=tuple(found), cases=batch.rows(contract))


def _of_turned(subject: Subject, batch: Batch, got: Array) -> Iterator[Finding]:
    """A note where two vectors that nothing tells apart cost most where they are the same: a similarity, or a distance
    whose sign is turned. A loss may mean to push them apart."""
    pair = twins(subject.contract.args)
    if pair is None or got.shape != (batch.rows(subject.contract),):
        return
    first, second = (a.name for a in pair)
    same = replace(batch, args={**batch.args, first: batch.args[second].copy()})
    value = observe_rows(subject, same, gradients=False).value
    if value is None or value.shape != got.shape or not (value > got + TOLERANCE * np.abs(got)).all():
        return
    said = (
        f"{first} = {second} costs more than any other {first}, {show(float(value[0]))} against {show(float(got[0]))}: "
        "is the sign turned? A loss that brings both together costs the least there"
    )
    yield note(subject, "turned", said, batch=same.take(subject.contract, slice(0, 1)), output="value")


def _of_exchanged(subject: Subject, batch: Batch, got: Array) -> Iterator[Finding]:
    if got.shape == (batch.rows(subject.contract),) and (
        says := exchanged_in_torch(subject.contract, batch, got, TOLERANCE)
    ):
        yield defect(subject, "mistake", says, batch=batch.take(subject.contract, slice(0, 1)), output="value")


def _of_pairs(subject: Subject, batch: Batch) -> list[Finding]:
    """Every example against every other."""
    found = crossed(subject, replace(batch, reduction=subject.reductions[0] if subject.reductions else "none"))
    return [] if found is None else [told_of_pairs(subject, found)]


def _of_order(subject: Subject, batch: Batch, seen: Observation) -> Iterator[Finding]:
    """Two arguments that the loss refuses, and that give the right values the other way round."""
    contract, truth = subject.contract, batch.truth(subject.contract).value.exact
    args = [a.name for a in contract.args if a.name in batch.args and a.role != "weight"]
    for first, second in combinations(args, 2):
        other = observe_rows(exchanged(subject, first, second), batch, gradients=False).value
        if other is not None and other.shape == truth.shape and close(other, truth, TOLERANCE).all():
            one, two = (subject.places.get(n, n) for n in (first, second))
            said = (
                f"the arguments seem to be in TensorFlow's order, target first: called with {one} as the {first} and "
                f"{two} as the {second} it raises {seen.raised or seen.gradient_raised}, and exchanged it is right"
            )
            yield defect(subject, "mistake", said, batch=batch.take(contract, slice(0, 1)))
            return


def _of_shares(subject: Subject, batch: Batch) -> Iterator[Finding]:
    """A forgotten activation, which shows where scores are shares."""
    for made, mistake in in_units(subject.contract, batch):
        truth, seen = made.truth(subject.contract), observe_rows(subject, made)
        got = shaped(seen, truth).get("value")
        if got is not None and explains(mistake, got, truth.value.exact, TOLERANCE):
            row = int(np.argmax(np.abs(got - truth.value.exact)))
            yield _shown(subject, made, "value", row, (), mistake.says, got, truth.value.exact)


def _of_axis(subject: Subject, batch: Batch, truth: Truth) -> Iterator[Finding]:
    """A softmax over another axis of (N, C, d), of a loss that is right on (N, C)."""
    contract = subject.contract
    found = scores_of_classes(contract, batch)
    if found is None or "spatial" not in contract.layouts or not subject.takes_none:
        return
    name, labels = found
    got = observe(subject, replace(batch, layout="spatial"), gradients=False).value
    if got is None or got.size != batch.rows(contract):
        return
    first, last = halves(batch.rows(contract))
    scores = np.moveaxis(batch.args[name].reshape(first, last, -1), 1, -1)
    shape = (first, last)
    want = truth.value.exact.reshape(shape)
    if says := of_axis(name, scores, batch.args[labels].reshape(shape), got.reshape(shape), want, TOLERANCE):
        one = batch.take(contract, slice(0, FEW_ROWS - 1))
        yield defect(subject, "mistake", says, batch=replace(one, layout="spatial"), output="value")


def _of_batch_axis(subject: Subject, batch: Batch, seen: Observation) -> Iterator[Finding]:
    """An argument whose batch is not first and that the loss refuses, which gives the right values with it first."""
    contract, truth = subject.contract, batch.truth(subject.contract).value.exact
    for arg in (a for a in contract.args if a.batch_axis and a.name in batch.args):
        moved = tuple(replace(a, batch_axis=0) if a is arg else a for a in contract.args)
        other = replace(subject, contract=replace(contract, args=moved))
        value = observe_rows(other, batch, gradients=False).value
        if value is not None and value.shape == truth.shape and close(value, truth, TOLERANCE).all():
            taken = ", ".join(("N", *arg.dims))
            meant = ", ".join((*arg.dims[: arg.batch_axis], "N", *arg.dims[arg.batch_axis :]))
            said = (
                f"{arg.name} is taken with the batch first, as ({taken}): expected ({meant}), at which it raises "
                f"{seen.raised or seen.gradient_raised}"
            )
            yield defect(subject, "mistake", said, batch=batch.take(contract, slice(0, 1)))
            return


def _of_value(subject: Subject, batch: Batch, truth: Truth, seen: Observation) -> Iterator[Finding]:
    if "value" not in shaped(seen, truth):
        return
    assert seen.value is not None
    found = explanation(subject.contract, batch, truth.value.exact, seen.value, TOLERANCE)
    if found is not None:
        says, row = found
        yield _shown(subject, batch, "value", row, (), says, seen.value, truth.value.exact)


def _of_gradients(subject: Subject, batch: Batch, truth: Truth, seen: Observation) -> Iterator[Finding]:
    """Of a loss whose value is right: a gradient that is wrong in as many rows as a mistake of the formula is asked."""
    contract = subject.contract
    own = {n: a for n, a in shaped(seen, truth).items() if n == "value" or not contract.arg(n).shared}
    right = np.ones(batch.rows(contract), np.bool_)
    for j in judge(contract, batch, truth, own, subject.departures):
        want = np.broadcast_to(j.truth.exact, j.got.shape)
        with np.errstate(all="ignore"):
            far = np.abs(j.got - want) > FAR * np.maximum(np.abs(j.got), np.abs(want))
        wrong = (j.grade >= UNSTABLE) & (j.excuse == 0) & far
        rows = wrong.reshape(len(wrong), -1).any(axis=1)
        if j.name == "value":
            right = ~rows
        elif (rows & right).sum() >= FEWEST:
            shown = wrong & right.reshape(-1, *[1] * (wrong.ndim - 1))
            row, *entry = np.unravel_index(int(np.argmax(shown)), wrong.shape)
            says = of_gradient(j.name, j.got[right], want[right], TOLERANCE)
            yield _shown(subject, batch, j.name, int(row), tuple(map(int, entry)), says, j.got, want)


def _of_reductions(subject: Subject, batch: Batch) -> list[Finding]:
    contract = subject.contract
    names = [name for name in subject.reductions if name in contract.reductions]
    found: list[Finding] = []
    if not names or contract.coupled:
        return found
    truth, rows = batch.truth(contract), batch.rows(contract)
    coefficients = {name: coefficients_of(subject, batch, name) for name in contract.reductions}
    wanted = {
        n: float(reduced_truth(contract, replace(batch, reduction=n), truth, c).value.exact.ravel()[0])
        for n, c in coefficients.items()
    }
    for name in names:
        whole = replace(batch, reduction=name)
        seen = observe(subject, whole, gradients=False)
        if seen.value is None or seen.shape != ():
            continue
        got = float(seen.value.ravel()[0])
        says = of_reduction(name, got, wanted, TOLERANCE)
        if name == "mean" and not says and not close_to(got, wanted[name]) and (growing := grows(subject, whole)):
            says = f"reduction={name!r}: {growing}"
        if says:
            want = wanted[name]
            said = f"{says}: expected {want!r} of {rows} rows, got {got!r}"
            lines = reproduction(subject, whole, "value", want)
            one = defect(subject, "mistake", said, batch=whole, output="value")
            found.append(msgspec.structs.replace(one, got=to_hex(got), want=to_hex(want), reproduction=lines))
    return found


def _shown(
    subject: Subject, batch: Batch, output: str, row: int, entry: tuple[int, ...], says: str, got: object, want: object
) -> Finding:
    """The finding of a mistake, with one row that shows it."""
    one, other = float(np.asarray(got)[(row, *entry)]), float(np.asarray(want)[(row, *entry)])
    here = np.arange(batch.rows(subject.contract)) == row
    said = f"{says}: expected {other!r}, got {one!r}"
    found = in_rows(subject, batch, here, "mistake", said, output, repr(other))
    return msgspec.structs.replace(found, got=to_hex(one), want=to_hex(other), count=len(here))


WITHOUT_FORMULA = "without a formula"


def _run(context: Context) -> Outcome:
    return without_formula(context) if context.item == WITHOUT_FORMULA else mistakes(context)


def _items(subject: Subject) -> tuple[str, ...]:
    """A loss that refers to itself has no formula to be wrong; one call that is one row has no other rows beside it."""
    if not subject.contract.itself:
        return ("",)
    return () if subject.contract.coupled else (WITHOUT_FORMULA,)


register(Check(name="mistakes", run=_run, items=_items, dtypes=lambda subject, item: DTYPES))
