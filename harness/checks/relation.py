"""Two sides of a relation between cases, judged with the bounds of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.company import INDEPENDENT, influence
from harness.checks.grading import Evidence, Mask, VacuousCheckError, covered_rows, defect, limits_of
from harness.domain import Arg
from harness.evaluate import Observation, observe_rows
from harness.findings import reproduction, show
from harness.records import Finding
from harness.ulp import Array, to_hex
from reference.truth import Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a relation: rows, their truth, and what the Subject gives."""

    subject: Subject
    batch: Batch
    truth: Truth
    seen: Observation

    def take(self, index: npt.NDArray[np.intp]) -> Side:
        contract = self.subject.contract
        skip = [a.name for a in contract.args if a.shared]
        return Side(
            subject=self.subject,
            batch=self.batch.take(contract, index),
            truth=self.truth.rows(index, skip),
            seen=replace(
                self.seen,
                value=None if self.seen.value is None else self.seen.value[index],
                gradients={n: g[index] for n, g in self.seen.gradients.items() if n not in skip},
            ),
        )

    def got(self, output: str) -> Array | None:
        found = self.seen.outputs().get(output)
        wanted = self.truth.outputs().get(output)
        return found if found is not None and wanted is not None and found.shape == wanted.exact.shape else None

    def regular(self, output: str) -> Mask:
        """Rows whose output is finite and smooth."""
        got = self.got(output)
        assert got is not None
        return self.smooth(output) & np.isfinite(got).reshape(len(got), -1).all(axis=1)

    def smooth(self, output: str) -> Mask:
        """Rows whose truth is finite and has one gradient, whatever the Subject gives."""
        want = self.truth.outputs()[output]
        good = np.isfinite(want.exact)
        if want.interval is not None:
            good &= np.broadcast_to(want.interval[0] == want.interval[1], good.shape)
        return np.asarray(good.reshape(len(good), -1).all(axis=1))

    def uncovered(self, output: str) -> Mask:
        """Rows in which no Departure covers the output."""
        return ~covered_rows(self.subject, self.batch, self.truth, [output])

    def usable(self, output: str) -> Mask:
        """Rows whose output is finite, smooth and covered by no Departure."""
        return self.regular(output) & self.uncovered(output)

    def limits(self, output: str, index: npt.NDArray[np.intp]) -> Array:
        return limits_of(self.subject.contract, self.batch, self.truth, output, index).absolute


def side(subject: Subject, batch: Batch) -> Side:
    contract = subject.contract
    return Side(subject=subject, batch=batch, truth=batch.truth(contract), seen=observe_rows(subject, batch))


def related(
    before: Side, after: Side, applies: Mask, factor: Array | float, outputs: Mapping[str, tuple[str, Array | float]]
) -> Iterator[tuple[str, Mask, npt.NDArray[np.intp], Array, Array]]:
    """For every output: its name after, the rows judged, those that break the relation, want and got."""
    for name, (source, sign) in {"value": ("value", factor), **outputs}.items():
        got, old = after.got(name), before.got(source)
        if got is None or old is None or old.shape != got.shape:
            continue
        rows = applies & before.regular(source) & after.regular(name)
        if name == "value":
            rows &= before.uncovered(source) & after.uncovered(name)
        scale = np.reshape(np.broadcast_to(sign, (len(rows),)), (len(rows),) + (1,) * (got.ndim - 1))
        with np.errstate(all="ignore"):
            want = scale * old
            index = np.flatnonzero(rows & ~(got == want).reshape(len(rows), -1).all(axis=1))
            broken = index
            if index.size:
                allowed = after.limits(name, index) + np.abs(scale[index]) * before.limits(source, index)
                off = ~(np.abs(got[index] - want[index]) <= allowed)
                broken = index[off.reshape(len(off), -1).any(axis=1)]
        if broken.size and name != "value":
            # The regions of the ledger are dear: they are asked for where something is broken.
            rows &= before.uncovered(source) & after.uncovered(name)
            broken = broken[rows[broken]]
        yield name, rows, broken, want, got


def own_gradients(args: Iterable[Arg]) -> dict[str, tuple[str, Array | float]]:
    """Every gradient against itself."""
    return {a.name: (a.name, 1.0) for a in args if a.differentiable and not a.shared}


def judge_relation(
    evidence: Evidence,
    law: str,
    before: Side,
    after: Side,
    applies: Mask,
    *,
    factor: Array | float = 1.0,
    outputs: Mapping[str, tuple[str, Array | float]] | None = None,
) -> None:
    """Put what breaks ``after = factor * before`` into the evidence; count the rows of the value."""
    for name, rows, broken, want, got in related(before, after, applies, factor, outputs or {}):
        if name == "value":
            evidence.cases += int(rows.sum())
            evidence.spoil(after.batch, applies & after.smooth(name) & ~after.regular(name))
        if broken.size:
            at = int(broken[0])
            evidence.put(broken_law(evidence.subject, law, after, at, name, want[at], got[at], broken.size, rows.sum()))


def broken_law(
    subject: Subject, law: str, after: Side, row: int, output: str, want: Any, got: Any, count: int, total: int
) -> Finding:
    want, got = np.ravel(want), np.ravel(got)
    with np.errstate(all="ignore"):
        entry = int(np.argmax(np.nan_to_num(np.abs(want - got), nan=np.inf)))
    batch = after.batch.take(subject.contract, np.array([row]))
    what = "value" if output == "value" else f"gradient with respect to {output}"
    message = f"{law}: {what}: expected {show(float(want[entry]))}, got {show(float(got[entry]))}"
    return msgspec.structs.replace(
        defect(subject, "law", message, batch=batch, output=output),
        got=to_hex(float(got[entry])),
        want=to_hex(float(want[entry])),
        count=int(count),
        total=int(max(total, count)),
        reproduction=reproduction(subject, batch, output, float(want[entry])),
    )


def finished(context: Context, evidence: Evidence) -> Outcome:
    """The outcome, where the law was asked of some row at all.

    A Subject that lacks an argument may have none, or one that holds a parameter.
    """
    if not evidence.cases and evidence.spoiled:
        if context.item != INDEPENDENT and influence(context) is not None:
            said = f"{context.item}: not judged, for all rows are inf or nan beside each other: {INDEPENDENT!r} fails"
            return Outcome(unsupported=said)
        said = f"{context.item}: expected a finite value in some row, got none in {evidence.spoiled}"
        return Outcome(findings=(defect(context.subject, "law", said, batch=evidence.spoils, output="value"),))
    if not evidence.cases and not (context.subject.lacks or context.subject.held):
        raise VacuousCheckError(
            f"{context.subject.name}: {context.item}: applied to no row in {context.precision.name}"
        )
    return evidence.outcome()
