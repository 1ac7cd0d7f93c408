"""How the checks beside accuracy judge: with the bounds of the judge, the ledger of the Subject, and typed evidence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import numpy.typing as npt

from harness import findings as text
from harness.binding import Subject
from harness.bounds import (
    GRADIENT_CONSTANT,
    VALUE_CONSTANT,
    Bounds,
    accumulator,
    bounds,
    depth,
    interval_error,
    kind_of,
    severity,
)
from harness.cases import Batch, NoReferenceError, halves
from harness.certificates import oracle_ulp
from harness.checks.base import Context, Outcome
from harness.conditioning import jointly, separately, value_conditioning
from harness.contract import Contract
from harness.crossed import Crossed
from harness.deviations import Departure, Deviation, Fault, Points, admitted
from harness.evaluate import Observation, Raised, observe, observe_rows
from harness.judge import Judged, Limits, constant_of, grade_entries, terms_of
from harness.minimise import one_row
from harness.records import Finding
from harness.ulp import FLOAT64, Array, Precision, distance
from reference.reductions import reduce
from reference.truth import Output, Truth, trailing

Mask = npt.NDArray[np.bool_]

OPTIONAL = ("layout", "double backward", "forward-mode")
"""Modes that a loss of a user need not support: an exception there is a note."""
LARGE = 512
"""Numbers beyond which a case is described by its size instead of being written out."""


SHAPED = ("matrix", "spatial")
"""Layouts in which the unreduced loss has two axes."""
HEADROOM = 2.0**-4
"""Share of the largest number that a row may reach where sums of rows are judged."""


class VacuousCheckError(RuntimeError):
    """A question that was asked of no case: it cannot fail, so the harness and not the loss is to blame."""


def refused(context: Context, raised: Raised, *topics: str, lines: str | None = None) -> Outcome:
    """The outcome of a call that raised: unsupported where the Subject declares this very message, else a defect.

    ``lines`` show what no plain call does.
    """
    subject = context.subject
    for topic in (context.precision.name, f"{context.precision.name} gradient", *topics):
        pattern = subject.unsupported.get(topic)
        if pattern is not None and re.search(pattern, raised.message):
            return Outcome(unsupported=str(raised))
    what = f"{topics[0]}: " if topics else ""
    said = f"{what}expected a result, got {raised}"
    found = raised_defect(subject, raised, said) if lines is None else defect(subject, "raised", said, lines=lines)
    if subject.origin != "torch" and any(topic.startswith(OPTIONAL) for topic in topics):
        found = msgspec.structs.replace(found, severity="note", kind="not supported")
    return Outcome(findings=(found,))


def raised_defect(subject: Subject, raised: Raised, message: str) -> Finding:
    """The defect that a call raised, with the row that is enough for it."""
    if raised.batch is None:
        return defect(subject, "raised", message)

    def shows(part: Batch) -> bool:
        seen = observe(subject, part)
        return (seen.raised or seen.gradient_raised) is not None

    batch = one_row(subject.contract, raised.batch, shows)
    gradients = observe(subject, batch, gradients=False).raised is None
    return defect(subject, "raised", message, batch=batch, lines=text.call_lines(subject, batch, gradients=gradients))


def without_reference(context: Context, error: NoReferenceError) -> Outcome:
    """The outcome of a check whose reference the loss in float64, or the oracle of a user, refuses to give.

    An input at which the loss raises in the dtype under test too is a finding of its own. What it refuses in float64
    alone, such as probabilities that sum to 1 only as well as a narrower dtype can hold, leaves nothing to judge by;
    nor does what is outside the domain.
    """
    subject, contract, p = context.subject, context.subject.contract, context.precision
    if error.batch is None:
        return Outcome(findings=(defect(subject, "no reference", str(error)),))
    batch = replace(error.batch, precision=p, device=context.device)
    seen = observe_rows(subject, batch)
    if seen.raised is not None:
        said = f"raised where other inputs did not: {seen.raised}"
        return Outcome(findings=(raised_defect(subject, replace(seen.raised, batch=batch), said),))
    refuses = p is not FLOAT64 and observe_rows(subject, error.batch).raised is not None
    if refuses or not contract.legal_rows(batch.args, p).all():
        return Outcome(unsupported=f"not judged, for want of a reference: {error}")

    def shows(part: Batch) -> bool:
        try:
            part.truth(contract)
        except NoReferenceError:
            return True
        return False

    found = defect(subject, "no reference", str(error), batch=one_row(contract, error.batch, shows))
    return Outcome(findings=(found,))


def refusal(context: Context, seen: Observation, *topics: str) -> Outcome | None:
    """The outcome where value or gradient raised, else None."""
    raised = seen.raised or seen.gradient_raised
    return None if raised is None else refused(context, raised, *topics)


def defect(
    subject: Subject, kind: str, message: str, *, batch: Batch | None = None, output: str = "", lines: str | None = None
) -> Finding:
    """A defect at a batch, with ``lines`` that show it; else with those of the call, which print the output."""
    case = batch.record() if batch is not None and numbers_in(batch) <= LARGE else None
    if lines is None:
        lines = "" if batch is None else text.given_lines(subject, batch, output)
    return Finding(
        severity="defect",
        kind=kind,
        output=output,
        message=f"{subject.name}: {message}",
        case=case,
        reproduction=lines,
    )


def told_of_pairs(subject: Subject, found: Crossed) -> Finding:
    """The finding of a loss that meets every example of one argument with every example of the others."""
    got, want = (np.array2string(a.ravel()[:3], separator=", ") for a in (found.got, found.want))
    said = f"{found.says}: expected {want} of the rows, got {got}"
    return msgspec.structs.replace(
        defect(subject, "mistake", said, batch=found.batch, output="value"),
        reproduction=text.reproduction(subject, found.batch, "value", found.want.tolist()),
    )


def in_rows(subject: Subject, batch: Batch, wrong: Mask, kind: str, message: str, output: str, want: str) -> Finding:
    """A defect in some rows of a batch, with the first of them and the lines that reproduce it."""
    rows = np.flatnonzero(wrong)
    case = batch.take(subject.contract, rows[:1])
    return msgspec.structs.replace(
        defect(subject, kind, message, batch=case, output=output),
        reproduction=text.reproduction(subject, case, output, want),
        count=len(rows),
        total=len(wrong),
    )


def note(
    subject: Subject, kind: str, message: str, *, batch: Batch | None = None, output: str = "", lines: str | None = None
) -> Finding:
    found = defect(subject, kind, message, batch=batch, output=output, lines=lines)
    return msgspec.structs.replace(found, severity="note")


def convention(
    subject: Subject, kind: str, message: str, *, batch: Batch | None = None, output: str = "", lines: str | None = None
) -> Finding:
    """A defect of a builtin, a note on a loss of a user.

    The documentation of a builtin promises it; a user may have chosen otherwise.
    """
    put = defect if subject.origin == "torch" else note
    return put(subject, kind, message, batch=batch, output=output, lines=lines)


def numbers_in(batch: Batch) -> int:
    return int(sum(a.size for a in batch.args.values()))


def shaped(seen: Observation, truth: Truth) -> dict[str, Array]:
    """The observed outputs whose shape is the truth's."""
    wanted = truth.outputs()
    return {n: a for n, a in seen.outputs().items() if n in wanted and a.shape == wanted[n].exact.shape}


# -- judging -----------------------------------------------------------------------------------------------------------


def limits_of(contract: Contract, batch: Batch, truth: Truth, output: str, index: npt.NDArray[np.intp]) -> Bounds:
    """The bounds of the grades at some rows of an unreduced output."""
    return Limits(contract, batch, truth).at(output, index)


def covered_rows(subject: Subject, batch: Batch, truth: Truth, outputs: Iterable[str]) -> Mask:
    """Rows in which a Departure of the ledger covers one of the outputs."""
    points = batch.points(subject.contract, truth)
    covered = np.zeros(truth.value.exact.shape, np.bool_)
    for output in outputs:
        if output != "value" and (output not in truth.gradients or subject.contract.arg(output).shared):
            continue
        shape = truth.outputs()[output].exact.shape
        for departure in subject.departures:
            covered |= departure.covers(output, points, shape).reshape(len(covered), -1).any(axis=1)
    return covered


def shape_of(batch: Batch, rows: int) -> tuple[int, ...]:
    """The shape of the unreduced loss in the batch's layout."""
    if batch.layout == "single":
        return ()
    return halves(rows) if batch.layout in SHAPED else (rows,)


def coefficients_of(subject: Subject, batch: Batch, reduction: str) -> Array:
    """What a reduction multiplies every row by."""
    rows = batch.rows(subject.contract)
    arguments = {**batch.args, **batch.parameters}
    return subject.contract.reductions[reduction](arguments, shape_of(batch, rows))


def reduced_truth(contract: Contract, batch: Batch, truth: Truth, coefficients: Array) -> Truth:
    """The truth of a reduced loss; gradients of shared tensors are weighed by the oracle itself."""
    shared = {n for n in truth.gradients if contract.arg(n).shared}
    own = {n: g for n, g in truth.gradients.items() if n not in shared}
    whole = reduce(replace(truth, gradients=own), coefficients)
    if not shared:
        return whole
    weighed = batch.truth(contract, upstream=coefficients)
    return replace(whole, gradients={**whole.gradients, **{n: weighed.gradients[n] for n in shared}})


def judge_reduced(
    subject: Subject, batch: Batch, truth: Truth, coefficients: Array, whole: Truth, got: dict[str, Array]
) -> list[Judged]:
    """Outputs of a reduced loss, by the bounds of its rows added up with the coefficients, conditioning included.

    ``truth`` is that of the rows, ``whole`` the ``reduced_truth`` of them. Where the denominator of a mean is 0 or nan
    only the value is judged: no gradient of it is more right than another.
    """
    contract, p = subject.contract, batch.precision
    terms = max(len(coefficients), terms_of(contract, batch))
    own = oracle_ulp(contract)
    results = []
    for name, array in got.items():
        if name != "value" and not np.isfinite(coefficients).all():
            continue
        want, constant = whole.outputs()[name], constant_of(name)
        error = interval_error(array, want)
        limits = bounds(want, p, constant, 0.0, terms, own)
        suspect = ~(error <= limits.mixed)
        if suspect.any() and not _shared(contract, name):
            conditioning = _conditioning(contract, batch, truth, coefficients, name, suspect)
            limits = bounds(want, p, constant, conditioning, terms, own)
        grade, range_ = grade_entries(array, want, error, limits, p, accumulator(p))
        nothing = np.zeros(error.shape, np.int16)
        judged = Judged(name=name, got=array, truth=want, error=error, grade=grade, range=range_, excuse=nothing)
        results.append(_excused(subject, batch, truth, coefficients, judged, limits) if judged.bad.any() else judged)
    return results


def _shared(contract: Contract, name: str) -> bool:
    return name != "value" and contract.arg(name).shared


def _excused(
    subject: Subject, batch: Batch, truth: Truth, coefficients: Array, judged: Judged, limits: Bounds
) -> Judged:
    """Bad entries that a Departure explains: a gradient over its coefficient shows what the unreduced one would."""
    name = judged.name
    points, excuse = batch.points(subject.contract, truth), np.zeros(judged.error.shape, np.int16)
    want = truth.outputs()[name]
    for number, departure in enumerate(subject.departures, start=1):
        covered = departure.covers(name, points, want.exact.shape)
        if not covered.any():
            continue
        if name == "value":
            if _adds_up(subject, batch, coefficients, judged.got):
                excuse[judged.bad & (excuse == 0)] = number
            continue
        if _shared(subject.contract, name):
            c = np.ones(judged.error.shape)
            want = judged.truth
        else:
            c = np.broadcast_to(trailing(coefficients, judged.error.ndim), judged.error.shape)
        with np.errstate(all="ignore"):
            shown = _shown(departure, judged.got / c, want, points, limits.absolute / np.abs(c), name)
        excuse[judged.bad & (excuse == 0) & covered & shown] = number
    return replace(judged, excuse=excuse)


def _adds_up(subject: Subject, batch: Batch, coefficients: Array, got: Array) -> bool:
    """Whether a reduced value is the reduction of what the Subject gives row by row; those rows are judged as rows."""
    if not subject.takes_none:
        return True
    p = batch.precision
    own = observe(subject, replace(batch, reduction="none", layout="rows"), gradients=False).value
    if own is None or own.shape != coefficients.shape:
        return False
    with np.errstate(all="ignore"):
        parts = np.where((coefficients == 0) & ~np.isnan(own), 0.0, coefficients * own)
        total, size = float(np.sum(parts)), float(np.sum(np.abs(parts)))
        rounding = VALUE_CONSTANT * (p.u * abs(total) + accumulator(p).u * depth(len(parts)) * size)
        near = bool(np.all(distance(got, np.array([total])) <= rounding + VALUE_CONSTANT * p.smallest_subnormal))
        # The sum of the rows, and any part of it, may leave the range of the accumulator.
        beyond = not np.isfinite(got).any() and not size * (1 + VALUE_CONSTANT * p.u) <= p.largest
    return near or beyond


def _shown(departure: Departure, got: Array, want: Output, points: Points, absolute: Array, name: str) -> Mask:
    """Whether a Departure is what is seen in unreduced entries."""
    if isinstance(departure, Fault):
        return np.broadcast_to(departure.seen.holds(got, want, points, absolute), got.shape)
    assert isinstance(departure, Deviation)
    shown = np.zeros(got.shape, np.bool_)
    for alternative in departure.documented(points, name):
        exact, near = admitted(alternative, points.precision, 2.0 * GRADIENT_CONSTANT)
        documented, allowed = (np.broadcast_to(trailing(a, got.ndim), got.shape) for a in (exact, near))
        shown |= distance(got, documented) <= allowed
    return shown


def _conditioning(
    contract: Contract, batch: Batch, truth: Truth, coefficients: Array, name: str, suspect: Mask
) -> Array:
    with np.errstate(all="ignore"):
        if name == "value":
            whole = np.abs(coefficients) * batch.precision.u * value_conditioning(contract, batch, truth)
            return np.asarray(np.sum(np.nan_to_num(whole), keepdims=True))
        index = np.flatnonzero(suspect.reshape(len(suspect), -1).any(axis=1))
        skip = [a.name for a in contract.args if a.shared]
        part = contract, batch.take(contract, index), truth.rows(index, skip)
        result = np.zeros(suspect.shape)
        moved = separately(*part)[name] + jointly(*part)[name] / GRADIENT_CONSTANT
        result[index] = np.nan_to_num(np.abs(trailing(coefficients[index], suspect.ndim)) * moved)
        return result


# -- evidence ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Evidence:
    """What a check gathers over several batches, one finding for every output and way of being wrong."""

    subject: Subject
    precision: Precision
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    cases: int = 0
    spoiled: int = 0
    """Rows that could not be judged since the Subject gives inf or nan there, and the truth does not."""
    spoils: Batch | None = None
    """One of them."""

    def add(self, batch: Batch, judged: Iterable[Judged], what: str = "", *, rows: Mask | None = None) -> None:
        """Entries that are bad and that nothing explains; ``rows`` limits the rows that are looked at."""
        for j in judged:
            if not j.bad.size:
                continue
            for number in np.unique(j.excuse[j.excuse > 0]):
                self.excused.add(self.subject.departures[int(number) - 1].name)
            wrong = (j.bad & (j.excuse == 0)).reshape(len(j.bad), -1)
            if rows is not None:
                wrong = wrong & rows[:, None]
            for code in np.unique((j.grade.astype(np.int16) * 16 + j.range).reshape(wrong.shape)[wrong]):
                self._add_group(batch, j, wrong, int(code), what)

    def _add_group(self, batch: Batch, j: Judged, wrong: Mask, code: int, what: str) -> None:
        codes = (j.grade.astype(np.int16) * 16 + j.range).reshape(wrong.shape)
        here = wrong & (codes == code)
        size = np.where(here, np.nan_to_num(j.error.reshape(wrong.shape), nan=np.inf), -1.0)
        row, entry = np.unravel_index(int(np.argmax(size)), size.shape)
        kind = kind_of(*divmod(code, 16))
        key = (j.name, kind, severity(*divmod(code, 16)))
        if key in self.findings:
            return
        contract, allowed = self.subject.contract, 0.0
        alone = batch.reduction == "none" and not (j.name != "value" and contract.arg(j.name).shared)
        if alone:
            batch = batch.take(contract, np.array([row]))
            limits = limits_of(contract, batch, batch.truth(contract), j.name, np.array([0]))
            allowed = float(limits.mixed.reshape(-1)[entry])
        found = text.of_entry(self.subject, batch, j, int(row), int(entry), allowed, int(here.sum()), wrong.size)
        message = f"{found.message} ({what})" if what else found.message
        found = msgspec.structs.replace(found, message=message, allowed=found.allowed if alone else "")
        if numbers_in(batch) > LARGE:
            found = msgspec.structs.replace(found, case=None)
        self.findings[key] = found

    def spoil(self, batch: Batch, rows: Mask) -> None:
        """Count rows that could not be judged."""
        self.spoiled += int(rows.sum())
        if self.spoils is None and rows.any():
            self.spoils = batch.take(self.subject.contract, np.flatnonzero(rows)[:1])

    def put(self, finding: Finding) -> None:
        self.findings.setdefault((finding.output, finding.kind, finding.severity), finding)

    def outcome(self) -> Outcome:
        order = {"defect": 0, "weakness": 1, "note": 2}
        return Outcome(
            findings=tuple(sorted(self.findings.values(), key=lambda f: order[f.severity])),
            excused=tuple(sorted(self.excused)),
            cases=self.cases,
        )
