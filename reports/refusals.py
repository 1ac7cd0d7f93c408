"""What a loss refuses to do, by the message it gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.records import Line, Trial
from reports import text
from reports.evidence import brief
from reports.load import load
from reports.rollup import Column
from reports.view import Report, Section

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
NAMED = 10
"""Messages that the end of a run names."""
GIVES = " -> "
"""What follows in the name of a special value is what it has to be."""
EVERYTHING = "all that is asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One message of one loss: where it is given, in how many trials, and to which questions."""

    reason: str
    columns: tuple[Column, ...]
    trials: int
    asked: tuple[str, ...]
    """Checks, each with those of its items that are refused."""


def _asked(refused: Iterable[tuple[str, str]], trials: Iterable[Trial]) -> Iterator[str]:
    """Check by check what is refused of all that is asked."""
    planned, refused = {(trial.check, trial.item) for trial in trials}, set(refused)
    if planned == refused:
        yield EVERYTHING
        return
    for check in sorted({check for check, _ in refused}):
        items, others = (
            sorted(item.partition(GIVES)[0] for other, item in some if other == check)
            for some in (refused, planned - refused)
        )
        if len(items) > 1 and len(others) < len(items):
            said = f"all {len(items)}" if not others else f"all but {'; '.join(others)}"
        else:
            said = "; ".join(filter(None, items))
        yield f"{check.replace('_', ' ')} ({said})" if said else check.replace("_", " ")


def of_loss(section: Section) -> list[Refusal]:
    """Every message with what it covers; the same of several dtypes once."""
    found: dict[tuple[str, Column], list[Trial]] = {}
    for trial in section.every_trial:
        if trial.verdict == "unsupported":
            found.setdefault((trial.reason, Column.of(trial)), []).append(trial)
    alike: dict[tuple[str, tuple[tuple[str, str], ...]], list[Column]] = {}
    for (reason, column), trials in found.items():
        questions = tuple(sorted({(trial.check, trial.item) for trial in trials}))
        alike.setdefault((reason, questions), []).append(column)
    return [
        Refusal(
            reason=reason,
            columns=tuple(sorted(columns, key=lambda column: column.order)),
            trials=sum(len(found[reason, column]) for column in columns),
            asked=tuple(_asked(questions, (t for t in section.every_trial if Column.of(t) in columns))),
        )
        for (reason, questions), columns in alike.items()
    ]


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
