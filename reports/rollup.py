"""Values that add: verdict counts, grade counts, worst cases. Every report rolls up the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.records import OutputTally, Trial

VERDICTS = ("error", "fail", "stale", "fault", "deviation", "unsupported", "pass")
FAILING = frozenset({"error", "fail", "stale"})
GRADES = ("unstable", "absolute-only", "mixed-stable", "reference", "few-ulp")
BADGES = ("sampled", "searched", "exhaustive")
NO_NUMBER = ("overflow", "nan", "wrong-inf", "finite-for-inf", "finite-for-nan")
"""Range findings without an error that can be measured: their grade is unstable, whatever the finite errors are."""
SEVERITIES = ("defect", "weakness", "note")
DTYPES = ("float64", "float32", "bfloat16", "float16")


def rank(order: Sequence[str], word: str) -> int:
    """Position of ``word``, worst first; an unknown word ranks before all others, so that nothing unknown is hidden."""
    return order.index(word) if word in order else -1


def fails(verdict: str) -> bool:
    """Whether a verdict is none that a sound run may end in."""
    return verdict in FAILING or verdict not in VERDICTS


def worst(order: Sequence[str], words: Iterable[str]) -> str:
    """The worst of ``words``; empty words say nothing, and nothing said is empty."""
    return min((word for word in words if word), key=lambda word: rank(order, word), default="")


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *(k for k in other if k not in one))}


class Column(NamedTuple):
    """Where a trial ran, in the order in which reports list it."""

    device: str
    mode: str
    dtype: str

    @classmethod
    def of(cls, trial: Trial) -> Column:
        return cls(trial.device, trial.mode, trial.dtype)

    @property
    def label(self) -> str:
        extra = [word for word, plain in ((self.device, "cpu"), (self.mode, "eager")) if word not in (plain, "")]
        return " · ".join([self.dtype, *extra])

    @property
    def order(self) -> tuple[bool, str, bool, str, int, str]:
        place = DTYPES.index(self.dtype) if self.dtype in DTYPES else len(DTYPES)
        return (self.device != "cpu", self.device, self.mode not in ("eager", ""), self.mode, place, self.dtype)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many trials ended in each verdict. Adds."""

    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Tally:
        counts: dict[str, int] = {}
        for trial in trials:
            counts[trial.verdict] = counts.get(trial.verdict, 0) + 1
        return cls(counts)

    def __add__(self, other: Tally) -> Tally:
        return Tally(added(self.counts, other.counts))

    def __getitem__(self, verdict: str) -> int:
        return self.counts.get(verdict, 0)

    def items(self) -> list[tuple[str, int]]:
        """Verdict and count, worst first, nothing that did not happen."""
        return sorted(((v, n) for v, n in self.counts.items() if n), key=lambda item: rank(VERDICTS, item[0]))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def failing(self) -> int:
        return sum(count for verdict, count in self.counts.items() if fails(verdict))

    @property
    def worst(self) -> str:
        return worst(VERDICTS, (verdict for verdict, count in self.counts.items() if count))


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Measured error of some outputs. Adds: entries sum, maxima and grades keep the worst, the weakest badge stands."""

    entries: int = 0
    grades: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, int] = field(default_factory=dict)
    grade: str = ""
    worst_ulp: float = 0.0
    worst_ratio: float = 0.0
    badge: str = ""

    @classmethod
    def of(cls, tally: OutputTally) -> Accuracy:
        t = tally
        return cls(t.entries, t.grades, t.ranges, t.grade, t.worst_ulp, t.worst_ratio, t.badge)

    @property
    def excused(self) -> int:
        """Entries that something explains: they are in no grade."""
        return max(self.entries - sum(self.grades.values()), 0)

    @property
    def finite(self) -> str:
        """The worst grade of the errors that have a number; what has none is told beside it. Empty where none has."""
        lost = sum(self.ranges.get(kind, 0) for kind in NO_NUMBER)
        if self.worst_ratio <= 1.0 and lost + self.ranges.get("partial-range", 0):
            beyond = {"unstable", "absolute-only"}
        else:
            beyond = {"unstable"} if 0 < self.grades.get("unstable", 0) <= lost else set()
        if self.grade not in beyond:
            return self.grade
        return worst(GRADES, (grade for grade, count in self.grades.items() if count and grade not in beyond))

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(
            entries=self.entries + other.entries,
            grades=added(self.grades, other.grades),
            ranges=added(self.ranges, other.ranges),
            grade=worst(GRADES, (self.grade, other.grade)),
            worst_ulp=max(self.worst_ulp, other.worst_ulp),
            worst_ratio=max(self.worst_ratio, other.worst_ratio),
            badge=worst(BADGES, (self.badge, other.badge)),
        )


def roll_up(outputs: Iterable[OutputTally]) -> Accuracy | None:
    """Sum of the outputs; None where there is none, which is not the same as an error of 0."""
    rolled = [Accuracy.of(output) for output in outputs]
    return sum(rolled[1:], rolled[0]) if rolled else None
