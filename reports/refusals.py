"""What torch refuses to do, by the message it gives."""

from __future__ import annotations

from collections.abc import Iterable

from harness.records import Line
from reports import text
from reports.evidence import brief
from reports.load import load
from reports.view import Report, Section

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NAMED = 10
"""Messages that the end of a run names."""


def refusals(report: Report) -> list[tuple[str, int, list[tuple[Section, int]]]]:
    """Every message with its trials, the most frequent first, and the losses that give it."""
    found: dict[str, dict[str, tuple[Section, int]]] = {}
    for section in report.everything:
        for trial in section.trials:
            if trial.verdict == "unsupported":
                homes = found.setdefault(brief(trial.reason), {})
                homes[section.anchor] = (section, homes.get(section.anchor, (section, 0))[1] + 1)
    counted = [(message, sum(n for _, n in homes.values()), list(homes.values())) for message, homes in found.items()]
    return sorted(counted, key=lambda row: (-row[1], row[0]))


def lines(records: Iterable[Line], width: int = 110) -> list[str]:
    """For the end of a run: messages and how many trials end in each, the most frequent first, the rest counted."""
    found = [(message or "no reason recorded", count) for message, count, _ in refusals(load(records))]
    if not found:
        return []
    shown, rest = found[:NAMED], found[NAMED:]
    said = [f"unsupported, {text.plural(sum(count for _, count in found), 'trial')}:"]
    said += [
        f"  {count:5,}  {message if len(message) <= width else message[: width - 1] + ELLIPSIS}"
        for message, count in shown
    ]
    if rest:
        trials = text.plural(sum(count for _, count in rest), "trial")
        said.append(f"  {ELLIPSIS} {text.plural(len(rest), 'more message')}, {trials}: see the report")
    return said
