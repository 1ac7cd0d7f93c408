"""What a reader may rely on: every loss in one of five standings, worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports import text
from reports.departures import Departure, departures
from reports.evidence import blame, spread
from reports.rollup import Column, fails
from reports.view import Report, Section

WORDS = {
    "breaks": "breaks",
    "weak": "loses digits, nothing worse",
    "departs": "sound outside what is listed",
    "sound": "sound, nothing to except",
    "unknown": "nothing is known",
}
GLYPHS = {"breaks": "✗", "weak": "△", "departs": "▲", "sound": "✓", "unknown": "?"}
VERDICTS = {"breaks": "fail", "weak": "weakness", "departs": "fault", "sound": "pass", "unknown": "unsupported"}
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
WORDS_IN_A_CELL = 2
SLIGHT = 1e-3
"""Share of what is judged below which a departure is met in corners only."""
NAMED = 3
"""Kinds of findings that are named beside a loss that breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One loss and why it stands where it does."""

    section: Section
    word: str
    why: str


def _why_it_breaks(section: Section, strict: bool) -> str:
    places = {Column.of(trial) for trial in section.every_trial if fails(trial.verdict)}
    unexplained, groups = blame(section.every_trial, strict=strict)
    kinds = list(dict.fromkeys([*(group.kind for group in groups), *(found[0].verdict for found in unexplained)]))
    more = f" and {len(kinds) - NAMED} more" if len(kinds) > NAMED else ""
    return (
        f"{', '.join(kinds[:NAMED])}{more} in {spread(sorted(places, key=lambda column: column.order), section.cells)}"
    )


def standing(section: Section, *, strict: bool) -> Standing:
    """Where a loss stands in this run, its modules included."""
    if section.whole.failing:
        return Standing(section=section, word="breaks", why=_why_it_breaks(section, strict))
    if not section.trials:
        return Standing(section=section, word="unknown", why="no trial was run")
    if section.weaknesses:
        lost = dict.fromkeys(group.kind for group in section.groups if group.severity == "weakness")
        return Standing(section=section, word="weak", why=", ".join(lost))
    kinds = [one.kind for one in departures([section])]
    counts = [(kind, kinds.count(kind)) for kind in ("fault", "deviation")]
    if any(count for _, count in counts):
        why = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts if count)
        return Standing(section=section, word="departs", why=why)
    return Standing(section=section, word="sound", why="")


def _few(words: Iterable[str]) -> str:
    said = list(dict.fromkeys(words))
    return ", ".join([*said[:WORDS_IN_A_CELL], *([ELLIPSIS] if len(said) > WORDS_IN_A_CELL else [])])


def trust(section: Section, column: Column, told: Iterable[Departure], *, strict: bool) -> tuple[str, str, str]:
    """One loss in one dtype: its verdict, what is got where it breaks, and how much of what is judged."""
    cell = section.cells.get(column)
    if cell is None or not cell.tally.total:
        return "", "not run", ""
    verdict = cell.tally.worst
    if cell.tally.failing:
        _, groups = blame((trial for trial in section.trials if Column.of(trial) == column), strict=strict)
        size = f"{cell.tally.failing:,} of {text.plural(cell.tally.total, 'trial')}"
        return verdict, _few([*(group.kind for group in groups), *([verdict] if verdict != "fail" else [])]), size
    seen = [one for one in told if column in one.columns]
    if seen:
        share = text.share(cell.excused) if cell.excused else ""
        return seen[0].kind, _few(word for one in seen for word in one.effects), share
    if any(f.severity == "weakness" for t in section.trials if Column.of(t) == column for f in t.findings):
        return "weakness", "loses digits", ""
    refused = verdict == "unsupported" and cell.value is None
    return (verdict, verdict, "") if refused or not cell.tally["pass"] else ("pass", "sound", "")


def standings(report: Report) -> list[tuple[str, list[Standing]]]:
    """Losses by standing, worst first; empty standings are left out."""
    found = [standing(section, strict=report.strict) for section in report.sections]
    return [(word, rows) for word in WORDS if (rows := [one for one in found if one.word == word])]
