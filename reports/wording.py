"""Short words for what a view holds: places, counts, verdicts."""

from __future__ import annotations

import re

from harness.records import Finding, Trial
from reports import text
from reports.departures import Departure
from reports.rollup import GRADES, NO_NUMBER, Column
from reports.view import Cell, Known, Section

GOT_AND_WANT = re.compile(r": expected \S+( \(-?0x\S+\))?, got \S+( \(-?0x\S+\))?(?= \(|$)")
"""What a message says of got and want, without the remark that may follow."""


def place(trial: Trial) -> str:
    """The trial in words: its check, its item, where it ran."""
    words = [trial.check.replace("_", " "), trial.item, Column.of(trial).label]
    return " · ".join(word for word in words if word)


def output(name: str) -> str:
    return name if name in ("value", "") else f"gradient in {name}"


def excuses(known: Known | Departure) -> str:
    """How much of the sweep a Deviation or Fault covers, by dtype; empty where no survey says."""
    places = sorted(known.shares.items(), key=lambda item: item[0].order)
    return ", ".join(f"{text.share(fraction)} ({column.label})" for column, fraction in places)


def swept(section: Section) -> str:
    """Cases by dtype and what certifies the oracle, each said once."""
    counts = [f"{Column(s.device, 'eager', s.dtype).label} {s.cases:,}" for s in section.surveys]
    known = {text.ulp(s.oracle_ulp) for s in section.surveys if s.oracle_ulp is not None}
    oracle = f"certified to {', '.join(sorted(known))} of float64" if known else "not certified"
    share = text.part(sum(s.swept for s in section.surveys), sum(s.cases for s in section.surveys))
    exact = sum(s.defined for s in section.surveys)
    judged = f" {exact:,} cases of float64 judged by its definition in mpmath." if exact else ""
    cases = f"Cases: {', '.join(counts)}; {share} of them swept, the others hunted."
    left = f" {words}." if (words := left_out(section)) else ""
    return f"{cases} Oracle {oracle}.{judged}{_followed(section)}{left}"


def left_out(section: Section) -> str:
    """How much of the sweep was not judged, and why; empty where all of it was."""
    count = sum(s.left_out for s in section.surveys)
    share = text.part(count, sum(s.swept for s in section.surveys))
    return f"{share} of the sweep left out: more gradients are suspect than this effort looks into" if count else ""


def _followed(section: Section) -> str:
    """What is followed where the documentation departs from the mathematics, dtypes that agree said once."""
    places: dict[tuple[str, str], list[str]] = {}
    for survey in section.surveys:
        for deviation, what in survey.followed.items():
            column = Column(survey.device, "eager", survey.dtype).label
            places.setdefault((deviation, what), []).append(column)
    said = [
        f" {deviation}: follows the {what} ({', '.join(columns)})." for (deviation, what), columns in places.items()
    ]
    return "".join(said)


def extent(finding: Finding) -> str:
    """How many of the judged cases show it: as a share where there are many; none do of what the hunt alone found."""
    if not finding.count:
        return "hunted"
    if finding.total < 1000:
        return f"{finding.count:,} of {finding.total:,}"
    return text.share(finding.count / finding.total)


def example(finding: Finding) -> str:
    """The simplest input that shows it, as ``input=8, target=0``; empty where it takes more than a few numbers."""
    tensors = finding.case.tensors if finding.case else {}
    if not tensors or any(len(data.data) != 1 for data in tensors.values()):
        return ""
    numbers = ((name, data, text.parse(data.data[0])) for name, data in tensors.items())
    return ", ".join(
        f"{name}={data.data[0] if value is None else text.decimal(value, data.dtype)}" for name, data, value in numbers
    )


def gist(finding: Finding, subject: str) -> str:
    """The message without what stands beside it anyway: the loss, the output, and got and want where they are shown."""
    words = finding.message
    for said in (subject, finding.output, f"gradient with respect to {finding.output}"):
        words = words.removeprefix(f"{said}: ")
    shorter = GOT_AND_WANT.sub("", words) if finding.got and finding.want else words
    return shorter or finding.message


TOLD = frozenset((*GRADES, *NO_NUMBER, "vanished", "partial-range"))
"""Kinds that say all by their name."""


def remark(finding: Finding, subject: str) -> str:
    """What the name of its kind does not say: the gist, or only what stands in brackets at its end."""
    words = gist(finding, subject)
    if finding.kind not in TOLD:
        return words
    return words[words.rindex(" (") + 2 : -1] if words.endswith(")") and " (" in words else ""


def told(finding: Finding, subject: str) -> str:
    """What an index says beside the kind: the simplest input, or what the kind does not say."""
    return example(finding) if finding.kind in TOLD else gist(finding, subject)


def counted(finding: Finding) -> str:
    """How many cases show it, in words."""
    cases = text.plural(finding.total, "case")
    if not finding.count:
        return f"found by the hunt, in none of the {cases} of the sweep"
    share = f" ({extent(finding)})" if finding.total >= 1000 else ""
    return f"{finding.count:,} of {cases}{share}"


def ledger(cell: Cell, *, shares: bool = True) -> str:
    """Faults and Deviations of a cell as ``2 faults, 1 deviation``, with the share of entries they explain."""
    counts = [text.plural(count, kind) for kind, count in cell.known.items()]
    if counts and shares and cell.excused:
        counts.append(f"{text.share(cell.excused)} excused")
    return ", ".join(counts)


def most_excused(known: Known | Departure) -> str:
    """The largest share of the sweep that it excuses in any dtype; a dash where the sweep does not meet it."""
    largest = max(known.shares.values(), default=0.0)
    return text.share(largest) if largest else text.ABSENT


def cell_verdict(cell: Cell, *, shares: bool = True) -> tuple[str, str]:
    """The verdict of a cell and how to say it: how many trials fail, or what the ledger lists."""
    verdict = cell.tally.worst
    if cell.tally.failing:
        return verdict, f"{cell.tally.failing:,} of {cell.tally.total:,} {verdict}"
    listed = ledger(cell, shares=shares)
    return verdict, listed if listed and verdict in ("fault", "deviation") else verdict


def trial_id(trial: Trial) -> str:
    """What ``lossproof replay`` takes."""
    return f"{trial.check}[{trial.id}]"


def twin_line(twin: Section) -> str:
    """A module beside its functional form, in a few words."""
    if not twin.trials:
        return f"{twin.subject}: not compared"
    worst = twin.tally.worst
    same = "the same, bit for bit" if worst == "pass" else f"{twin.tally[worst]} of {twin.tally.total} {worst}"
    return f"{text.GLYPHS.get(worst, '?')} {twin.subject}: {same}"


def broken_name(name: str, width: int) -> str:
    """A long name on several lines, broken after its underscores."""
    lines = [""]
    for part in re.split(r"(?<=_)", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
