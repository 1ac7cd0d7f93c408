"""Findings as a reader wants them: the same thing told once, what weighs most first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.records import Finding, Trial
from reports.rollup import SEVERITIES, Column, fails, rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The same thing wrong, wherever it was seen; the occurrence that is easiest to read first."""

    severity: str
    kind: str
    output: str
    seen: tuple[tuple[Trial, Finding], ...]

    @property
    def columns(self) -> list[Column]:
        return sorted({Column.of(trial) for trial, _ in self.seen}, key=lambda column: column.order)

    @property
    def others(self) -> list[tuple[Trial, Finding, list[Column]]]:
        """Every occurrence but the first; the same seen in several dtypes once, with where else."""
        found: dict[tuple[str, str, int, int, float | None], list[tuple[Trial, Finding]]] = {}
        for trial, finding in self.seen[1:]:
            key = (trial.check, trial.item or trial.id, finding.count, finding.total, finding.ulp)
            found.setdefault(key, []).append((trial, finding))
        return [(*pairs[0], [Column.of(trial) for trial, _ in pairs[1:]]) for pairs in found.values()]

    @property
    def widest(self) -> Finding:
        """The occurrence that most cases show."""
        return max((finding for _, finding in self.seen), key=lambda finding: (finding.count, -finding.total))


EXPLAINING = "mistake"
"""The kind of finding that says why the others are there."""


def badness(pair: tuple[Trial, Finding]) -> tuple[bool, float, int]:
    """Sort key. An error without a number (inf, nan, an exception) is worse than every number."""
    finding = pair[1]
    return (finding.ulp is not None, -(finding.ulp or 0.0), -finding.count)


def legibility(pair: tuple[Trial, Finding]) -> tuple[bool, bool, int, tuple[bool, float, int]]:
    """Sort key: minimised cases before the rows of tables, float32 before what is less used, then the shortest."""
    case = pair[1].case
    if case is None:
        return (True, True, 0, badness(pair))
    written = sum(len(_spoken(text)) for tensor in case.tensors.values() for text in tensor.data)
    return (case.origin not in ("sweep", "hunt"), pair[0].dtype != "float32", written, badness(pair))


def _spoken(text: str) -> str:
    return repr(float.fromhex(text)) if "x" in text else text


def group(trials: Iterable[Trial], *, shared: bool = False) -> tuple[Group, ...]:
    """Findings by severity, kind and output: the severest, then what explains others, then what most cases show, first.

    With ``shared`` those that the baseline has too.
    """
    found: dict[tuple[str, str, str], list[tuple[Trial, Finding]]] = {}
    for trial in trials:
        for finding in trial.shared if shared else trial.findings:
            found.setdefault((finding.severity, finding.kind, finding.output), []).append((trial, finding))
    groups = [
        Group(severity=s, kind=k, output=o, seen=tuple(sorted(p, key=legibility))) for (s, k, o), p in found.items()
    ]

    def weight(group: Group) -> tuple[int, bool, int, tuple[bool, float, int], str, str]:
        worst = min(map(badness, group.seen))
        effect = group.kind != EXPLAINING
        return (rank(SEVERITIES, group.severity), effect, -group.widest.count, worst, group.kind, group.output)

    return tuple(sorted(groups, key=weight))


def brief(reason: str) -> str:
    """What a reason comes to: the last line, which in a traceback is the exception."""
    return next((line.strip() for line in reversed(reason.splitlines()) if line.strip()), "")


def blame(trials: Iterable[Trial], *, strict: bool) -> tuple[tuple[tuple[Trial, ...], ...], tuple[Group, ...]]:
    """Why trials do not pass: the failing ones that no finding explains, alike ones together, and the findings."""
    severities = {"defect", "weakness"} if strict else {"defect"}
    failing = [trial for trial in trials if fails(trial.verdict)]
    explained = [t for t in failing if t.verdict == "fail" and any(f.severity in severities for f in t.findings)]
    groups = tuple(found for found in group(explained) if found.severity in severities)
    alike: dict[tuple[str, str], list[Trial]] = {}
    for trial in (trial for trial in failing if trial not in explained):
        alike.setdefault((trial.verdict, brief(trial.reason)), []).append(trial)
    return tuple(tuple(trials) for trials in alike.values()), groups


def spread(columns: Sequence[Column], among: Iterable[Column]) -> str:
    """Where something was seen; said in two words where that is wherever the loss ran."""
    everywhere = {column for column in among if column.mode == "eager"}
    if len(everywhere) > 1 and everywhere == set(columns):
        return "every dtype"
    return ", ".join(column.label for column in columns)
