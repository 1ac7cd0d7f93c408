"""Deviations and Faults as a reader counts them: one, however many outputs, modules and variants show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.records import LedgerEntry
from reports import rollup
from reports.rollup import Column
from reports.view import Known, Report, Section

RANGE = "range"
"""An intermediate leaves the range of the dtype: inf, nan, 0 or lost digits, as it happens."""
EFFECTS = (
    (RANGE, re.compile(r"inf, nan, 0")),
    ("inf", re.compile(r"\binf\b")),
    ("nan", re.compile(r"\bnan\b")),
    ("0", re.compile(r"(^|, |\bor )0($|,| or)")),
    ("finite", re.compile(r"\ba finite number")),
    ("digits", re.compile(r"\bdigits? l|\blost digits")),
)
"""What a Fault shows, by how its description of what is got reads; the first alone where it is the range."""
GOT = re.compile(r" where | for a true |, since |, error within ")
"""What follows says of the truth or of the cause."""


def effects(entry: LedgerEntry) -> tuple[str, ...]:
    """What is got, in a word or two; ``documented`` for a Deviation, ``wrong`` for a number of another kind."""
    if entry.kind == "deviation":
        return ("documented",)
    got = GOT.split(entry.seen, maxsplit=1)[0]
    found = tuple(word for word, pattern in EFFECTS if pattern.search(got))
    return found[:1] if found[:1] == (RANGE,) else found or ("wrong",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One Deviation or Fault with every ledger entry that tells of it, the one that excuses most first."""

    parts: tuple[tuple[Section, Known], ...]

    @property
    def first(self) -> Known:
        return self.parts[0][1]

    @property
    def first_section(self) -> Section:
        return self.parts[0][0]

    @property
    def entry(self) -> LedgerEntry:
        return self.first.entry

    @property
    def name(self) -> str:
        return self.first.name

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def effects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for _, known in self.parts for word in effects(known.entry)))

    @property
    def sections(self) -> tuple[Section, ...]:
        return tuple({section.anchor: section for section, _ in self.parts}.values())

    @property
    def columns(self) -> list[Column]:
        found = {column for _, known in self.parts for column in known.columns}
        return sorted(found, key=lambda column: column.order)

    @property
    def outputs(self) -> list[str]:
        return list(dict.fromkeys(output for _, known in self.parts for output in known.entry.outputs))

    @property
    def shares(self) -> Mapping[Column, float]:
        """The largest share of the swept entries of an output that it excuses, by dtype."""
        found: dict[Column, float] = {}
        for _, known in self.parts:
            for column, share in known.shares.items():
                found[column] = max(share, found.get(column, 0.0))
        return found

    @property
    def share(self) -> float:
        return max(self.shares.values(), default=0.0)


def departures(sections: Iterable[Section], *, seen: bool = True) -> tuple[Departure, ...]:
    """What is known of these losses, each departure once: Faults first, then what excuses most."""
    found: dict[tuple[str, str, str], list[tuple[Section, Known]]] = {}
    for section in sections:
        for known in section.known:
            if known.seen == seen:
                key = (known.entry.kind, section.family, known.key)
                found.setdefault(key, []).append((section, known))
    told = [
        Departure(parts=tuple(sorted(parts, key=lambda part: -max(part[1].shares.values(), default=0.0))))
        for parts in found.values()
    ]
    return tuple(sorted(told, key=lambda one: (one.kind != "fault", -one.share)))


def known(report: Report, kind: str, *, seen: bool = True) -> list[Departure]:
    """Every Deviation or Fault of a run."""
    sections = report.everything if seen else report.sections
    return [one for one in departures(sections, seen=seen) if one.kind == kind]


def by_weight(sections: Iterable[Section]) -> list[Section]:
    """Losses in the order in which a reader has to know of them: what fails, then what faults excuse most."""

    def weight(section: Section) -> tuple[int, float, str]:
        judged = max((cell.excused for cell in section.cells.values()), default=0.0)
        faults = max((one.share for one in departures([section]) if one.kind == "fault"), default=0.0)
        return (rollup.rank(rollup.VERDICTS, section.whole.worst), -min(judged, faults), section.subject)

    return sorted(sections, key=weight)
