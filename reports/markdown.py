"""The run as GitHub-flavoured Markdown, for a job summary or a pull request: verdict, failures, faults, matrix."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from harness.records import Line
from reports import rollup, text, wording
from reports.departures import known
from reports.evidence import blame, brief, spread
from reports.load import load
from reports.standing import GLYPHS, WORDS, standings
from reports.view import Cell, Report, Section

SAFE = ":/?#@!$&'()*+,;=%~"
"""What an address may hold as it is; a bar would end the table's cell."""


def plain(words: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    return re.sub(r"([\\`*_\[\]<>|~#&])", r"\\\1", re.sub(r"\s+", " ", words))


def linked(words: str) -> str:
    """The same with http addresses as links."""
    parts = text.URL.split(words)
    return "".join(f"<{quote(part, safe=SAFE)}>" if i % 2 else plain(part) for i, part in enumerate(parts)).strip()


def fenced(code: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python\n{code}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """``head`` and ``rows`` hold Markdown already."""
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(f"| {' | '.join(row)} |" for row in rows), ""]


def badge(word: str) -> str:
    return f"{text.GLYPHS.get(word, '?')} {word}"


def measured(accuracy: rollup.Accuracy | None) -> str:
    if accuracy is None:
        return text.ABSENT
    beside = text.outside(accuracy)
    said = f"{text.finite(accuracy)} {text.most(accuracy)}" if accuracy.finite else text.finite(accuracy)
    return f"{said}, beside it {beside}" if beside else said


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "not run"
    verdict, words = wording.cell_verdict(cell)
    parts = [f"{text.GLYPHS.get(verdict, '?')} {words}"] if verdict else []
    if verdict not in ("fault", "deviation") and (listed := wording.ledger(cell)):
        parts.append(listed)
    if cell.value or cell.gradient:
        parts += [f"value {measured(cell.value)}", f"grad {measured(cell.gradient)}"]
    return "<br>".join(parts)


def _loss(section: Section) -> str:
    caveat = [section.declaration.caveat] if section.declaration and section.declaration.caveat else []
    return "<br>".join(plain(words) for words in (section.subject, *map(wording.twin_line, section.twins), *caveat))


def _failures(report: Report) -> list[str]:
    rows, codes = [], []
    for section in report.sections:
        unexplained, groups = blame(section.every_trial, strict=report.strict)
        name = plain(section.subject)
        for first, *others in unexplained:
            more = f" and {text.plural(len(others), 'more trial')}" if others else ""
            rows.append([badge(first.verdict), name, plain(wording.place(first) + more), plain(brief(first.reason))])
        for group in groups:
            what = " · ".join(filter(None, [group.kind, wording.output(group.output)]))
            trial, finding = group.seen[0]
            where = f"{what}, {wording.extent(group.widest)}, {spread(group.columns, section.cells)}"
            rows.append([badge(group.severity), name, plain(where), plain(wording.gist(finding, trial.subject))])
            codes.append((f"{section.subject}: {what}", text.reproduction(finding)))
    if not rows:
        return []
    folded = [
        f"<details><summary>{html.escape(name)}</summary>\n\n{fenced(code)}\n\n</details>\n"
        for name, code in codes
        if code
    ]
    return ["## Failures", "", *table(["verdict", "loss", "where", "what"], rows), *folded]


def _departures(report: Report) -> list[str]:
    rows = []
    for one in known(report, "fault") + known(report, "deviation"):
        places = plain(", ".join(column.label for column in one.columns))
        excused = plain(wording.excuses(one)) or text.ABSENT
        entry = one.entry
        words = [", ".join(section.subject for section in one.sections), one.name, entry.region, entry.seen]
        described = [plain(word) or text.ABSENT for word in words]
        rows.append([badge(one.kind), *described, places, excused, linked(entry.source) or text.ABSENT])
    head = ["kind", "loss", "departure", "where", "what is seen", "seen in", "share of the sweep excused", "source"]
    return ["## Faults and deviations", "", *table(head, rows)] if rows else []


def render(lines: Iterable[Line]) -> str:
    """The whole page."""
    report = load(lines)
    parts = [f"**{plain(text.sentence(report))}**", ""]
    if words := text.strict_sentence(report):
        parts += [plain(words), ""]
    for word, standing in standings(report):
        said = (f"{one.section.subject} ({one.why})" if one.why else one.section.subject for one in standing)
        parts += [f"- {GLYPHS[word]} **{WORDS[word]}:** {plain(', '.join(said))}"]
    parts += ["", plain(", ".join(f"{name} {words}" for name, words in text.circumstances(report.run))), ""]
    parts += [*_failures(report), *_departures(report)]
    if report.sections:
        rows = [
            [_loss(section), *(_cell(section.cells.get(column)) for column in report.columns)]
            for section in report.sections
        ]
        parts += ["## Matrix", "", *table(["loss", *(plain(c.label) for c in report.columns)], rows)]
    not_run = [[plain(item.what), plain(item.reason)] for item in report.not_run]
    if report.missing:
        not_run.append([text.plural(report.missing, "planned trial"), "no record: the run was cut short"])
    if not_run:
        parts += ["## Not run", "", *table(["what", "why"], not_run)]
    return "\n".join(parts).rstrip("\n") + "\n"
