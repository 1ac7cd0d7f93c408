"""Records as a frozen view of one run: losses, their tables, what is known of them and what was found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.records import Declaration, Finding, LedgerEntry, Line, NotRun, Run, Survey, Trial
from reports.rollup import SEVERITIES, VERDICTS, Accuracy, Column, Tally, fails, rank, roll_up, worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One loss in one dtype on one device."""

    column: Column
    tally: Tally
    value: Accuracy | None
    gradient: Accuracy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One item of a check in every column."""

    label: str
    trials: Mapping[Column, tuple[Trial, ...]]

    def all(self) -> list[Trial]:
        return [trial for trials in self.trials.values() for trial in trials]

    @property
    def tally(self) -> Tally:
        return Tally.of(self.all())

    def verdict(self, column: Column) -> str:
        return worst(VERDICTS, (trial.verdict for trial in self.trials.get(column, ())))

    @property
    def remarks(self) -> list[str]:
        """Reasons and the names of what is excused, each once."""
        said = [text for trial in self.all() for text in (*trial.excused, brief(trial.reason)) if text]
        return list(dict.fromkeys(said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One check with items, or all the checks of a loss that have none."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def tally(self) -> Tally:
        return sum((row.tally for row in self.rows), Tally())


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The same thing wrong, wherever it was seen; the worst occurrence first."""

    severity: str
    kind: str
    output: str
    seen: tuple[tuple[Trial, Finding], ...]

    @property
    def columns(self) -> list[str]:
        columns = {Column.of(trial) for trial, _ in self.seen}
        return [column.label for column in sorted(columns, key=lambda column: column.order)]


def group(trials: Iterable[Trial], *, shared: bool = False) -> tuple[Group, ...]:
    """Findings by severity, kind and output, worst first; with ``shared`` those that the baseline has too."""
    found: dict[tuple[str, str, str], list[tuple[Trial, Finding]]] = {}
    for trial in trials:
        for finding in trial.shared if shared else trial.findings:
            found.setdefault((finding.severity, finding.kind, finding.output), []).append((trial, finding))

    def badness(pair: tuple[Trial, Finding]) -> tuple[bool, float]:
        # An error without a number (inf, nan, an exception) is worse than every number.
        return (pair[1].ulp is not None, -(pair[1].ulp or 0.0))

    groups = [Group(severity=s, kind=k, output=o, seen=tuple(sorted(p, key=badness))) for (s, k, o), p in found.items()]
    return tuple(sorted(groups, key=lambda g: (rank(SEVERITIES, g.severity), badness(g.seen[0]), g.kind, g.output)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A Deviation or a Fault of one loss, with what this run saw of it."""

    section: str
    """Anchor of the loss."""
    subject: str
    entry: LedgerEntry
    trials: tuple[Trial, ...]
    shares: Mapping[Column, float]
    """Share of the swept entries that it excuses, by dtype."""

    @property
    def columns(self) -> list[Column]:
        """Where it was seen. A region that merely covers swept points, as ``shares`` tells, is not yet a sighting."""
        seen = {Column.of(trial) for trial in self.trials}
        return sorted(seen, key=lambda column: column.order)

    @property
    def seen(self) -> bool:
        return bool(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One Subject with everything that this run knows of it."""

    anchor: str
    subject: str
    contract: str
    declaration: Declaration | None
    trials: tuple[Trial, ...]
    surveys: tuple[Survey, ...]
    known: tuple[Known, ...]
    tables: tuple[Table, ...]
    cells: Mapping[Column, Cell]

    @property
    def tally(self) -> Tally:
        return Tally.of(self.trials)

    @property
    def groups(self) -> tuple[Group, ...]:
        return group(self.trials)

    @property
    def shared(self) -> tuple[Group, ...]:
        return group(self.trials, shared=True)

    @property
    def strict_only(self) -> tuple[Trial, ...]:
        """Trials that only ``strict`` would fail: a weakness and no failure."""
        return tuple(
            t for t in self.trials if not fails(t.verdict) and any(f.severity == "weakness" for f in t.findings)
        )


def blame(section: Section, *, strict: bool) -> tuple[tuple[tuple[Trial, ...], ...], tuple[Group, ...]]:
    """Why a loss does not pass: failing trials that no finding explains, alike ones together, and the findings."""
    severities = {"defect", "weakness"} if strict else {"defect"}
    failing = [trial for trial in section.trials if fails(trial.verdict)]
    explained = [t for t in failing if t.verdict == "fail" and any(f.severity in severities for f in t.findings)]
    groups = tuple(found for found in group(explained) if found.severity in severities)
    alike: dict[tuple[str, str], list[Trial]] = {}
    for trial in (trial for trial in failing if trial not in explained):
        alike.setdefault((trial.verdict, brief(trial.reason)), []).append(trial)
    return tuple(tuple(trials) for trials in alike.values()), groups


def brief(reason: str) -> str:
    """What a reason comes to: the last line, which in a traceback is the exception."""
    return next((line.strip() for line in reversed(reason.splitlines()) if line.strip()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. Sections in order of contract, then subject."""

    run: Run | None
    sections: tuple[Section, ...]
    not_run: tuple[NotRun, ...]
    columns: tuple[Column, ...]

    @property
    def tally(self) -> Tally:
        return sum((section.tally for section in self.sections), Tally())

    @property
    def strict(self) -> bool:
        return self.run is not None and self.run.strict

    @property
    def missing(self) -> int:
        """Planned trials that left no record: the run was cut short."""
        return max(self.run.planned - self.tally.total, 0) if self.run else 0

    def known(self, kind: str, *, seen: bool = True) -> list[Known]:
        return [k for section in self.sections for k in section.known if k.entry.kind == kind and k.seen == seen]


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
            subject=subject,
            entry=entry,
            trials=tuple(trial for trial in part.trials if name in trial.excused),
            shares={Column(s.device, "eager", s.dtype): s.excused[name] for s in part.surveys if name in s.excused},
        )
        for name, entry in entries.items()
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


def _cells(part: _Part) -> dict[Column, Cell]:
    places = {Column(t.device, "eager", t.dtype) for t in part.trials}
    places |= {Column(s.device, "eager", s.dtype) for s in part.surveys}
    cells = {}
    for place in places:
        outputs = [o for s in part.surveys if (s.device, s.dtype) == (place.device, place.dtype) for o in s.outputs]
        cells[place] = Cell(
            column=place,
            tally=Tally.of(t for t in part.trials if (t.device, t.dtype) == (place.device, place.dtype)),
            value=roll_up(output for output in outputs if output.output == "value"),
            gradient=roll_up(output for output in outputs if output.output != "value"),
        )
    return cells


@dataclass(slots=True)
class _Part:
    declaration: Declaration | None = None
    trials: list[Trial] = field(default_factory=list)
    surveys: list[Survey] = field(default_factory=list)


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
        sections.append(
            Section(
                anchor=anchor,
                subject=subject,
                contract=contract,
                declaration=part.declaration,
                trials=tuple(part.trials),
                surveys=tuple(part.surveys),
                known=_known(subject, anchor, part),
                tables=_tables(part.trials),
                cells=_cells(part),
            )
        )
    columns = sorted({column for section in sections for column in section.cells}, key=lambda column: column.order)
    return Report(
        run=run,
        sections=tuple(sections),
        not_run=tuple(sorted(set(not_run), key=lambda n: (n.what, n.reason))),
        columns=tuple(columns),
    )
