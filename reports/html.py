"""The stability report: one offline HTML file, answer first, complete with scripts blocked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.records import Line, Survey
from reports import plot, rollup, text, wording
from reports.evidence import blame, brief, spread
from reports.load import load
from reports.standing import GLYPHS, VERDICTS, WORDS, standings
from reports.view import Report, Section

ISSUE = re.compile(r"^https://github\.com/([^/]+/[^/]+)/(?:issues|pull)/(\d+)$")
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


def cell_order(tally: rollup.Tally, accuracies: Sequence[rollup.Accuracy | None]) -> str:
    """Sort key of a matrix cell: worst verdict, then worst grade, then largest error; text that sorts as it reads."""
    known = [a for a in accuracies if a is not None]
    grade = rollup.rank(rollup.GRADES, rollup.worst(rollup.GRADES, (a.grade for a in known))) if known else 9
    size = max((a.worst_ulp for a in known), default=0.0)
    return f"{rollup.rank(rollup.VERDICTS, tally.worst) + 1}{grade + 1}{1e300 / (1.0 + size):.6e}"


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
        "cell_verdict": wording.cell_verdict,
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
        "cell_order": cell_order,
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
            style=asset("style.css"),
            script=asset("script.js"),
        )
    )


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write the page, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(lines), encoding="utf-8", newline="\n")
