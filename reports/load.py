"""Records as the view of one run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from harness.records import Declaration, LedgerEntry, Line, NotRun, Run, Survey, Trial
from reports.rollup import Column, Tally, roll_up
from reports.view import Cell, Known, Report, Row, Section, Table

TWIN = "twin"
"""The check that holds a module to its functional form, bit for bit; it is all that is asked of such a module."""


def _known(subject: str, anchor: str, part: _Part) -> tuple[Known, ...]:
    entries = {entry.name: entry for entry in (part.declaration.ledger if part.declaration else [])}
    for trial in part.trials:
        for name in trial.excused:
            # Seen but not declared in these records: shown under the verdict that named it rather than dropped.
            kind = "deviation" if trial.verdict == "deviation" else "fault"
            blank = LedgerEntry(
                name=name, kind=kind, region="", seen="", source="", versions="", dtypes=[], outputs=[], reproduction=""
            )
            entries.setdefault(name, blank)
    return tuple(
        Known(
            section=anchor,
            anchor=f"{anchor}-known-{number}",
            subject=subject,
            origin=part.origin,
            entry=entry,
            trials=tuple(trial for trial in part.trials if name in trial.excused),
            shares={Column(s.device, "eager", s.dtype): s.excused[name] for s in part.surveys if name in s.excused},
        )
        for number, (name, entry) in enumerate(entries.items(), start=1)
    )


def _tables(trials: Sequence[Trial]) -> tuple[Table, ...]:
    rows: dict[str, dict[str, dict[Column, tuple[Trial, ...]]]] = {}
    for trial in trials:
        title, label = (trial.check, trial.item) if trial.item else ("", trial.check)
        cells = rows.setdefault(title, {}).setdefault(label, {})
        column = Column.of(trial)
        cells[column] = (*cells.get(column, ()), trial)
    return tuple(
        Table(
            title=title,
            columns=tuple(sorted({c for cells in labels.values() for c in cells}, key=lambda column: column.order)),
            rows=tuple(Row(label=label, trials=cells) for label, cells in labels.items()),
        )
        for title, labels in sorted(rows.items())
    )


def _cells(part: _Part, known: Iterable[Known]) -> dict[Column, Cell]:
    told = {item.entry.name: (item.entry.kind, item.key) for item in known}
    places = {Column(t.device, "eager", t.dtype) for t in part.trials}
    places |= {Column(s.device, "eager", s.dtype) for s in part.surveys}
    cells = {}
    for place in places:
        outputs = [o for s in part.surveys if (s.device, s.dtype) == (place.device, place.dtype) for o in s.outputs]
        trials = [t for t in part.trials if (t.device, t.dtype) == (place.device, place.dtype)]
        kinds = [kind for kind, _ in {told[name] for trial in trials for name in trial.excused}]
        cells[place] = Cell(
            column=place,
            tally=Tally.of(trials),
            known={kind: kinds.count(kind) for kind in ("fault", "deviation") if kind in kinds},
            value=roll_up(output for output in outputs if output.output == "value"),
            gradient=roll_up(output for output in outputs if output.output != "value"),
        )
    return cells


@dataclass(slots=True)
class _Part:
    declaration: Declaration | None = None
    trials: list[Trial] = field(default_factory=list)
    surveys: list[Survey] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return self.declaration.origin if self.declaration else ""


def _with_twins(sections: Sequence[Section]) -> tuple[Section, ...]:
    """Modules of torch that are asked for nothing but agreement go with the functional form of their contract."""

    def of_torch(section: Section) -> bool:
        return section.declaration is not None and section.declaration.origin == "torch"

    homes: dict[str, Section] = {}
    for section in sections:
        if of_torch(section) and any(trial.check != TWIN for trial in section.trials):
            homes.setdefault(section.contract, section)
    twins: dict[str, list[Section]] = {}
    for section in sections:
        if of_torch(section) and section.contract in homes and all(trial.check == TWIN for trial in section.trials):
            twins.setdefault(section.contract, []).append(section)
    nested = {twin.anchor for found in twins.values() for twin in found}
    return tuple(
        replace(section, twins=tuple(twins.get(section.contract, ())) if section is homes.get(section.contract) else ())
        for section in sections
        if section.anchor not in nested
    )


def load(lines: Iterable[Line]) -> Report:
    """The view of ``lines``, in whatever order they come. Raises ValueError for records of more than one run."""
    run: Run | None = None
    parts: dict[tuple[str, str], _Part] = {}
    not_run = []
    for line in lines:
        if isinstance(line, Run):
            if run is not None:
                raise ValueError("records: expected one run, got two: report on one file at a time")
            run = line
        elif isinstance(line, NotRun):
            not_run.append(line)
        else:
            part = parts.setdefault((line.contract, line.subject), _Part())
            if isinstance(line, Declaration):
                part.declaration = line
            elif isinstance(line, Trial):
                part.trials.append(line)
            else:
                part.surveys.append(line)
    sections, anchors = [], set[str]()
    for (contract, subject), part in sorted(parts.items()):
        anchor = stem = "loss-" + (re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-") or "unnamed")
        while anchor in anchors:
            anchor = f"{stem}-{len(anchors)}"
        anchors.add(anchor)
        part.trials.sort(key=lambda t: (t.check, t.item, Column.of(t).order, t.id))
        part.surveys.sort(key=lambda s: Column(s.device, "eager", s.dtype).order)
        known = _known(subject, anchor, part)
        sections.append(
            Section(
                anchor=anchor,
                subject=subject,
                contract=contract,
                declaration=part.declaration,
                trials=tuple(part.trials),
                surveys=tuple(part.surveys),
                known=known,
                tables=_tables(part.trials),
                cells=_cells(part, known),
            )
        )
    sections = list(_with_twins(sections))
    columns = sorted({column for section in sections for column in section.cells}, key=lambda column: column.order)
    return Report(
        run=run,
        sections=tuple(sections),
        not_run=tuple(sorted(set(not_run), key=lambda n: (n.what, n.reason))),
        columns=tuple(columns),
    )
