"""The numbers of one output of a survey: grades, ranges, the worst error and where it is, what was excused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness import records
from harness.binding import Subject
from harness.bounds import ABSOLUTE_ONLY, GRADES, PARTIAL, RANGES, VANISHED
from harness.cases import Batch
from harness.deviations import Departure
from harness.envelope import Envelope, finite, mixed_bounds, scale_of
from harness.findings import reproduction, ulp_of
from harness.judge import LEFT_OUT, Judged, Limits, Rows
from harness.ulp import Array, Precision, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What an output of a batch asks bounds for; conditioning is dear, and worked out for all outputs at once."""

    tally: Tally
    judged: Judged
    ulps: Array
    worst: Rows
    """Rows with the largest errors of all."""
    peaks: Rows
    """Rows with the largest errors of their bins."""

    @property
    def name(self) -> str:
        return self.judged.name


def weigh(limits: Limits, drawn: Sequence[Drawn]) -> None:
    """Errors of a batch in units of their bounds; what nobody was in doubt about is conditioned in part."""
    own = [rows for d in drawn if d.name != "value" and not limits.whole(d.name) for rows in (d.worst, d.peaks)]
    if own:
        limits.condition_in_part(np.unique(np.concatenate(own)))
    for d in drawn:
        d.tally.weigh(limits, d)


@dataclass(slots=True)
class Tally:
    """Roll-up of one output over the sweep."""

    output: str
    shared: bool
    """Whether it is the gradient of a tensor that all rows share."""
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
    envelope: Envelope = field(default_factory=Envelope)

    def add(self, limits: Limits, j: Judged, departures: Sequence[Departure]) -> Drawn | None:
        """Take in a batch; ``weigh`` comes after."""
        free = j.excuse == 0
        # A partial product that leaves the range is counted among the ranges: its error says nothing of the algorithm.
        graded = free & (j.range != PARTIAL)
        self.entries += int((j.excuse != LEFT_OUT).sum())
        self.grades += np.bincount(j.grade[graded], minlength=len(GRADES))
        self.ranges += np.bincount(j.range[free], minlength=len(RANGES))
        for number, departure in enumerate(departures, start=1):
            if count := int((j.excuse == number).sum()):
                self.excused[departure.name] = self.excused.get(departure.name, 0) + count
        if graded.any():
            self.grade = max(self.grade, int(j.grade[graded].max()))
        with np.errstate(all="ignore"):
            countable = free & np.isfinite(j.error) & np.isfinite(j.truth.exact) & (j.range <= VANISHED)
            ulps = np.where(countable, j.error / ulp_of(limits.batch.precision, scale_of(j.truth)), -1.0)
        if not ulps.size:
            return None
        worst = self._find_worst(limits, j, ulps)
        peaks = np.array([], np.intp) if self.shared else self.envelope.draw(limits, j, ulps)
        return Drawn(tally=self, judged=j, ulps=ulps, worst=worst, peaks=peaks)

    def _find_worst(self, limits: Limits, j: Judged, ulps: Array) -> Rows:
        """The rows of the largest errors so far."""
        bad = np.where(j.grade >= ABSOLUTE_ONLY, ulps, -1.0)
        peaks = [(e, e.max() > seen) for e, seen in ((ulps, self.worst_ulp), (bad, self.worst_bad))]
        rows = {int(np.unravel_index(int(np.argmax(e)), e.shape)[0]) for e, new in peaks if new}
        self.worst_bad = max(self.worst_bad, float(bad.max()))
        if ulps.max() > self.worst_ulp:
            at = np.unravel_index(int(np.argmax(ulps)), ulps.shape)
            self.worst_ulp = float(ulps[at])
            batch = limits.batch
            row = batch if self.shared else batch.take(limits.contract, np.array([at[0]]))
            self.worst = (row, float(j.got[at]), float(j.truth.exact[at]))
        return np.array(sorted(rows), np.intp)

    def weigh(self, limits: Limits, drawn: Drawn) -> None:
        """Errors in units of their own bounds: the largest in ulp may lie where the bound is widest."""
        j, ulps = drawn.judged, drawn.ulps
        bounds = [(rows, mixed_bounds(limits, j, rows)) for rows in (drawn.worst, drawn.peaks) if rows.size]
        for rows, mixed in bounds:
            with np.errstate(all="ignore"):
                ratio = np.where(ulps[rows] > 0, j.error[rows] / mixed, 0.0)
            self.worst_ratio = max(self.worst_ratio, float(ratio.max()))
        if drawn.peaks.size:
            self.envelope.draw_bound(limits, j, ulps, *bounds[-1])

    def record(self, subject: Subject, precision: Precision) -> records.OutputTally:
        """The roll-up as text."""
        contract = subject.contract
        exhaustive = contract.scalar and len(contract.args) == 1 and precision.bits == 16
        case, got, want = self.worst or (None, None, None)
        case = None if self.shared else case
        return records.OutputTally(
            output=self.output,
            entries=self.entries,
            grades={g: int(n) for g, n in zip(GRADES, self.grades, strict=True)},
            ranges={r: int(n) for r, n in zip(RANGES, self.ranges, strict=True) if r and n},
            grade=GRADES[self.grade] if self.grades.any() else "",
            worst_ulp=finite(self.worst_ulp),
            worst_ratio=finite(self.worst_ratio),
            badge="exhaustive" if exhaustive else "sampled",
            worst=None if case is None else case.record(),
            worst_got="" if got is None else to_hex(got),
            worst_want="" if want is None else to_hex(want),
            worst_reproduction="" if case is None or want is None else reproduction(subject, case, self.output, want),
            curve=self.envelope.record(contract.args[0], precision),
        )
