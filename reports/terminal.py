"""The terminal: verdict first, then what is wrong, then the grades. Words and glyphs carry it; colour only helps."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.records import Line
from reports import rollup, text
from reports.load import Cell, Group, Known, Report, Section, blame, brief, load

ALSO = 4
"""Further occurrences of a finding that are named; the HTML report has them all."""
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


def badge(word: str, count: int | None = None) -> Text:
    amount = "" if count is None else f"{count:,} "
    return Text(f"{text.GLYPHS.get(word, '?')} {amount}{word}", style=STYLES.get(word, "bold red"))


def say(console: Console, *parts: str | Text, indent: int = 0, style: str = "") -> None:
    """Print text as it is: a message with brackets is not markup, and code is never re-wrapped."""
    line = Text.assemble(*parts, style=style)
    # Wrapped even on a console that soft-wraps: inside a padding rich would crop there.
    console.print(Padding(line, (0, 0, 0, indent), expand=False), highlight=False, soft_wrap=False)


def code(console: Console, lines: str, indent: int) -> None:
    for line in lines.splitlines():
        # Not padded and not wrapped: what is copied has to run.
        console.print(Text(" " * indent + line), soft_wrap=True, highlight=False)


def headline(report: Report, console: Console) -> None:
    bad = report.tally.failing or report.missing or not report.tally.total
    say(console, text.sentence(report), style="bold red" if bad else "bold")
    if words := text.strict_sentence(report):
        say(console, words, style="yellow")
    line = ", ".join(f"{name} {words}" for name, words in text.circumstances(report.run) if name != "strict")
    say(console, line, style="dim")


def grade(accuracy: rollup.Accuracy | None) -> Text:
    if accuracy is None or not accuracy.grade:
        return Text(text.ABSENT if accuracy is None else "all excused", style="dim")
    return Text.assemble((accuracy.grade, STYLES.get(accuracy.grade, "")), f" {text.most(accuracy)}")


def known(console: Console, item: Known) -> None:
    say(console, badge(item.entry.kind), f" {item.subject}: {item.entry.name}")
    if item.entry.region:
        say(console, "where ", item.entry.region, indent=4)
    if item.entry.seen:
        say(console, "seen  ", item.entry.seen, indent=4)
    if item.columns:
        say(console, "in    ", ", ".join(column.label for column in item.columns), indent=4)
    if words := text.excuses(item):
        say(console, "excuses ", words, " of the sweep", indent=4)
    if item.entry.source:
        say(console, "source ", item.entry.source, indent=4, style="dim")


def headed(console: Console, group: Group) -> None:
    where = f" · {text.output(group.output)}" if group.output else ""
    say(console, badge(group.severity), f" {group.kind}{where}  ", Text(", ".join(group.columns), style="dim"))


def finding(console: Console, group: Group, subject: str) -> None:
    trial, worst = group.seen[0]
    headed(console, group)
    say(console, worst.message, indent=4)
    rows = text.inputs(worst.case) if worst.case else []
    # The truth is no number of the dtype: it shows all its digits.
    rows += [("got", text.number(worst.got, trial.dtype)), ("want", text.number(worst.want))]
    rows += [("allowed", text.allowance(worst.allowed))]
    rows = [(name, words) for name, words in rows if words]
    table = Table.grid(padding=(0, 2))
    for name, words in rows:
        table.add_row(Text(name, style="dim"), Text(words))
    if rows:
        console.print(Padding(table, (0, 0, 0, 4), expand=False), highlight=False, soft_wrap=False)
    size = f"{text.ulp(worst.ulp)}, " if worst.ulp is not None else ""
    say(
        console,
        f"{size}{worst.count:,} of {text.plural(worst.total, 'case')}, {text.place(trial)}, {trial.id}",
        indent=4,
        style="dim",
    )
    code(console, text.reproduction(worst), 6)
    for other, evidence in group.seen[1 : 1 + ALSO]:
        size = f", {text.ulp(evidence.ulp)}" if evidence.ulp is not None else ""
        say(console, f"also {text.place(other)}{size}, {evidence.count:,} of {evidence.total:,}", indent=4, style="dim")
    if (more := len(group.seen) - 1 - ALSO) > 0:
        say(console, f"also {text.plural(more, 'more trial')}", indent=4, style="dim")
    console.print()


def unexplained(console: Console, section: Section, strict: bool) -> None:
    """Failing trials without a finding, alike ones in one line."""
    for trials in blame(section, strict=strict)[0]:
        more = f" and {text.plural(len(trials) - 1, 'more trial')}" if len(trials) > 1 else ""
        say(console, badge(trials[0].verdict), f" {text.place(trials[0])}{more}: {brief(trials[0].reason)}")


def grades(console: Console, section: Section) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("output", "dtype", "grade", "worst error", "of bound", "maximum"):
        table.add_column(name, justify="right" if name in ("worst error", "of bound") else "left", no_wrap=True)
    ranges = []
    for survey in section.surveys:
        place = rollup.Column(survey.device, "eager", survey.dtype).label
        for tally in survey.outputs:
            a = rollup.Accuracy.of(tally)
            table.add_row(
                Text(text.output(tally.output)),
                place,
                Text(a.grade or "all excused", style=STYLES.get(a.grade, "")),
                text.most(a) if a.grade else text.ABSENT,
                text.ratio(a.worst_ratio) if a.grade else text.ABSENT,
                a.badge,
            )
            if found := ", ".join(f"{kind} {count:,}" for kind, count in a.ranges.items() if count):
                ranges.append(
                    f"{text.output(tally.output)}, {place}: {found} of {text.plural(a.entries, 'entry', 'entries')}"
                )
    if table.row_count:
        console.print(table, highlight=False, soft_wrap=False)
    for line in ranges:
        say(console, "range ", line, style="dim")
    console.print()


def result(lines: Iterable[Line], console: Console) -> None:
    """One loss in full, as ``lossproof validate`` shows it."""
    report = load(lines)
    headline(report, console)
    console.print()
    for section in report.sections:
        if len(report.sections) > 1:
            say(console, section.subject, style="bold underline")
        unexplained(console, section, report.strict)
        for group in section.groups:
            finding(console, group, section.subject)
        for item in section.known:
            if item.seen:
                known(console, item)
        grades(console, section)
        if section.shared:
            say(console, f"{text.plural(len(section.shared), 'finding')} that the baseline has too are set apart.")
        if section.declaration and section.declaration.not_offered:
            say(console, "not offered: ", ", ".join(section.declaration.not_offered), style="dim")
        for trial in section.trials:
            if trial.verdict == "unsupported":
                say(console, badge("unsupported"), f" {text.place(trial)}: {trial.reason}", style="dim")
    not_run(report, console)


def not_run(report: Report, console: Console) -> None:
    for item in report.not_run:
        say(console, f"not run: {item.what}: {item.reason}", style="dim")
    if report.missing:
        say(console, f"not run: {text.plural(report.missing, 'planned trial')} left no record", style="bold red")


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("not run", style="dim")
    parts = [badge(cell.tally.worst)] if cell.tally.worst else []
    parts += [grade(cell.value), grade(cell.gradient)] if cell.value or cell.gradient else []
    return Text("\n").join(parts)


def summary(lines: Iterable[Line], console: Console) -> None:
    """A whole run: verdict, failures, faults, matrix."""
    report = load(lines)
    headline(report, console)
    console.print()
    for section in report.sections:
        if section.tally.failing:
            say(console, section.subject, style="bold")
        unexplained(console, section, report.strict)
        for group in blame(section, strict=report.strict)[1]:
            headed(console, group)
            say(console, group.seen[0][1].message, indent=4)
    for item in report.known("fault"):
        known(console, item)
    table = Table(box=None, padding=(0, 2, 1, 0), header_style="dim")
    for name in ("loss", *(column.label for column in report.columns)):
        table.add_column(name)
    for section in report.sections:
        table.add_row(Text(section.subject), *(_cell(section.cells.get(column)) for column in report.columns))
    if report.sections:
        console.print(Text("verdict, grade of the value, worst grade of the gradients", style="dim"))
        console.print(table, highlight=False, soft_wrap=False)
    not_run(report, console)
