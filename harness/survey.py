"""The survey of one Subject in one dtype: sweep and hunt judged block by block, rolled up without keeping the cases."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, Phase, given, settings

from harness import findings as text
from harness import records
from harness.binding import Subject
from harness.bounds import ABSOLUTE_ONLY, GRADES, RANGES, VANISHED, kind_of, severity
from harness.cases import Batch
from harness.deviations import Departure
from harness.effort import Effort
from harness.evaluate import Observation, Raised, observe_rows
from harness.generate import Plan, choices, expand, plans, sweep
from harness.judge import Judged, Limits, judge, judge_within
from harness.minimise import minimise, row_complexity
from harness.ulp import Array, Precision, from_ordinal, to_hex, to_ordinal
from reference.truth import Output

BINS = 192
RAILS = ("inf", "nan", "zero", "finite")
SHARED = -1
"""Excuse of an entry that the baseline gets wrong at least as badly."""


@dataclass(slots=True)
class Group:
    """All bad entries of one output that are wrong in the same way."""

    severity: str
    count: int = 0
    batch: Batch | None = None
    complexity: float = np.inf
    seen: tuple[float, float] = (np.nan, np.nan)
    """What was got and wanted at one entry, for a loss whose rows depend on the others in the batch."""


@dataclass(slots=True)
class Tally:
    """Roll-up of one output."""

    output: str
    entries: int = 0
    grades: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(GRADES), np.int64))
    ranges: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(RANGES), np.int64))
    grade: int = 0
    worst_ulp: float = 0.0
    worst_bad: float = 0.0
    """The same among entries below mixed-stable."""
    worst_ratio: float = 0.0
    worst: tuple[Batch, float, float] | None = None
    excused: dict[str, int] = field(default_factory=dict)
    curve_error: Array = field(default_factory=lambda: np.full(BINS, np.nan))
    curve_bound: Array = field(default_factory=lambda: np.full(BINS, np.nan))
    curve_rail: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((2, BINS), np.int8))
    """Bit masks over RAILS: what nothing explains, and what a Departure or the baseline does."""
    curve_excused: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(BINS, np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a survey found, ready for checks and records."""

    record: records.Survey
    findings: tuple[records.Finding, ...]
    shared: tuple[records.Finding, ...]
    excused: Mapping[str, frozenset[str]]
    """Output -> names of the Departures that were seen in it."""
    raised: Raised | None
    gradient_raised: Raised | None
    unreached: tuple[str, ...]
    irregular: tuple[records.Finding, ...]
    """What was seen beside the numbers: mutated inputs, use of the RNG, wrong shape."""
    cases: int


def _scale(truth: Output) -> Array:
    """The magnitude whose ulp errors are counted in: B_ref, so that a root of the gradient is no pole of its error."""
    scale = np.fmax(np.abs(truth.exact), truth.reference)
    return np.where(np.isfinite(scale), scale, np.abs(truth.exact))


def _mixed(limits: Limits, j: Judged, rows: npt.NDArray[np.intp]) -> Array:
    """The mixed-stable bounds of some rows, entry by entry; of all rows of a shared tensor."""
    mixed = limits.at(j.name, rows).mixed
    return np.broadcast_to(mixed, j.error.shape)[rows] if limits.whole(j.name) else mixed


def _only(row: int, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[row] = True
    return mask


def _finite(value: float) -> float:
    """JSON has no inf: the largest number stands for what is beyond it."""
    return min(float(value), sys.float_info.max)


class _Survey:
    """Accumulates blocks; the only mutable object of a measurement."""

    def __init__(self, subject: Subject, precision: Precision, baseline: Subject | None) -> None:
        self.subject, self.precision, self.baseline = subject, precision, baseline
        self.contract = subject.contract
        self.departures: tuple[Departure, ...] = subject.departures
        self.tallies: dict[str, Tally] = {}
        self.groups: dict[tuple[str, str, bool], Group] = {}
        self.raised: Raised | None = None
        self.gradient_raised: Raised | None = None
        self.unreached: tuple[str, ...] = ()
        self.irregular: dict[str, records.Finding] = {}
        self.cases = 0
        self.swept = 0

    def fits(self, batch: Batch) -> bool:
        """Whether three rows give three values.

        A loss that broadcasts them to nine would fill the memory with a block.
        """
        few = batch.take(self.contract, slice(0, 3))
        seen = observe_rows(self.subject, few, gradients=False)
        self._note_conduct(few, seen, few.rows(self.contract))
        return "shape" not in self.irregular

    def add(self, batch: Batch) -> None:
        """Evaluate, judge and roll up one batch."""
        rows = batch.rows(self.contract)
        seen = observe_rows(self.subject, batch)
        self._note_conduct(batch, seen, rows)
        if seen.raised is not None:
            self.raised = self.raised or seen.raised
            return
        self.gradient_raised = self.gradient_raised or seen.gradient_raised
        self.unreached = self.unreached or seen.unreached
        truth = batch.truth(self.contract)
        got = {
            n: a
            for n, a in seen.outputs().items()
            if n not in truth.outputs() or a.shape == truth.outputs()[n].exact.shape
        }
        limits = Limits(self.contract, batch, truth)
        judged = judge_within(limits, got, self.departures)
        if self.baseline is not None:
            judged = self._set_apart(limits, judged, observe_rows(self.baseline, batch))
        self.cases += rows
        swept = batch.origin == "sweep"
        self.swept += rows if swept else 0
        for j in judged:
            self._collect(batch, j)
            if swept:
                self._roll_up(limits, j)

    def _note_conduct(self, batch: Batch, seen: Observation, rows: int) -> None:
        def once(kind: str, message: str) -> None:
            if kind not in self.irregular:
                case = batch.take(self.contract, slice(0, 1))
                self.irregular[kind] = records.Finding(
                    severity="defect",
                    kind=kind,
                    output="",
                    message=f"{self.subject.name}: {message}",
                    case=case.record(),
                )

        if seen.mutated:
            once("mutated", f"changes its input in place: {', '.join(seen.mutated)}")
        if seen.used_rng:
            once("random", "draws from the global random number generator: expected the same answer to the same input")
        if seen.value is not None and seen.value.shape != (rows,):
            once("shape", f"unreduced loss: expected one value a row, shape ({rows},), got {seen.shape}")
        if seen.value is not None and seen.dtype != batch.precision.name:
            once("dtype", f"result: expected {batch.precision.name}, got {seen.dtype}")
        if seen.raised is not None and self.cases:
            once("raised", f"raised where other inputs did not: {seen.raised}")

    def _set_apart(self, limits: Limits, judged: list[Judged], other: Observation) -> list[Judged]:
        """Mark what the baseline gets wrong at least as badly on the same case."""
        if other.raised is not None:
            return judged
        found = {j.name: j for j in judge_within(limits, other.outputs(), self.contract.deviations)}
        result = []
        for j in judged:
            b = found.get(j.name)
            if b is None:
                result.append(j)
                continue
            same = j.bad & (j.excuse == 0) & b.bad & (b.grade >= j.grade)
            result.append(replace(j, excuse=np.where(same, np.int16(SHARED), j.excuse)))
        return result

    def _collect(self, batch: Batch, j: Judged) -> None:
        """Group the bad entries that nothing explains, and those the baseline shares."""
        bad = j.bad
        if not bad.any():
            return
        codes = j.grade.astype(np.int16) * 16 + j.range
        shared_rows = self._is_shared(batch, j.name)
        for apart in (False, True):
            mask = bad & (j.excuse == (SHARED if apart else 0))
            if not mask.any():
                continue
            for code in np.unique(codes[mask]):
                grade, range_ = divmod(int(code), 16)
                here = mask & (codes == code)
                key = (j.name, kind_of(grade, range_), apart)
                group = self.groups.setdefault(key, Group(severity=severity(grade, range_)))
                group.count += int(here.sum())
                if severity(grade, range_) == "defect":
                    group.severity = "defect"
                index = np.flatnonzero(here.reshape(len(here), -1).any(axis=1))[:4096]
                candidates = batch if shared_rows else batch.take(self.contract, index)
                cost = row_complexity(self.contract, candidates)
                best = int(np.argmin(cost))
                if shared_rows or cost[best] < group.complexity:
                    if group.batch is None or not shared_rows:
                        group.batch = candidates if shared_rows else candidates.take(self.contract, np.array([best]))
                        place = here if shared_rows else here & _only(index[best], here.shape)
                        group.seen = (float(j.got[place][0]), float(j.truth.exact[place][0]))
                    group.complexity = float(cost[best])

    def _is_shared(self, batch: Batch, output: str) -> bool:
        return output != "value" and self.contract.arg(output).shared

    def _roll_up(self, limits: Limits, j: Judged) -> None:
        batch = limits.batch
        tally = self.tallies.setdefault(j.name, Tally(output=j.name))
        free = j.excuse == 0
        tally.entries += j.grade.size
        tally.grades += np.bincount(j.grade[free], minlength=len(GRADES))
        tally.ranges += np.bincount(j.range[free], minlength=len(RANGES))
        for number, departure in enumerate(self.departures, start=1):
            count = int((j.excuse == number).sum())
            if count:
                tally.excused[departure.name] = tally.excused.get(departure.name, 0) + count
        if free.any():
            tally.grade = max(tally.grade, int(j.grade[free].max()))
        with np.errstate(all="ignore"):
            size = text.ulp_of(self.precision, _scale(j.truth))
            countable = free & np.isfinite(j.error) & np.isfinite(j.truth.exact) & (j.range <= VANISHED)
            ulps = np.where(countable, j.error / size, -1.0)
        if not ulps.size:
            return
        bad = np.where(j.grade >= ABSOLUTE_ONLY, ulps, -1.0)
        peaks = [(e, e.max() > seen) for e, seen in ((ulps, tally.worst_ulp), (bad, tally.worst_bad))]
        if rows := {int(np.unravel_index(int(np.argmax(e)), e.shape)[0]) for e, new in peaks if new}:
            self._weigh(j, tally, ulps, np.array(sorted(rows)), _mixed(limits, j, np.array(sorted(rows))))
        tally.worst_bad = max(tally.worst_bad, float(bad.max()))
        if ulps.max() > tally.worst_ulp:
            at = np.unravel_index(int(np.argmax(ulps)), ulps.shape)
            tally.worst_ulp = float(ulps[at])
            row = batch if self._is_shared(batch, j.name) else batch.take(self.contract, np.array([at[0]]))
            tally.worst = (row, float(j.got[at]), float(j.truth.exact[at]))
        if not self._is_shared(batch, j.name):
            self._draw(limits, j, tally, ulps)

    @staticmethod
    def _weigh(j: Judged, tally: Tally, ulps: Array, rows: npt.NDArray[np.intp], mixed: Array) -> None:
        """Errors in units of their own bounds: the largest in ulp may lie where the bound is widest."""
        with np.errstate(all="ignore"):
            ratio = np.where(ulps[rows] > 0, j.error[rows] / mixed, 0.0)
        tally.worst_ratio = max(tally.worst_ratio, float(ratio.max()))

    def _draw(self, limits: Limits, j: Judged, tally: Tally, ulps: Array) -> None:
        """Max envelope over the first argument, by ordinal."""
        batch = limits.batch
        rows = len(j.grade)
        first = batch.args[self.contract.args[0].name]
        x = (
            first
            if first.ndim == 1
            else np.max(np.where(np.isfinite(first), np.abs(first), 0.0).reshape(rows, -1), axis=1)
        )
        top = self.precision.largest_ordinal + 1
        low = -top if first.ndim == 1 else 0
        ordinal = to_ordinal(self.precision, np.where(np.isnan(x), 0.0, x)).astype(np.float64)
        bins = np.clip(((ordinal - low) * (BINS / (float(top) - low))).astype(np.int64), 0, BINS - 1)
        error = ulps.reshape(rows, -1).max(axis=1)
        peak = np.full(BINS, -1.0)
        np.maximum.at(peak, bins, error)
        better = peak > np.nan_to_num(tally.curve_error, nan=-1.0)
        tally.curve_error = np.where(better, peak, tally.curve_error)
        self._draw_rails(j, tally, bins)
        excused = (j.excuse.reshape(rows, -1) > 0).any(axis=1)
        if excused.any():
            tally.curve_excused[bins[excused]] = True
        winners = np.flatnonzero((error >= peak[bins]) & better[bins])
        if len(winners):
            _, unique = np.unique(bins[winners], return_index=True)
            self._draw_bound(limits, j, tally, ulps, winners[unique], bins)

    def _draw_rails(self, j: Judged, tally: Tally, bins: npt.NDArray[np.int64]) -> None:
        """Range findings by what was got: every kind that a bin holds, the explained ones apart."""
        known = np.isfinite(j.truth.exact)
        kinds = (np.isinf(j.got), np.isnan(j.got), known & (j.got == 0.0), ~known & np.isfinite(j.got))
        for apart, mask in enumerate(((j.range > 0) & (j.excuse == 0), (j.range > 0) & (j.excuse != 0))):
            if mask.any():
                for bit, kind in enumerate(kinds):
                    seen = (mask & kind).reshape(len(mask), -1).any(axis=1)
                    np.bitwise_or.at(tally.curve_rail[apart], bins[seen], np.int8(1 << bit))

    def _draw_bound(
        self,
        limits: Limits,
        j: Judged,
        tally: Tally,
        ulps: Array,
        rows: npt.NDArray[np.intp],
        bins: npt.NDArray[np.int64],
    ) -> None:
        """The bound of the very entry that has the largest error of its bin."""
        mixed = _mixed(limits, j, rows)
        self._weigh(j, tally, ulps, rows, mixed)
        with np.errstate(all="ignore"):
            in_ulp = (mixed / text.ulp_of(self.precision, _scale(j.truth)[rows])).reshape(len(rows), -1)
        worst = np.argmax(ulps[rows].reshape(len(rows), -1), axis=1)
        tally.curve_bound[bins[rows]] = np.nan_to_num(in_ulp[np.arange(len(rows)), worst], posinf=1e30)

    # -- results -------------------------------------------------------------------------------------------------------

    def findings(self, apart: bool) -> tuple[records.Finding, ...]:
        """One finding a group, minimised."""
        result = []
        for (output, kind, shared), group in self.groups.items():
            if shared != apart or group.batch is None:
                continue
            total = self.tallies[output].entries if output in self.tallies else self.cases
            result.append(self._finding(output, kind, group, max(total, group.count)))
        order = {"defect": 0, "weakness": 1, "note": 2}
        return tuple(sorted(result, key=lambda f: (order[f.severity], f.output != "value", f.output, f.kind)))

    def _judged(self, batch: Batch, output: str) -> Judged | None:
        seen = observe_rows(self.subject, batch)
        got = {n: a for n, a in seen.outputs().items() if n == output}
        truth = batch.truth(self.contract)
        if output in got and got[output].shape != truth.outputs()[output].exact.shape:
            return None
        return next(iter(judge(self.contract, batch, truth, got, self.departures)), None)

    def _matching(self, batch: Batch, output: str, kind: str, wanted: str) -> npt.NDArray[np.bool_]:
        """Entries of a batch that show a finding of this kind and severity, unexplained."""
        j = self._judged(batch, output)
        if j is None:
            return np.zeros((batch.rows(self.contract), 1), np.bool_)
        bad = j.bad & (j.excuse == 0)
        codes = np.where(bad, j.grade.astype(np.int16) * 16 + j.range, -1)
        allowed = [
            c
            for c in np.unique(codes)
            if c >= 0 and kind_of(*divmod(int(c), 16)) == kind and severity(*divmod(int(c), 16)) == wanted
        ]
        return np.isin(codes, allowed).reshape(len(codes), -1)

    def _rows_matching(self, batch: Batch, output: str, kind: str, wanted: str) -> npt.NDArray[np.bool_]:
        return np.asarray(self._matching(batch, output, kind, wanted).any(axis=1), np.bool_)

    def _finding(self, output: str, kind: str, group: Group, total: int) -> records.Finding:
        assert group.batch is not None
        small = group.batch
        if not self._is_shared(small, output):
            small = minimise(self.contract, small, lambda b: self._rows_matching(b, output, kind, group.severity))
        j = self._judged(small, output)
        assert j is not None
        match = self._matching(small, output, kind, group.severity)
        flat = match if match.any() else (j.bad.reshape(len(j.bad), -1))
        if not flat.any():
            return text.of_batch(self.subject, small, output, kind, group.severity, group.seen, group.count, total)
        row, entry = (int(v) for v in np.argwhere(flat)[0])
        limits = Limits(self.contract, small, small.truth(self.contract)).at(output, np.array([row]))
        allowed = np.broadcast_to(limits.mixed, (len(limits.mixed), *j.grade.shape[1:]))
        at = float(allowed.reshape(len(allowed), -1)[min(row, len(allowed) - 1), entry])
        return text.of_entry(self.subject, small, j, row, entry, at, group.count, total)

    def measurement(self, device: str) -> Measurement:
        excused = {t.output: frozenset(t.excused) for t in self.tallies.values()}
        record = records.Survey(
            subject=self.subject.name,
            contract=self.contract.name,
            dtype=self.precision.name,
            device=device,
            cases=self.cases,
            swept=self.swept,
            outputs=[self._tally(t) for t in self.tallies.values()],
            excused=self._shares(),
            oracle_ulp=self.contract.oracle_ulp,
        )
        return Measurement(
            record=record,
            findings=self.findings(apart=False),
            shared=self.findings(apart=True),
            excused=excused,
            raised=self.raised,
            gradient_raised=self.gradient_raised,
            unreached=self.unreached,
            irregular=tuple(self.irregular.values()),
            cases=self.cases,
        )

    def _shares(self) -> dict[str, float]:
        shares = {}
        for departure in self.departures:
            entries = sum(t.entries for t in self.tallies.values() if t.output in departure.outputs)
            excused = sum(t.excused.get(departure.name, 0) for t in self.tallies.values())
            if entries and self.precision.name in departure.dtypes:
                shares[departure.name] = excused / entries
        return shares

    def _tally(self, t: Tally) -> records.OutputTally:
        exhaustive = self.contract.scalar and len(self.contract.args) == 1 and self.precision.bits == 16
        return records.OutputTally(
            output=t.output,
            entries=t.entries,
            grades={g: int(n) for g, n in zip(GRADES, t.grades, strict=True)},
            ranges={r: int(n) for r, n in zip(RANGES, t.ranges, strict=True) if r and n},
            grade=GRADES[t.grade] if t.grades.any() else "",
            worst_ulp=_finite(t.worst_ulp),
            worst_ratio=_finite(t.worst_ratio),
            badge="exhaustive" if exhaustive else "sampled",
            worst=None if t.worst is None or self._is_shared(t.worst[0], t.output) else t.worst[0].record(),
            worst_got="" if t.worst is None else to_hex(t.worst[1]),
            worst_want="" if t.worst is None else to_hex(t.worst[2]),
            worst_reproduction=self._reproduction(t),
            curve=self._curve(t),
        )

    def _reproduction(self, t: Tally) -> str:
        if t.worst is None or self._is_shared(t.worst[0], t.output):
            return ""
        return text.reproduction(self.subject, t.worst[0], t.output, t.worst[2])

    def _curve(self, t: Tally) -> records.Curve:
        arg = self.contract.args[0]
        top = self.precision.largest_ordinal + 1
        low = 0 if arg.dims else -top
        edges = from_ordinal(
            self.precision, np.array([low + (top - low) * i // BINS for i in range(BINS + 1)], np.int64)
        )
        loud, explained = (
            [" ".join(r for b, r in enumerate(RAILS) if m >> b & 1) for m in row] for row in t.curve_rail
        )
        return records.Curve(
            argument=arg.name if not arg.dims else f"largest magnitude in {arg.name}",
            x=[to_hex(v) for v in edges],
            error=[None if np.isnan(v) else _finite(v) for v in t.curve_error],
            bound=[None if np.isnan(v) else _finite(v) for v in t.curve_bound],
            rail=loud,
            excused_rail=explained,
            excused=[bool(v) for v in t.curve_excused],
        )


def hunted(subject: Subject, precision: Precision, effort: Effort, device: str, visit: Callable[[Batch], None]) -> None:
    """Let Hypothesis draw plans and hand every expanded batch to ``visit``; derandomised except at thorough effort."""
    options = choices(subject)

    @settings(
        max_examples=effort.plans,
        derandomize=effort.name != "thorough",
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(plans(subject))
    def hunt(plan: Plan) -> None:
        visit(expand(subject, plan, effort.plan_rows, precision, options, device))

    hunt()


SINGLES = 512
"""Rows of each block that a loss with only a reduced result is called with, one at a time."""


def thinned(subject: Subject, batch: Batch) -> Batch:
    """The batch, or evenly spaced rows of it where the Subject must be called once a row."""
    rows = batch.rows(subject.contract)
    if subject.takes_none or rows <= SINGLES:
        return batch
    return batch.take(subject.contract, np.unique(np.linspace(0, rows - 1, SINGLES).astype(int)))


@lru_cache(maxsize=8)
def measure(
    subject: Subject, precision: Precision, effort: Effort, device: str = "cpu", baseline: Subject | None = None
) -> Measurement:
    """Sweep and hunt once; every accuracy check of this Subject in this dtype reads from the result."""
    survey = _Survey(subject, precision, baseline)
    for batch in sweep(subject, precision, effort, device):
        if not survey.cases and not survey.fits(batch):
            break
        survey.add(thinned(subject, batch))
        if survey.raised is not None and not survey.cases:
            break
    else:
        hunted(subject, precision, effort, device, lambda batch: survey.add(thinned(subject, batch)))
    return survey.measurement(device)
