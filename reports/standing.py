"""What a reader may rely on: every loss in one of five standings, worst first."""

from __future__ import annotations

from dataclasses import dataclass

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
        groups = [group for group in section.groups if group.severity == "weakness"]
        kinds = ", ".join(dict.fromkeys(group.kind for group in groups))
        return Standing(section=section, word="weak", why=kinds)
    counts = [(kind, sum(k.seen and k.entry.kind == kind for k in section.known)) for kind in ("fault", "deviation")]
    if any(count for _, count in counts):
        why = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts if count)
        return Standing(section=section, word="departs", why=why)
    return Standing(section=section, word="sound", why="")


def standings(report: Report) -> list[tuple[str, list[Standing]]]:
    """Losses by standing, worst first; empty standings are left out."""
    found = [standing(section, strict=report.strict) for section in report.sections]
    return [(word, rows) for word in WORDS if (rows := [one for one in found if one.word == word])]
