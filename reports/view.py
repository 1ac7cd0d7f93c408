"""The frozen view of one run: losses, their tables, what is known of them and what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.records import Declaration, LedgerEntry, NotRun, OutputTally, Run, Survey, Trial
from reports.evidence import Group, brief, group
from reports.rollup import SEVERITIES, VERDICTS, Accuracy, Column, Tally, fails, rank, worst

OUTPUT = re.compile(r"(the )?(value|loss|gradients?|(probability )?gradient|gradient of .+)")
"""How the end of a name speaks of outputs in general."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One loss in one dtype on one device."""

    column: Column
    tally: Tally
    value: Accuracy | None
    gradient: Accuracy | None
    known: Mapping[str, int]
    """Faults and Deviations that were seen here, by kind."""

    @property
    def excused(self) -> float:
        """Share of the measured entries that a Fault, a Deviation or the baseline explains."""
        parts = [part for part in (self.value, self.gradient) if part is not None]
        entries = sum(part.entries for part in parts)
        return sum(part.excused for part in parts) / entries if entries else 0.0


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
        """What is wrong, the names of what is excused and reasons, each once."""
        said: list[str] = []
        for trial in self.all():
            found = sorted(trial.findings, key=lambda finding: rank(SEVERITIES, finding.severity))
            said += [f"{finding.kind} {finding.output}".strip() for finding in found]
            said += [*trial.excused, brief(trial.reason)]
        return [text for text in dict.fromkeys(said) if text]


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
class Known:
    """A Deviation or a Fault of one loss, with what this run saw of it."""

    section: str
    """Anchor of the loss."""
    anchor: str
    subject: str
    origin: str
    entry: LedgerEntry
    trials: tuple[Trial, ...]
    shares: Mapping[Column, float]
    """Share of the swept entries that it excuses, by dtype."""

    @property
    def name(self) -> str:
        """Its name without the output that it is told of, where one departure is declared output by output."""
        stem, _, last = self.entry.name.rpartition(": ")
        return stem if stem and (last in self.entry.outputs or OUTPUT.fullmatch(last)) else self.entry.name

    @property
    def key(self) -> str:
        """The same for what is told alike of several outputs: names of outputs do not count."""
        outputs = "|".join(map(re.escape, self.entry.outputs))
        return re.sub(rf"\b({outputs})\b", "\N{HORIZONTAL ELLIPSIS}", self.name) if outputs else self.name

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
    twins: tuple[Section, ...] = ()
    """Modules whose only trial is that they agree with this loss bit for bit."""

    @property
    def family(self) -> str:
        """What its variants share: the page of torch that documents them; for other losses the contract."""
        d = self.declaration
        return d.sources[0].partition(",")[0] if d and d.origin == "torch" and d.sources else self.contract

    @property
    def tally(self) -> Tally:
        return Tally.of(self.trials)

    @property
    def every_trial(self) -> tuple[Trial, ...]:
        """Those of its modules included."""
        return tuple(trial for one in (self, *self.twins) for trial in one.trials)

    @property
    def whole(self) -> Tally:
        """With its modules."""
        return Tally.of(self.every_trial)

    @property
    def outputs(self) -> dict[str, list[tuple[Survey, OutputTally]]]:
        """What was measured, by output, then by dtype."""
        found: dict[str, list[tuple[Survey, OutputTally]]] = {}
        for survey in self.surveys:
            for tally in survey.outputs:
                found.setdefault(tally.output, []).append((survey, tally))
        return found

    @property
    def weaknesses(self) -> bool:
        return any(finding.severity == "weakness" for trial in self.trials for finding in trial.findings)

    @property
    def groups(self) -> tuple[Group, ...]:
        return group(self.every_trial)

    @property
    def shared(self) -> tuple[Group, ...]:
        return group(self.every_trial, shared=True)

    @property
    def strict_only(self) -> tuple[Trial, ...]:
        """Trials that only ``strict`` would fail: a weakness and no failure."""
        return tuple(
            t for t in self.trials if not fails(t.verdict) and any(f.severity == "weakness" for f in t.findings)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. Sections in order of contract, then subject."""

    run: Run | None
    sections: tuple[Section, ...]
    not_run: tuple[NotRun, ...]
    columns: tuple[Column, ...]

    @property
    def everything(self) -> tuple[Section, ...]:
        """Losses, each followed by its modules."""
        return tuple(one for section in self.sections for one in (section, *section.twins))

    @property
    def tally(self) -> Tally:
        return sum((section.tally for section in self.everything), Tally())

    @property
    def strict(self) -> bool:
        return self.run is not None and self.run.strict

    @property
    def missing(self) -> int:
        """Planned trials that left no record: the run was cut short."""
        return max(self.run.planned - self.tally.total, 0) if self.run else 0
