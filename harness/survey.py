"""The survey of one Subject in one dtype: sweep and hunt judged block by block, rolled up without keeping the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from harness import findings as text
from harness import records
from harness.adjudicate import adjudicated, applies
from harness.binding import Subject
from harness.bounds import kind_of, severity
from harness.cases import Batch
from harness.certificates import oracle_ulp
from harness.consistency import Followed, outputs_held
from harness.deviations import Departure, Deviation
from harness.effort import Effort
from harness.evaluate import Observation, Raised, observe_rows
from harness.judge import LEFT_OUT, Judged, Limits, could_be, judge_within, rows_where
from harness.lanes import ENOUGH, FEWEST, hunted, swept, thinned
from harness.minimise import NUMBERS, PASSING, minimise, one_row, row_complexity
from harness.tally import Tally, weigh
from harness.ulp import Array, Precision
from reference.truth import Truth

FEW = 3
"""Rows in the lines of what is seen beside the numbers."""
SHARED = -1
"""Excuse of an entry that the baseline gets wrong at least as badly."""


MOSTLY = 0.5
"""Share of the rows with a defect beyond which a loss counts as wrong everywhere."""
EXAMPLES = 256
"""Rows of an example of the hunt whose gradients are judged where more are suspect: it seeks some, and counts none."""


class OracleError(RuntimeError):
    """The oracle finds fault with what its definition finds right: the oracle and not the loss is to blame."""


@dataclass(slots=True)
class Group:
    """All bad entries of one output that are wrong in the same way."""

    severity: str
    count: int = 0
    """Entries of the sweep; the hunt is in no statistic."""
    batch: Batch | None = None
    complexity: float = np.inf
    seen: tuple[float, float] = (np.nan, np.nan)
    """What was got and wanted at one entry, for a loss whose rows depend on the others in the batch."""
    company: Batch | None = None
    """All of the rows among which the example was found."""


Wanted = Callable[[str, str], bool]
"""Whether findings in this output and of this kind are asked for."""


class Findings(Protocol):
    """What was found of that; ``apart`` for what the baseline shows too."""

    def __call__(self, wanted: Wanted, *, apart: bool = False) -> tuple[records.Finding, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a survey found, ready for checks and records."""

    record: records.Survey
    findings: Findings
    excused: Mapping[str, frozenset[str]]
    """Output -> names of the Departures that were seen in it."""
    raised: Raised | None
    gradient_raised: Raised | None
    unreached: tuple[str, ...]
    irregular: tuple[records.Finding, ...]
    """What was seen beside the numbers: mutated inputs, use of the RNG, wrong shape."""
    cases: int


def _only(row: int, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, np.bool_)
    mask[row] = True
    return mask


def _unexplained(j: Judged, counts: Callable[[int, int], bool]) -> npt.NDArray[np.bool_]:
    """Bad entries that nothing explains, of the grades and ranges that count."""
    codes = np.where(j.bad & (j.excuse == 0), j.grade.astype(np.int16) * 16 + j.range, -1)
    return np.isin(codes, [c for c in np.unique(codes) if c >= 0 and counts(*divmod(int(c), 16))])


def _defects(j: Judged) -> npt.NDArray[np.bool_]:
    return _unexplained(j, lambda *code: severity(*code) == "defect")


class _Survey:
    """Accumulates blocks; the only mutable object of a measurement."""

    def __init__(self, subject: Subject, precision: Precision, baseline: Subject | None, effort: Effort) -> None:
        self.subject, self.precision, self.baseline, self.effort = subject, precision, baseline, effort
        self.contract = subject.contract
        self.departures: tuple[Departure, ...] = subject.departures
        self.tallies: dict[str, Tally] = {}
        self.groups: dict[tuple[str, str, bool], Group] = {}
        self._minimised: dict[tuple[str, str, bool], records.Finding] = {}
        self.raised: Raised | None = None
        self.gradient_raised: Raised | None = None
        self.unreached: tuple[str, ...] = ()
        self.irregular: dict[str, records.Finding] = {}
        self.cases = 0
        self.swept = self.bad = 0
        self.defined = self.left_out = 0
        self.followed = {
            (d.name, o): Followed(d, o) for d in self.departures if isinstance(d, Deviation) for o in outputs_held(d)
        }

    def fits(self, batch: Batch) -> bool:
        """Whether three rows give three values.

        A loss that broadcasts them to nine would fill the memory with a block.
        """
        few = batch.take(self.contract, slice(0, FEW))
        seen = observe_rows(self.subject, few, gradients=False)
        self._note_conduct(few, seen, few.rows(self.contract))
        return "shape" not in self.irregular

    @property
    def wrong_everywhere(self) -> bool:
        """Whether so many rows show a defect that few more say enough, where the effort does not look into them all."""
        return self.effort.suspects is not None and self.cases >= FEWEST and self.bad > MOSTLY * self.cases

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
        swept = batch.origin == "sweep"
        most = self.effort.suspects if swept else EXAMPLES
        judged = judge_within(limits, got, self.departures, most=ENOUGH if self.wrong_everywhere else most)
        if applies(limits):
            most = self.effort.defined if swept else self.effort.plan_defined
            judged, count = adjudicated(limits, judged, self.departures, most)
            self.defined += count
        if self.baseline is not None:
            judged = self._set_apart(limits, judged, observe_rows(self.baseline, batch))
        self.cases += rows
        self.swept += rows if swept else 0
        if judged:
            self.bad += np.unique(np.concatenate([rows_where(_defects(j)) for j in judged])).size
        if swept and judged:
            self.left_out += np.unique(np.concatenate([rows_where(j.excuse == LEFT_OUT) for j in judged])).size
        drawn = []
        for j in judged:
            for followed in self.followed.values():
                if followed.output == j.name:
                    followed.see(limits, j)
            self._collect(batch, j, swept=swept)
            if swept:
                tally = self.tallies.setdefault(j.name, Tally(j.name, self._is_shared(batch, j.name)))
                drawn.append(tally.add(limits, j, self.departures))
        weigh(limits, [d for d in drawn if d is not None])

    def _note_conduct(self, batch: Batch, seen: Observation, rows: int) -> None:
        def once(kind: str, message: str) -> None:
            if kind not in self.irregular:
                case = self._raising(batch) if kind == "raised" else batch.take(self.contract, slice(0, FEW))
                self.irregular[kind] = records.Finding(
                    severity="defect",
                    kind=kind,
                    output="",
                    message=f"{self.subject.name}: {message}",
                    case=case.record(),
                    reproduction=text.conduct_lines(self.subject, case, kind, seen.mutated),
                )

        if seen.mutated:
            once("mutated", f"changes its input in place: {', '.join(seen.mutated)}")
        if seen.used_rng:
            once("random", "draws from the global random number generator: expected the same answer to the same input")
        if seen.value is not None and seen.value.shape != (rows,):
            once("shape", f"unreduced loss: expected one value a row, shape ({rows},), got {seen.shape}")
        wanted = self.subject.result_dtype(batch.precision)
        if seen.value is not None and seen.dtype != wanted:
            once("dtype", f"result: expected {wanted}, got {seen.dtype}")
        if seen.raised is not None and self.cases:
            once("raised", f"raised where other inputs did not: {seen.raised}")

    def _raising(self, batch: Batch) -> Batch:
        return one_row(self.contract, batch, lambda part: observe_rows(self.subject, part).raised is not None)

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

    def _collect(self, batch: Batch, j: Judged, *, swept: bool) -> None:
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
                weight = severity(grade, range_)
                group = self.groups.setdefault(key, Group(severity=weight))
                group.count += int(here.sum()) if swept else 0
                if weight == "defect" and group.severity != "defect":
                    group.severity, group.batch, group.complexity = "defect", None, np.inf
                if weight != group.severity:  # the example of a defect is a defect, however simple a weakness is
                    continue
                index = np.flatnonzero(here.reshape(len(here), -1).any(axis=1))[:4096]
                candidates = batch if shared_rows else batch.take(self.contract, index)
                cost = row_complexity(self.contract, candidates)
                best = int(np.argmin(cost))
                if shared_rows or cost[best] < group.complexity:
                    if group.batch is None or not shared_rows:
                        group.batch = candidates if shared_rows else candidates.take(self.contract, np.array([best]))
                        place = here if shared_rows else here & _only(index[best], here.shape)
                        group.seen = (float(j.got[place][0]), float(j.truth.exact[place][0]))
                        group.company = batch
                    group.complexity = float(cost[best])

    def _is_shared(self, batch: Batch, output: str) -> bool:
        return output != "value" and self.contract.arg(output).shared

    # -- results -------------------------------------------------------------------------------------------------------

    def findings(self, wanted: Wanted, *, apart: bool = False) -> tuple[records.Finding, ...]:
        """One finding a group, minimised when it is asked for, which is dear."""
        result = []
        for key, group in self.groups.items():
            output, kind, shared = key
            if shared == apart and group.batch is not None and wanted(output, kind):
                if key not in self._minimised:
                    total = self.tallies[output].entries if output in self.tallies else self.swept
                    self._minimised[key] = self._finding(output, kind, group, total)
                result.append(self._minimised[key])
        order = {"defect": 0, "weakness": 1, "note": 2}
        result.sort(key=lambda f: (order[f.severity], f.output != "value", f.output, f.kind))
        told = () if apart else (f for f in self._contradictions() if wanted(f.output, f.kind))
        return (*result, *told)

    def _contradictions(self) -> Iterator[records.Finding]:
        """One finding for a Deviation that is followed here and not there."""
        for followed in self.followed.values():
            if rows := followed.contradiction:
                yield text.of_contradiction(self.subject, followed.deviation, followed.output, rows)

    def _asked(self, batch: Batch, output: str) -> tuple[Array, Truth] | None:
        """What the Subject gives for an output and the truth; None where that has another shape."""
        seen, truth = observe_rows(self.subject, batch), batch.truth(self.contract)
        got = seen.outputs().get(output)
        return None if got is None or got.shape != truth.outputs()[output].exact.shape else (got, truth)

    def _judged(self, batch: Batch, output: str, *, by_definition: bool = False) -> Judged | None:
        asked = self._asked(batch, output)
        if asked is None:
            return None
        got, truth = asked
        limits = Limits(self.contract, batch, truth)
        judged = judge_within(limits, {output: got}, self.departures)
        if by_definition and applies(limits):
            judged, _ = adjudicated(limits, judged, self.departures, batch.rows(self.contract))
        return judged[0]

    def _matching(self, batch: Batch, output: str, kind: str, wanted: str) -> npt.NDArray[np.bool_]:
        """Rows of a batch that show a finding of this kind and severity, unexplained."""
        match = np.zeros(batch.rows(self.contract), np.bool_)
        asked = self._asked(batch, output)
        if asked is None:
            return match
        got, truth = asked
        rows = rows_where(could_be(kind, got, truth.outputs()[output]))
        if not rows.size:
            return match
        shared = frozenset(a.name for a in self.contract.args if a.shared)
        limits = Limits(self.contract, batch.take(self.contract, rows), truth.rows(rows, shared))
        (j,) = judge_within(limits, {output: got[rows]}, self.departures)
        match[rows] = self._entries(j, kind, wanted).any(axis=1)
        return match

    @staticmethod
    def _entries(j: Judged, kind: str, wanted: str) -> npt.NDArray[np.bool_]:
        shown = _unexplained(j, lambda *code: (kind_of(*code), severity(*code)) == (kind, wanted))
        return shown.reshape(len(shown), -1)

    def _finding(self, output: str, kind: str, group: Group, total: int) -> records.Finding:
        assert group.batch is not None
        small = group.batch
        if self._is_shared(small, output):
            small = self._halved(small, lambda part: self._shows(part, output, kind, group.severity))
        else:
            small = minimise(
                self.contract,
                small,
                lambda b: self._matching(b, output, kind, group.severity),
                one_by_one=self.contract.coupled or not self.subject.takes_none,
                numbers=NUMBERS if group.severity == "defect" else PASSING,
            )
        plain = self._judged(small, output)
        j = self._judged(small, output, by_definition=True)
        if plain is None or j is None or (not j.bad.any() and plain.bad.any()):
            small = group.batch  # oracle and definition draw their lines at different places, or fewer rows raise
            plain = self._judged(small, output)
            j = self._judged(small, output, by_definition=True)
        if plain is None or j is None:
            return self._in_company(output, kind, group, total)
        match = self._entries(j, kind, group.severity)
        flat = match if match.any() else (j.bad.reshape(len(j.bad), -1))
        if not flat.any():
            if plain.bad.any():
                raise OracleError(f"{self.contract.name}: oracle and definition differ in {output} at {small.record()}")
            return self._in_company(output, kind, group, total)
        row, entry = (int(v) for v in np.argwhere(flat)[0])
        limits = Limits(self.contract, small, small.truth(self.contract)).at(output, np.array([row]))
        allowed = np.broadcast_to(limits.mixed, (len(limits.mixed), *j.grade.shape[1:]))
        at = float(allowed.reshape(len(allowed), -1)[min(row, len(allowed) - 1), entry])
        return text.of_entry(self.subject, small, j, row, entry, at, group.count, total)

    def _in_company(self, output: str, kind: str, group: Group, total: int) -> records.Finding:
        """The finding of a row that is right alone, at as few of the rows among which it was found as show it."""
        assert group.company is not None
        few = self._halved(group.company, lambda part: bool(self._matching(part, output, kind, group.severity).any()))
        return text.of_batch(self.subject, few, output, kind, group.severity, group.seen, group.count, total)

    def _shows(self, batch: Batch, output: str, kind: str, wanted: str) -> bool:
        j = self._judged(batch, output)
        return j is not None and bool(self._entries(j, kind, wanted).any())

    def _halved(self, batch: Batch, shows: Callable[[Batch], bool]) -> Batch:
        """A half of the rows that shows something, a half of that, and so on."""
        while (rows := batch.rows(self.contract)) > 1:
            halves = (batch.take(self.contract, half) for half in (slice(0, rows // 2), slice(rows // 2, rows)))
            smaller = next((half for half in halves if shows(half)), None)
            if smaller is None:
                break
            batch = smaller
        return batch

    def measurement(self, device: str) -> Measurement:
        excused = {t.output: frozenset(t.excused) for t in self.tallies.values()}
        record = records.Survey(
            subject=self.subject.name,
            contract=self.contract.name,
            dtype=self.precision.name,
            device=device,
            cases=self.cases,
            swept=self.swept,
            outputs=[t.record(self.subject, self.precision) for t in self.tallies.values()],
            excused=self._shares(),
            oracle_ulp=oracle_ulp(self.contract),
            defined=self.defined,
            left_out=self.left_out,
            followed={f"{f.deviation.name}: {f.output}": f.text for f in self.followed.values() if f.text},
        )
        return Measurement(
            record=record,
            findings=self.findings,
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


@lru_cache(maxsize=8)
def measure(
    subject: Subject, precision: Precision, effort: Effort, device: str = "cpu", baseline: Subject | None = None
) -> Measurement:
    """Sweep and hunt once; every accuracy check of this Subject in this dtype reads from the result."""
    survey = _Survey(subject, precision, baseline, effort)

    def enough(batch: Batch) -> Batch:
        return thinned(subject, batch, ENOUGH) if survey.wrong_everywhere and not subject.takes_none else batch

    for batch in swept(subject, precision, effort, device):
        if not survey.cases and not survey.fits(batch):
            break
        survey.add(enough(batch))
        if survey.raised is not None and not survey.cases:
            break
    else:
        hunted(subject, precision, effort, device, lambda batch: survey.add(enough(batch)))
    return survey.measurement(device)
