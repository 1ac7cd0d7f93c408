"""The terminal: the answer first, then what is wrong, then evidence. Words and glyphs carry it; colour only helps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.records import Line
from reports import refusals, rollup, text, wording
from reports.departures import Departure, departures, known
from reports.evidence import Group, blame, brief, spread
from reports.load import load
from reports.standing import GLYPHS, VERDICTS, WORDS, standings
from reports.view import Cell, Report, Section

WIDE = 108
"""Columns from which the matrix has room for the errors."""
STYLES = {
    "error": "bold magenta",
    "fail": "bold red",
    "stale": "bold magenta",
    "fault": "yellow",
    "deviation": "cyan",
    "unsupported": "dim",
    "pass": "green",
    "defect": "bold red",
    "weakness": "yellow",
    "note": "dim",
    "unstable": "bold red",
    "absolute-only": "yellow",
}


NOTE, LINE = 240, 120
"""Letters of a note, and of a message in the index; the records and the page have all of it."""


def shortened(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def badge(word: str, words: str = "") -> Text:
    return Text(f"{text.GLYPHS.get(word, '?')} {words or word}", style=STYLES.get(word, "bold red"))


def say(console: Console, *parts: str | Text, indent: int = 0, hang: int = 0, style: str = "") -> None:
    """Print text as it is, wrapped with a hanging indent; a message with brackets is not markup."""
    line = Text.assemble(*parts, style=style)
    # Wrapped here: a console that soft-wraps would not, and a padded line would end in blanks.
    for number, row in enumerate(line.wrap(console, max(console.width - indent - hang, 20))):
        row.rstrip()
        blank = " " * (indent + (hang if number else 0))
        console.print(Text.assemble(blank, row), soft_wrap=True, highlight=False)


def code(console: Console, lines: str, indent: int) -> None:
    for line in lines.splitlines():
        # Never wrapped: what is copied has to run.
        console.print(Text(" " * indent + line), soft_wrap=True, highlight=False)


def grid(console: Console, rows: Iterable[Sequence[str | Text]], indent: int, head: Sequence[str] = ()) -> None:
    """A plain table; the last column takes what is left and wraps."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_header=bool(head), pad_edge=False)
    rows = list(rows)
    for number in range(len(head or (rows[0] if rows else ()))):
        last = number == len(head or rows[0]) - 1
        table.add_column(head[number] if head else "", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    if rows:
        with console.capture() as capture:
            console.print(table, width=console.width - indent, soft_wrap=False, highlight=False)
        for line in Text.from_ansi(capture.get()).split("\n"):
            line.rstrip()
            console.print(Text.assemble(" " * indent, line), soft_wrap=True, highlight=False)


def headline(report: Report, console: Console) -> None:
    bad = report.tally.failing or report.missing or not report.tally.total
    say(console, text.sentence(report), style="bold red" if bad else "bold")
    if words := text.strict_sentence(report):
        say(console, words, style="yellow")


def circumstances(report: Report, console: Console) -> None:
    line = ", ".join(f"{name} {words}" for name, words in text.circumstances(report.run) if name != "strict")
    say(console, line, style="dim")


def index(console: Console, groups: Iterable[Group], section: Section, indent: int = 0) -> None:
    """What is wrong, one line each, the heaviest first: how much of what is judged, where, and the simplest input."""
    rows: list[Sequence[str | Text]] = [
        [
            badge(group.severity, group.kind),
            wording.output(group.output),
            Text(wording.extent(group.widest), justify="right"),
            Text(spread(group.columns, section.cells), style="dim"),
            shortened(wording.told(group.seen[0][1], section.subject), LINE),
        ]
        for group in groups
    ]
    grid(console, rows, indent)


def departure(console: Console, one: Departure, section: Section) -> None:
    say(console, badge(one.kind, one.name))
    where = spread(one.columns, section.cells)
    facts = [("where", one.entry.region), ("seen", one.entry.seen), ("outputs", ", ".join(one.outputs))]
    facts += [("in", where), ("excuses", wording.excuses(one)), ("source", one.entry.source)]
    grid(console, [(Text(name, style="dim"), words) for name, words in facts if words], 4)
    code(console, text.reproduction(one.entry), 6)
    console.print()


def also(group: Group) -> str:
    """Where else it was seen: what the survey found by dtype, the rest counted by check."""
    told: list[str] = []
    checks: dict[str, int] = {}
    for trial, found in group.seen[1:]:
        if trial.item or found.total < 1000:
            checks[trial.check] = checks.get(trial.check, 0) + 1
        else:
            size = f" {text.ulp(found.ulp)}," if found.ulp is not None else ""
            told.append(f"{rollup.Column.of(trial).label}{size} {wording.extent(found)}")
    told += [text.plural(count, f"trial of {check}", f"trials of {check}") for check, count in checks.items()]
    return "; ".join(told)


def finding(console: Console, group: Group, section: Section) -> None:
    trial, worst = group.seen[0]
    where = f" · {wording.output(group.output)}" if group.output else ""
    places = Text(spread(group.columns, section.cells), style="dim")
    say(console, badge(group.severity, group.kind), f"{where}  ", places)
    say(console, wording.gist(worst, trial.subject), indent=4)
    rows = text.inputs(worst.case) if worst.case else []
    # The truth is no number of the dtype: it shows all its digits.
    rows += [("got", text.number(worst.got, trial.dtype)), ("want", text.number(worst.want))]
    rows += [("allowed", text.allowance(worst.allowed))]
    grid(console, [(Text(name, style="dim"), words) for name, words in rows if words], 4)
    size = f"{text.ulp(worst.ulp)}; " if worst.ulp is not None else ""
    say(console, f"{size}{wording.counted(worst)} in {wording.trial_id(trial)}", indent=4, style="dim")
    if others := also(group):
        say(console, f"also {others}", indent=4, hang=5, style="dim")
    code(console, text.reproduction(worst), 6)
    console.print()


def notes(console: Console, section: Section) -> None:
    """What is no judgement of the loss, in a line each: what it does beyond its domain, modes that it lacks."""
    for group in (group for group in section.groups if group.severity == "note"):
        trial, first = group.seen[0]
        more = f" (and {text.plural(len(group.seen) - 1, 'more trial')})" if len(group.seen) > 1 else ""
        said = shortened(wording.gist(first, trial.subject), NOTE)
        say(console, f"{text.GLYPHS['note']} note: {said}{more}", hang=2, style="dim")


def refused(console: Console, section: Section) -> None:
    """What is not supported, a message a line, and below it what that covers."""
    for one in refusals.of_loss(section):
        where = ", ".join(column.label for column in one.columns)
        told = f"{where}, {text.plural(one.trials, 'trial')}: {one.reason or 'no reason recorded'}"
        say(console, badge("unsupported"), f" {told}", hang=2, style="dim")
        say(console, "; ".join(one.asked), indent=4, style="dim")


def unexplained(console: Console, section: Section, strict: bool, indent: int = 0) -> None:
    """Failing trials without a finding, alike ones in one line."""
    for trials in blame(section.every_trial, strict=strict)[0]:
        more = f" and {text.plural(len(trials) - 1, 'more trial')}" if len(trials) > 1 else ""
        words = f" {wording.place(trials[0])}{more}: {brief(trials[0].reason)}"
        say(console, badge(trials[0].verdict), words, indent=indent, hang=4)


def caveat(console: Console, section: Section) -> None:
    """What no table of the loss can show."""
    if section.declaration and section.declaration.caveat:
        say(console, section.declaration.caveat, style="yellow")


def grades(console: Console, section: Section) -> None:
    """Accuracy of every output in every dtype, outside the ledger."""
    rows: list[Sequence[str | Text]] = []
    for output, pairs in section.outputs.items():
        rows.append([Text(wording.output(output)), *[""] * 4])
        for survey, tally in pairs:
            a = rollup.Accuracy.of(tally)
            rows.append(
                [
                    f"  {rollup.Column(survey.device, 'eager', survey.dtype).label}",
                    Text(text.finite(a), style=STYLES.get(a.finite, "")),
                    Text(text.error(a) if a.finite else text.ABSENT, justify="right"),
                    Text(text.ratio(a.worst_ratio) if a.finite else text.ABSENT, justify="right"),
                    Text(text.outside(a), style=STYLES["unstable"]),
                ]
            )
    grid(console, rows, 0, ("", "where finite", "ulp", "of bound", "beside it"))
    caveat(console, section)
    if left := wording.left_out(section):
        say(console, left)
    if rows:
        console.print()


def result(lines: Iterable[Line], console: Console) -> None:
    """One loss in full, as ``lossproof validate`` shows it."""
    report = load(lines)
    headline(report, console)
    for section in report.sections:
        console.print()
        if len(report.sections) > 1:
            say(console, section.subject, style="bold underline")
        wrong = [group for group in section.groups if group.severity != "note"]
        if wrong:  # else the table follows at once, and says it
            caveat(console, section)
        unexplained(console, section, report.strict)
        index(console, wrong, section)
        if wrong:
            console.print()
            finding(console, wrong[0], section)
        for one in departures([section]):
            departure(console, one, section)
        grades(console, section)
        for group in wrong[1:]:
            finding(console, group, section)
        notes(console, section)
        if section.shared:
            say(console, f"{text.plural(len(section.shared), 'finding')} that the baseline has too:")
            index(console, section.shared, section, 2)
        if section.declaration and section.declaration.not_offered:
            say(console, "not offered: ", ", ".join(section.declaration.not_offered), style="dim")
        refused(console, section)
    not_run(report, console)
    circumstances(report, console)


def not_run(report: Report, console: Console) -> None:
    for item in report.not_run:
        say(console, f"not run: {item.what}: {item.reason}", style="dim")
    given_up = any(item.what == f"{report.missing} trials" for item in report.not_run)
    if report.missing and not given_up:
        say(console, f"not run: {text.plural(report.missing, 'planned trial')} left no record", style="bold red")


def _measured(word: str, accuracy: rollup.Accuracy | None, wide: bool) -> Text:
    if accuracy is None:
        return Text()
    error = f" {text.error(accuracy)}" if wide and accuracy.finite else ""
    parts = [Text.assemble(word, " ", (text.finite(accuracy), STYLES.get(accuracy.finite, "")), error)]
    beside = [f" {count:,} {kind}" if wide else kind for kind, count in accuracy.ranges.items() if count]
    parts += [Text(words, style=STYLES["unstable"]) for words in beside]
    return Text("\n").join(parts)


def _cell(cell: Cell | None, wide: bool) -> Text:
    if cell is None:
        return Text("not run", style="dim")
    verdict, words = wording.cell_verdict(cell, shares=wide)
    parts = [badge(verdict, words)] if verdict else []
    if verdict not in ("fault", "deviation") and (listed := wording.ledger(cell, shares=wide)):
        parts.append(badge(next(iter(cell.known)), listed))
    parts += [t for t in (_measured("v", cell.value, wide), _measured("g", cell.gradient, wide)) if t]
    return Text("\n").join(parts)


def matrix(report: Report, console: Console) -> None:
    wide = console.width >= WIDE
    table = Table(box=None, padding=(0, 1, 1, 0), header_style="dim", pad_edge=False)
    width = 24 if wide else 16
    table.add_column("loss", max_width=width, overflow="fold")
    for column in report.columns:
        table.add_column(column.label, overflow="fold")
    for section in report.sections:
        name = Text(wording.broken_name(section.subject, width - 1))
        for twin in section.twins:
            word = twin.tally.worst
            glyph = text.GLYPHS.get(word, "?")
            name.append(f"\n{glyph}\N{NO-BREAK SPACE}{twin.subject}", style=STYLES.get(word, "dim"))
        if section.declaration and section.declaration.caveat:
            name.append(f"\n{section.declaration.caveat}", style="yellow")
        table.add_row(name, *(_cell(section.cells.get(column), wide) for column in report.columns))
    more = "" if wide else f"; errors from {WIDE} columns on"
    say(console, f"outside what is listed: v grade of the value, g of the gradients, error in ulp{more}", style="dim")
    if any(section.twins for section in report.sections):
        glyph = text.GLYPHS["pass"]
        say(console, f"under a loss its modules: {glyph} is the same, bit for bit", style="dim")
    with console.capture() as capture:
        console.print(table, width=console.width, soft_wrap=False, highlight=False)
    for line in Text.from_ansi(capture.get().rstrip()).split("\n"):
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)


def summary(lines: Iterable[Line], console: Console) -> None:
    """A whole run: verdict, who can be relied on, failures, faults, matrix."""
    report = load(lines)
    headline(report, console)
    for word, rows in standings(report):
        said = ", ".join(f"{one.section.subject} ({one.why})" if one.why else one.section.subject for one in rows)
        style = STYLES[VERDICTS[word]]
        say(console, Text(f"{GLYPHS[word]} {WORDS[word]}: ", style=style), said, hang=2)
    console.print()
    for section in report.sections:
        if section.whole.failing:
            say(console, section.subject, style="bold")
        unexplained(console, section, report.strict, 2)
        groups = blame(section.every_trial, strict=report.strict)[1]
        index(console, groups, section, 2)
        for group in groups:
            trial, worst = group.seen[0]
            if words := wording.remark(worst, trial.subject):
                say(console, f"{group.kind}: {words}", indent=4, hang=2, style="dim")
    for one in known(report, "fault") + known(report, "deviation"):
        name = Text(", ".join(section.subject for section in one.sections), style="bold")
        say(console, badge(one.kind, one.name), "  ", name, hang=2)
        share = f"{', '.join(one.effects)}, up to {wording.most_excused(one)}" if one.share else ", ".join(one.effects)
        where = spread(one.columns, one.first_section.cells)
        say(console, ", ".join(filter(None, [where, share, one.entry.source])), indent=4, hang=2, style="dim")
    if report.sections:
        console.print()
        matrix(report, console)
    not_run(report, console)
    circumstances(report, console)
