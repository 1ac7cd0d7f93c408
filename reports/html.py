"""The stability report: one offline HTML file, answer first, complete with scripts blocked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.records import Line, Survey
from reports import plot, rollup, text, wording
from reports.departures import Departure, by_weight, departures, known
from reports.evidence import blame, brief, spread
from reports.load import load
from reports.refusals import refusals
from reports.standing import GLYPHS, SLIGHT, VERDICTS, WORDS, standing, standings, trust
from reports.view import Cell, Report, Section

ISSUE = re.compile(r"^https://github\.com/([^/]+/[^/]+)/(?:issues|pull)/(\d+)$")
MANY = 12
"""Losses of one standing that the head of the page names."""
SHOWN = 2
"""Departures that stand beside a loss in the first table."""
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Figure:
    """An error plot with its caption."""

    label: str
    badge: str
    picture: Markup
    caption: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plate:
    """The error plots of one output, one for each dtype, on a common error axis."""

    output: str
    figures: tuple[Figure, ...]


def label(survey: Survey) -> str:
    return rollup.Column(survey.device, "eager", survey.dtype).label


def plates(section: Section) -> list[Plate]:
    """Every curve of a loss, by output."""
    result = []
    for output, measured in section.outputs.items():
        pairs = [(survey, tally) for survey, tally in measured if tally.curve is not None and tally.curve.error]
        if not pairs:
            continue
        top = plot.ceiling(tally.curve for _, tally in pairs if tally.curve)
        figures = []
        for survey, tally in pairs:
            curve, name = tally.curve, f"{wording.output(output)}, {label(survey)}"
            if curve is None:
                continue
            title = f"{section.subject}: error of the {name} over {curve.argument}, in ulp"
            picture = Markup(plot.svg(curve, survey.dtype, title, top))
            figures.append(Figure(name, tally.badge, picture, tuple(plot.caption(curve, survey.dtype))))
        result.append(Plate(wording.output(output), tuple(figures)))
    return result


def linked(words: str) -> Markup:
    """Text in which http addresses are links, to an issue by its number; nothing else becomes markup."""
    parts = text.URL.split(words)
    link = Markup('<a href="{0}" rel="noreferrer">{1}</a>')
    named = (link.format(p, ISSUE.sub(r"\1#\2", p)) if n % 2 else escape(p) for n, p in enumerate(parts))
    return Markup("").join(named)


def breakable(name: str) -> Markup:
    """A name that may break after its dots, colons and underscores."""
    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_.:])", name))


def shares(counts: Mapping[str, int], total: int) -> list[tuple[str, str]]:
    """Grade and its share of the entries, worst first, nothing that did not occur."""
    order = sorted((item for item in counts.items() if item[1]), key=lambda item: rollup.rank(rollup.GRADES, item[0]))
    return [(grade, text.part(count, total)) for grade, count in order]


def trust_order(verdict: str, cell: Cell | None) -> str:
    """Sort key of a cell: the worst verdict, then what is excused most; text that sorts as it reads."""
    order = rollup.rank(rollup.VERDICTS, "fault" if verdict == "weakness" else verdict) + 1 if verdict else 9
    return f"{order}{1.0 - (cell.excused if cell else 0.0):.6f}"


def slight(section: Section, column: rollup.Column) -> bool:
    """Whether a departure is met in corners only."""
    cell = section.cells.get(column)
    return cell is not None and bool(cell.known) and not cell.tally.failing and cell.excused < SLIGHT


def heaviest(told: Iterable[Departure]) -> list[Departure]:
    """Those that are met most, documented or not."""
    return sorted(told, key=lambda one: -one.share)[:SHOWN]


def worded(section: Section) -> list[str]:
    """Laws of the table of special values that are told in words, not as a number of one argument, and hold."""
    rows = [row for table in section.tables if table.title == "special" for row in table.rows]
    return [row.label for row in rows if "=" not in row.label.partition(" -> ")[0] and row.tally.worst == "pass"]


def regions(one: Departure) -> list[str]:
    """Where it is seen: its region in every wording that its entries have."""
    return list(dict.fromkeys(part.entry.region for _, part in one.parts if part.entry.region))


def sightings(one: Departure) -> list[str]:
    """What is seen, likewise."""
    return list(dict.fromkeys(part.entry.seen for _, part in one.parts if part.entry.seen))


def state(report: Report) -> str:
    """fail, cut, or pass: what the headline, the icon and the page's edge show."""
    if report.tally.failing:
        return "fail"
    return "cut" if report.missing or not report.tally.total else "pass"


@cache
def environment() -> Environment:
    """Templates with autoescape on; an undefined name is an error, not a hole in the page."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "number": text.number,
        "ulp": text.ulp,
        "ratio": text.ratio,
        "most": text.most,
        "inputs": text.inputs,
        "allowance": text.allowance,
        "breakable": breakable,
        "excuses": wording.excuses,
        "error": text.error,
        "linked": linked,
        "output_name": wording.output,
    }
    made.globals |= {
        "GLYPHS": text.GLYPHS,
        "STANDING": {word: (GLYPHS[word], WORDS[word], VERDICTS[word]) for word in WORDS},
        "MANY": MANY,
        "SHOWN": SHOWN,
        "by_weight": by_weight,
        "departures": departures,
        "refusals": refusals,
        "regions": regions,
        "sightings": sightings,
        "standing": standing,
        "heaviest": heaviest,
        "slight": slight,
        "worded": worded,
        "trust": trust,
        "trust_order": trust_order,
        "cell_verdict": wording.cell_verdict,
        "example": wording.example,
        "extent": wording.extent,
        "finite": text.finite,
        "gist": wording.gist,
        "ledger": wording.ledger,
        "most_excused": wording.most_excused,
        "outside": text.outside,
        "remark": wording.remark,
        "share": text.share,
        "spread": spread,
        "swept": wording.swept,
        "standings": standings,
        "trial_id": wording.trial_id,
        "twin_line": wording.twin_line,
        "fails": rollup.fails,
        "blame": blame,
        "brief": brief,
        "accuracy": rollup.Accuracy.of,
        "label": label,
        "plates": plates,
        "place": wording.place,
        "plural": text.plural,
        "reproduction": text.reproduction,
        "shares": shares,
    }
    return made


def asset(name: str) -> Markup:
    """A style sheet or script of ours, to stand inside the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def render(lines: Iterable[Line]) -> str:
    """The whole page."""
    report = load(lines)
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            state=state(report),
            sentence=text.sentence(report),
            strict_sentence=text.strict_sentence(report),
            circumstances=text.circumstances(report.run),
            failing=[s for s in report.sections if s.tally.failing],
            faults=known(report, "fault"),
            deviations=known(report, "deviation"),
            unseen=known(report, "fault", seen=False),
            style=asset("style.css"),
            script=asset("script.js"),
        )
    )


def framed(lines: Iterable[Line]) -> str:
    """The whole page in a frame of its own: its styles must not reach the notebook around it."""
    return (
        f'<iframe title="stability report" srcdoc="{escape(render(lines))}" '
        'style="width: 100%; height: 48rem; border: 0"></iframe>'
    )


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write the page, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(lines), encoding="utf-8", newline="\n")
