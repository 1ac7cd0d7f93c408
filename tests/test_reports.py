"""Reports: what they must say, what they must never do, and the golden page."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.records import Line, Run, Trial, decode, encode
from reports import departures, html, load, markdown, terminal, text, wording
from reports.standing import standings
from tests.sample_records import RUN, WRITTEN, clamped, logits, naive, sample, sound, trial

GOLDEN = Path(__file__).parent / "golden" / "report.html"
UPDATE = "LOSSPROOF_UPDATE_GOLDEN"


def printed(lines: list[Line], *, whole: bool = False, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    (terminal.summary if whole else terminal.result)(lines, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@dataclass
class Page:
    """What a parser sees of a page."""

    tags: list[tuple[str, dict[str, str | None]]]
    open: list[str]


def parsed(page: str) -> Page:
    seen = Page([], [])
    void = {"meta", "link", "br", "wbr", "input"}

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.tags.append((tag, dict(attrs)))
            if tag not in void:
                seen.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.tags.append((tag, dict(attrs)))

        def handle_endtag(self, tag: str) -> None:
            assert seen.open.pop() == tag, f"</{tag}> closes something else at {self.getpos()}"

    Parser().feed(page)
    return seen


def test_golden_report() -> None:
    page = html.render(sample())
    if os.environ.get(UPDATE):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(page, encoding="utf-8", newline="\n")
    assert page == GOLDEN.read_text(encoding="utf-8"), f"the page changed: look at it, then run with {UPDATE}=1"


def test_order_of_the_records_changes_nothing() -> None:
    assert html.render(reversed(sample())) == html.render(sample())
    assert markdown.render(reversed(sample())) == markdown.render(sample())


def test_records_that_went_through_a_file_give_the_same_page() -> None:
    assert html.render(decode(encode(line)) for line in sample()) == html.render(sample())


def test_page_is_well_formed_offline_and_linked() -> None:
    page = html.render(sample())
    seen = parsed(page)
    assert not seen.open
    ids = [a["id"] for _, a in seen.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in seen.tags:
        assert "src" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
        href = attributes.get("href") or ""
        if tag == "link":
            assert href.startswith("data:")
        if href.startswith("#"):
            assert href[1:] in ids
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) == {"#hatch"}


def test_text_of_the_records_is_never_markup() -> None:
    page, words = html.render(sample()), markdown.render(sample())
    assert "<b>," not in page
    assert "&lt;b&gt;," in page
    assert r"\<b\>" in words
    assert "[bold]near 0[/bold]" in printed(sample())
    assert 'href="https://example.org/issues/1?a=1&amp;b=2"' in page


@pytest.mark.parametrize("render", [html.render, markdown.render, printed], ids=["html", "markdown", "terminal"])
def test_every_report_says_the_verdict_and_the_worst_input(render: object) -> None:
    assert callable(render)
    page = " ".join(str(render(sample())).split()).replace("\\", "")
    assert text.verdict_sentence(sample()) in page
    assert "88.72283172607422" in page


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        ([], "No trial was run: nothing is known."),
        ([RUN], "No trial was run: nothing is known."),
        ([*sound()], "F.mse_loss with 1 module, 15 trials: no failure."),
        ([RUN, *sound()], "F.mse_loss with 1 module, 15 trials of 30 planned (cut short): no failure so far."),
        (
            [*logits(), *clamped()],
            "2 losses, 11 trials: no failure; 1 known fault in 1 loss, 1 deviation in 1 loss, 1 trial unsupported.",
        ),
        (
            sample(),
            (
                "4 losses with 1 module, 30 trials: 1 failure, 1 error of the harness in 1 loss; "
                "1 known fault of torch 2.13.0 in 1 loss, 1 deviation in 1 loss, 1 trial unsupported."
            ),
        ),
        ([trial("x", "laws", "float32", "stale")], "x, 1 trial: 1 stale fault."),
        ([trial("x", "laws", "float32", "purple")], "x, 1 trial: 1 unknown verdict."),
    ],
)
def test_verdict_sentence(lines: list[Line], want: str) -> None:
    assert text.verdict_sentence(lines) == want


def test_a_run_cut_short_never_looks_clean() -> None:
    assert html.state(load.load([RUN, *sound()])) == "cut"
    assert "left no record" in html.render([RUN, *sound()])
    assert "left no record" in printed([RUN, *sound()])


def test_strict_is_said_only_where_it_would_change_something() -> None:
    assert text.strict_sentence(load.load(sample())) == (
        "strict would also fail 1 trial for their weaknesses (absolute-only)."
    )
    strict = msgspec.structs.replace(RUN, strict=True)
    assert text.strict_sentence(load.load([strict, *naive()])) == ""
    assert text.strict_sentence(load.load([RUN, *sound()])) == ""


def test_a_fault_whose_region_is_swept_but_that_no_trial_saw_is_not_seen() -> None:
    lines = [line for line in logits() if not (isinstance(line, Trial) and line.excused)]
    report = load.load(lines)
    assert departures.known(report, "fault") == []
    assert len(departures.known(report, "fault", seen=False)) == 2
    assert "None was seen." in html.render(lines)


def test_two_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one run, got two"):
        load.load([RUN, RUN])


@pytest.mark.parametrize("render", [html.render, markdown.render, printed], ids=["html", "markdown", "terminal"])
def test_reproductions_stand_as_the_engine_wrote_them(render: Callable[[list[Line]], str]) -> None:
    page = unescape(render(sample()))
    for line in WRITTEN.splitlines():
        assert line in page


def test_a_module_is_one_line_under_its_functional_form() -> None:
    report = load.load(sample())
    assert [section.subject for section in report.sections if "MSE" in section.subject] == []
    page = html.render(sample())
    assert page.count('id="loss-nn-mseloss"') == 1
    assert "nn.MSELoss: the same, bit for bit" in page
    assert "\n✓\N{NO-BREAK SPACE}nn.MSELoss " in printed(sample(), whole=True)
    differs = [trial("nn.MSELoss", "twin", "float16", "fail", "reduction=sum", contract="mse_loss"), *sample()]
    assert load.load(differs).tally["fail"] == load.load(sample()).tally["fail"] + 1
    assert "nn.MSELoss: 1 of 4 fail" in html.render(differs)
    assert {one.word for _, rows in standings(load.load([RUN, *sound(), differs[0]])) for one in rows} == {"breaks"}


def test_a_module_alone_is_a_section_of_its_own() -> None:
    alone = [line for line in sound() if getattr(line, "subject", "") == "nn.MSELoss"]
    assert [section.subject for section in load.load(alone).sections] == ["nn.MSELoss"]


def test_every_loss_has_one_standing() -> None:
    found = {one.section.subject: word for word, rows in standings(load.load(sample())) for one in rows}
    assert found == {
        "my_pkg.losses:focal": "breaks",
        "binary_cross_entropy_with_logits": "departs",
        "binary_cross_entropy": "departs",
        "F.mse_loss": "sound",
    }
    weak = [line for line in naive() if isinstance(line, Trial) and line.verdict == "pass"]
    assert standings(load.load([RUN, *weak]))[0][0] == "weak"


def test_a_cell_shows_the_grade_and_what_the_ledger_excuses() -> None:
    report = load.load(logits())
    cell = next(cell for column, cell in report.sections[0].cells.items() if column.dtype == "float32")
    assert wording.cell_verdict(cell) == ("fault", "1 fault")
    page = markdown.render(logits())
    assert "▲ 1 fault<br>value mixed-stable ≥ 4.38 ulp<br>grad few-ulp ≥ 0.5 ulp" in page


def test_write_creates_the_folder(tmp_path: Path) -> None:
    html.write(tmp_path / "a" / "report.html", sample())
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == html.render(sample())


def test_terminal_puts_the_verdict_first_and_keeps_code_whole() -> None:
    page = printed(sample(), width=60)
    assert page.startswith("4 losses with 1 module")
    for line in WRITTEN.splitlines():
        assert f"      {line}\n" in page
    whole = printed(sample(), whole=True)
    assert whole.index("confident rows lose every digit") < whole.index("grade of the value")


@pytest.mark.parametrize(
    ("show", "want"),
    [(terminal.result, "expected a finite number <b>, got inf"), (terminal.summary, "overflow value 12 of 90 float32")],
)
@pytest.mark.parametrize("soft_wrap", [False, True])
def test_terminal_crops_nothing(show: Callable[[list[Line], Console], None], want: str, soft_wrap: bool) -> None:
    console = Console(file=io.StringIO(), width=80, soft_wrap=soft_wrap, color_system=None)
    show(sample(), console)
    assert isinstance(console.file, io.StringIO)
    page = " ".join(console.file.getvalue().split())
    assert text.verdict_sentence(sample()) in page
    assert want in page


def test_an_unknown_run_is_said_to_be_unknown() -> None:
    assert not any(isinstance(line, Run) for line in sound())
    assert "not recorded" in html.render(sound())
    assert "Everything that was planned was run." not in html.render(sound())


@pytest.mark.parametrize("lines", [[], [RUN]], ids=["no records", "a run without trials"])
def test_nothing_run_never_looks_clean(lines: list[Line]) -> None:
    page = html.render(lines)
    assert html.state(load.load(lines)) == "cut"
    assert "nothing is known" in page
    assert "Everything that was planned was run." not in page
    assert "nothing is known" in markdown.render(lines)
    assert "nothing is known" in printed(lines)


def test_errors_alike_are_told_once_with_the_exception() -> None:
    reason = 'Traceback (most recent call last):\n  File "x.py"\nNameError: nothing of that name\n'
    lines: list[Line] = [trial("x", "laws", "float32", "error", f"law {n}", reason=reason) for n in range(9)]
    for page in (printed(lines), printed(lines, whole=True), markdown.render(lines)):
        assert page.count("NameError: nothing of that name") == 1
        assert "and 8 more trials" in page
        assert "Traceback" not in page
    assert "Traceback" in html.render(lines)


def test_a_fault_is_told_with_its_reproduction_and_before_the_grades() -> None:
    page = printed(list(logits()))
    assert page.index("print(torch.tensor(0.0))") < page.index("where finite")
    assert unescape(html.render(logits())).count("print(torch.tensor(0.0))") == 3


def test_what_is_wrong_comes_with_an_input_in_the_first_lines() -> None:
    page = printed(list(naive()))
    assert re.search(r"overflow +value +12 of 90 +float32 +input=88.7228317, target=0", page)
    assert page.index("88.72283172607422 (") < page.index("where finite")
    assert page.index("absolute-only · gradient in input") < page.index("note: nan at infinite logits")
