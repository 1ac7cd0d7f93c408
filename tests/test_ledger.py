"""The ledger is honest: every Deviation and Fault is necessary, and none is wider than what it excuses.

Necessary: without it the sweep, the hunt, or a witness whose numbers the dtype has, is bad in its region. Tight: where
every entry of the region is said to depart, every swept one does, and at its edges the last number inside departs and
the first one outside is right; where only some do, at least a quarter of the swept ones. That everything outside is
right is what the survey itself asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.binding import Subject, bind
from harness.cases import Batch
from harness.checks.grading import shaped
from harness.checks.ledger import witness_batch
from harness.deviations import NAN, Departure, Deviation, Fault, Seen, Witness, admitted
from harness.domain import Interval
from harness.effort import QUICK
from harness.evaluate import observe_rows, settled
from harness.generate import sweep
from harness.judge import Judged, Limits, _shown, constant_of, judge_within
from harness.lanes import hunted
from harness.registry import contract, subjects
from harness.ulp import FLOAT32, PRECISIONS, Precision, from_ordinal, round_to, to_ordinal
from reference.truth import trailing

LEAST_SHARE = 0.25
"""Of the swept entries inside the region of an entry that not all of them show."""
FEW = 32
"""Swept entries inside below which a share says nothing."""
EDGES = 6
"""Rows inside a region from which its edges are sought, one argument at a time."""


@dataclass
class Tally:
    """What the sweep and the witnesses show of one Departure."""

    inside: int = 0
    departing: int = 0
    needed: int = 0
    rows: list[Batch] = field(default_factory=list)
    outside: list[Batch] = field(default_factory=list)


def departs(departure: Departure, judged: Judged, limits: Limits) -> Any:
    """Entries in which the Fault is seen, or in which the documentation and the mathematics are two numbers."""
    batch, shape = limits.batch, judged.error.shape
    points = batch.points(limits.contract, limits.truth)
    if isinstance(departure, Deviation):
        exact, differs = round_to(batch.precision, judged.truth.exact), np.zeros(shape, np.bool_)
        for alternative in departure.documented(points, judged.name):
            documented, _ = admitted(alternative, batch.precision, constant_of(judged.name))
            other = round_to(batch.precision, np.broadcast_to(trailing(documented, len(shape)), shape))
            differs |= ~((other == exact) | (np.isnan(other) & np.isnan(exact)))
        return differs
    return judged.bad & seen_in(departure, judged, limits)


def seen_in(departure: Departure, judged: Judged, limits: Limits) -> Any:
    """Entries that show what the Departure says; of a Fault only bad ones."""
    absolute = np.full(judged.error.shape, np.inf)
    if not limits.whole(judged.name):
        index = np.flatnonzero(judged.bad.reshape(len(judged.bad), -1).any(axis=1))
        if index.size:
            absolute[index] = limits.at(judged.name, index).absolute
    with np.errstate(all="ignore"):
        shown = _shown(judged, departure, limits.batch.points(limits.contract, limits.truth), absolute)
    return shown & judged.bad if isinstance(departure, Fault) else shown


def observed(subject: Subject, batch: Batch, entries: tuple[Departure, ...]) -> tuple[Limits, list[Judged]] | None:
    seen = observe_rows(subject, batch)
    if seen.raised is not None:
        return None
    truth = batch.truth(subject.contract)
    limits = Limits(subject.contract, batch, truth)
    return limits, judge_within(limits, shaped(seen, truth), entries)


def covering(departure: Departure, output: str, limits: Limits) -> Any:
    points = limits.batch.points(limits.contract, limits.truth)
    return departure.covers(output, points, limits.truth.outputs()[output].exact.shape)


def at_precision(subject: Subject, witness: Witness, p: Precision) -> Batch | None:
    """The witness in another dtype, where that has its numbers."""
    if not set(witness.args) <= {a.name for a in subject.contract.args}:
        return None
    batch = witness_batch(subject, witness, p)
    real = [a for n, a in batch.args.items() if not subject.contract.arg(n).kind.integral]
    return batch if all(np.array_equal(round_to(p, a), a, equal_nan=True) for a in real) else None


@cache
def tallies(subject: Subject, precision: Precision) -> dict[str, Tally]:
    """One sweep of a Subject in a dtype, rolled up for every Departure."""
    entries = subject.departures
    found = {d.name: Tally() for d in entries}
    shown = [b for f in subject.faults for w in f.witnesses if (b := at_precision(subject, w, precision)) is not None]
    for batch in itertools.chain(sweep(subject, precision, QUICK), shown):
        part = batch if subject.takes_none else batch.take(subject.contract, slice(0, 48))
        seen = observed(subject, part, ())
        if seen is not None:
            _count(found, subject, *seen)
    return found


@cache
def hunted_tallies(subject: Subject, precision: Precision) -> dict[str, Tally]:
    """What the hunt adds, for entries that the sweep and the witnesses do not show."""
    found = {d.name: Tally() for d in subject.departures}

    def visit(batch: Batch) -> None:
        seen = observed(subject, batch, ())
        if seen is not None:
            _count(found, subject, *seen)

    if subject.takes_none:
        hunted(subject, precision, QUICK, "cpu", visit)
    return found


def _count(found: dict[str, Tally], subject: Subject, limits: Limits, judged: list[Judged]) -> None:
    batch = limits.batch
    rows = {d.name: np.zeros(batch.rows(subject.contract), np.bool_) for d in subject.departures}
    for j in judged:
        masks = {d.name: (d, covering(d, j.name, limits)) for d in subject.departures if j.name in d.outputs}
        masks = {n: (d, inside) for n, (d, inside) in masks.items() if inside.any()}
        explained = {n: inside & seen_in(d, j, limits) for n, (d, inside) in masks.items()}
        for name, (departure, inside) in masks.items():
            others = [mask for n, mask in explained.items() if n != name]
            needed = inside & j.bad & ~np.any([np.zeros_like(inside), *others], axis=0)
            found[name].needed += int(needed.sum())
            if batch.origin == "sweep":
                found[name].inside += int(inside.sum())
                documented = isinstance(departure, Deviation)
                shown = departs(departure, j, limits) if documented else explained[name]
                found[name].departing += int((inside & shown).sum())
            if len(inside) == len(rows[name]):
                rows[name] |= inside.reshape(len(inside), -1).any(axis=1)
    if subject.contract.scalar and batch.origin == "sweep":
        for name, covered in rows.items():
            _keep(found[name], subject, batch, covered)


def _keep(tally: Tally, subject: Subject, batch: Batch, covered: Any) -> None:
    """A row inside and some outside, from which the edges are sought."""
    inside, outside = np.flatnonzero(covered), np.flatnonzero(~covered)
    if inside.size and len(tally.rows) < EDGES:
        tally.rows.append(batch.take(subject.contract, inside[len(inside) // 2 :][:1]))
    if outside.size and len(tally.outside) < EDGES:
        tally.outside.append(batch.take(subject.contract, outside[:: max(1, len(outside) // 64)]))


def needless(subject: Subject, departure: Departure, precision: Precision) -> list[str]:
    """Why an entry could be left out."""
    tally = tallies(subject, precision)[departure.name]
    if tally.needed or hunted_tallies(subject, precision)[departure.name].needed:
        return []
    return [f"{departure.name}: {tally.inside} swept entries inside, none of them bad and otherwise unexplained"]


def too_wide(subject: Subject, departure: Departure, precision: Precision) -> list[str]:
    """Where a region holds what it need not."""
    tally = tallies(subject, precision)[departure.name]
    every = isinstance(departure, Fault) and departure.seen.exact
    exact = every or isinstance(departure, Deviation)
    least = tally.inside if every else LEAST_SHARE * tally.inside
    found = []
    if tally.departing < least and (every or tally.inside >= FEW):
        found.append(
            f"{departure.name}: expected at least {least:g} of {tally.inside} swept entries, got {tally.departing}"
        )
    if exact and subject.contract.scalar:
        found += list(_loose_edges(subject, departure, tally))
    return found


def _loose_edges(subject: Subject, departure: Departure, tally: Tally) -> Iterator[str]:
    for row in tally.rows:
        for output in departure.outputs:
            for name in row.args:
                if (
                    not isinstance(subject.contract.arg(name).kind, Interval)
                    or subject.contract.arg(name).role == "weight"
                ):
                    continue
                edge = _edge(subject, departure, output, row, name, tally.outside)
                if edge is not None:
                    yield from _judge_edge(subject, departure, output, *edge)


def _with(row: Batch, name: str, value: float) -> Batch:
    return replace(row, args={**row.args, name: np.array([value])})


def _holds(subject: Subject, departure: Departure, output: str, row: Batch) -> bool:
    limits = Limits(subject.contract, row, row.truth(subject.contract))
    return output in limits.truth.outputs() and bool(covering(departure, output, limits).all())


def _edge(
    subject: Subject, departure: Departure, output: str, row: Batch, name: str, outside: list[Batch]
) -> tuple[Batch, Batch] | None:
    """Two rows one ordinal apart in one argument, the last inside and the first outside the region."""
    p = row.precision
    if not _holds(subject, departure, output, row):
        return None
    for batch in outside:
        for value in batch.args.get(name, np.zeros(0)):
            if _holds(subject, departure, output, _with(row, name, float(value))):
                continue
            inner, outer = (int(to_ordinal(p, np.array(v))) for v in (row.args[name][0], value))
            while abs(inner - outer) > 1:
                middle = (inner + outer) // 2
                here = _with(row, name, float(from_ordinal(p, np.array(middle))))
                inner, outer = (middle, outer) if _holds(subject, departure, output, here) else (inner, middle)
            last, first = (_with(row, name, float(from_ordinal(p, np.array(o)))) for o in (inner, outer))
            return last, first
    return None


def _judge_edge(subject: Subject, departure: Departure, output: str, last: Batch, first: Batch) -> Iterator[str]:
    inside, beyond = observed(subject, last, ()), observed(subject, first, subject.departures)
    if inside is None or beyond is None:
        return
    for j in inside[1]:
        if j.name == output and not departs(departure, j, inside[0]).all():
            yield f"{departure.name}: {output}: the last row inside does not depart: {last.args}"
    for j in beyond[1]:
        if j.name == output and (j.bad & (j.excuse == 0)).any():
            yield f"{departure.name}: {output}: the first row outside departs too: {first.args}"


def entries() -> list[Any]:
    """Every entry of the ledger in every dtype that it names."""
    return [
        pytest.param(s, d, PRECISIONS[dtype], id=f"{s.name}-{dtype}: {d.name}")
        for s in subjects()
        if s.twin is None and not s.unsettled
        for dtype in PRECISIONS
        if dtype not in s.unsupported
        for d in s.departures
        if dtype in d.dtypes and not getattr(d, "rows", ())
    ]


@pytest.mark.parametrize(("subject", "departure", "precision"), entries())
def test_an_entry_is_necessary_and_tight(subject: Subject, departure: Departure, precision: Precision) -> None:
    found = needless(subject, departure, precision) + too_wide(subject, departure, precision)
    assert not found, "\n".join(found)


# -- controls ----------------------------------------------------------------------------------------------------------


def nan_above_ten(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = torch.where(input > 10, input * float("nan"), (input - target) ** 2)
    return {"none": value, "mean": value.mean(), "sum": value.sum()}[reduction]


def coarse_above_ten(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    exact = (input - target) ** 2
    value = torch.where(input > 10, exact * (1 + 2.0**-12), exact)
    return {"none": value, "mean": value.mean(), "sum": value.sum()}[reduction]


def holder(loss: Any, above: float, seen: Any = NAN) -> tuple[Subject, Fault]:
    fault = Fault(
        name="above",
        where=f"input > {above}",
        region=lambda at: (at["input"] > above) & (at["input"] <= at.precision.largest),
        outputs=("value",),
        seen=seen,
        witnesses=(Witness(args={"input": 20.0, "target": 0.0}),),
    )
    return settled(bind(loss, contract("mse_loss"), name="planted", faults=(fault,))), fault


def test_a_fault_as_wide_as_what_it_shows_passes() -> None:
    subject, fault = holder(nan_above_ten, 10.0)
    assert not needless(subject, fault, FLOAT32)
    assert not too_wide(subject, fault, FLOAT32)


@pytest.mark.parametrize(("above", "evidence"), [(9.0, "inside does not depart"), (11.0, "outside departs too")])
def test_an_edge_in_the_wrong_place_is_flagged(above: float, evidence: str) -> None:
    subject, fault = holder(nan_above_ten, above)
    assert any(evidence in message for message in too_wide(subject, fault, FLOAT32))


def test_an_edge_one_ordinal_off_is_flagged() -> None:
    subject, fault = holder(nan_above_ten, float(np.nextafter(np.float32(10), np.float32(11))))
    assert too_wide(subject, fault, FLOAT32)


def test_a_needless_fault_is_flagged() -> None:
    def sound(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        value = (input - target) ** 2
        return {"none": value, "mean": value.mean(), "sum": value.sum()}[reduction]

    subject, fault = holder(sound, 10.0)
    assert "none of them bad" in needless(subject, fault, FLOAT32)[0]


TOO_LARGE = Seen(text="a few digits lost", holds=lambda got, truth, points, bound: got > truth.exact, exact=False)


@pytest.mark.parametrize(("above", "wide"), [(10.0, False), (-np.inf, True)])
def test_an_accuracy_fault_excuses_at_least_a_quarter(above: float, wide: bool) -> None:
    subject, fault = holder(coarse_above_ten, above, TOO_LARGE)
    assert not needless(subject, fault, FLOAT32)
    assert bool(too_wide(subject, fault, FLOAT32)) == wide
