"""Reports: what they must say, what they must never do, and the golden page."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.records import Line, Run, TensorData, Trial, decode, encode
from reports import html, load, markdown, plot, rollup, terminal, text
from tests.sample_records import RUN, case, clamped, curve, float32, logits, naive, sample, sound, tally, trial

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
    assert "88.7228317" in page
    assert "0x1.62e42e" in page


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        ([], "No trial was run: nothing is known."),
        ([RUN], "No trial was run: nothing is known."),
        ([*sound()], "mse_loss, 12 trials: no failure."),
        ([RUN, *sound()], "mse_loss, 12 trials of 27 planned (cut short): no failure so far."),
        (
            [*logits(), *clamped()],
            "2 losses, 11 trials: no failure; 1 known fault, 1 deviation, 1 unsupported.",
        ),
        (
            sample(),
            (
                "4 losses, 27 trials: 1 failure, 1 error of the harness; "
                "1 known fault with torch 2.13.0, 1 deviation, 1 unsupported."
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
    assert report.known("fault") == []
    assert len(report.known("fault", seen=False)) == 2
    assert "None was seen." in html.render(lines)


def test_two_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one run, got two"):
        load.load([RUN, RUN])


@pytest.mark.parametrize(
    ("fraction", "want"),
    [(0.0, "0 %"), (1e-9, "<0.1 %"), (0.2496, "25.0 %"), (0.9996, ">99.9 %"), (1 - 1e-16, ">99.9 %"), (1.0, "100 %")],
)
def test_share_is_0_or_100_only_when_truly_so(fraction: float, want: str) -> None:
    assert text.share(fraction) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, "0"),
        (1e-9, "1.0e-9"),
        (0.5, "0.5"),
        (0.9999, "1"),
        (123.4, "123"),
        (4123.25, "4,120"),
        (99_999.0, "1.0e5"),
        (1.7e7, "1.7e7"),
        (math.inf, "inf"),
    ],
)
def test_figure(value: float, want: str) -> None:
    assert text.figure(value) == want


def test_a_ratio_beside_1_is_not_1() -> None:
    assert [text.ratio(r) for r in (0.9999, 1.0, 1.0001)] == ["just under 1", "1", "just over 1"]


@pytest.mark.parametrize(
    ("words", "dtype", "want"),
    [
        ((0.1).hex(), "float64", "0.1 (0x1.999999999999ap-4)"),
        ((0.10000000149011612).hex(), "float32", "0.100000001 (0x1.99999ap-4)"),
        ((40.0).hex(), "float32", "40 (0x1.4p+5)"),
        ((2.0**40).hex(), "float16", "1.0995e+12 (0x1p+40)"),
        ("-inf", "float32", "-inf"),
        ("-0x0.0p+0", "float32", "-0"),
        ("10", "int64", "10"),
        ("raised ValueError", "float32", "raised ValueError"),
    ],
)
def test_number(words: str, dtype: str, want: str) -> None:
    assert text.number(words, dtype) == want


def test_reproduction_has_the_exact_inputs_and_is_python() -> None:
    made = case("input", 0.1, 1.0, "float64")
    made.tensors["many"] = TensorData(dtype="int64", shape=[2, 5], data=[str(n) for n in range(10)])
    lines = text.call_lines(made, "my_pkg.losses:focal")
    compile(lines, "reproduction", "exec")
    assert f'h("{(0.1).hex()}")' in lines
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9], dtype=torch.int64).reshape((2, 5))" in lines
    assert "from my_pkg.losses import focal" in lines
    assert "… 2 more" in text.tensor(made.tensors["many"])


def test_roll_up_adds_and_keeps_the_worst() -> None:
    one, two = tally("value", "few-ulp", 0.5, 0.1, "exhaustive"), tally("input", "unstable", 9.0, 4.0, "searched")
    both = rollup.roll_up([one, two])
    assert both is not None
    assert (both.entries, both.grade, both.worst_ulp, both.badge) == (80_000, "unstable", 9.0, "searched")
    assert both.grades == {"few-ulp": 79_999, "unstable": 1}
    assert both == rollup.roll_up([two, one])
    assert rollup.roll_up([]) is None
    assert rollup.worst(rollup.GRADES, ["few-ulp", "", "unheard-of"]) == "unheard-of"


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_ordinals_rise_with_the_numbers(dtype: str) -> None:
    values = [-math.inf, -1.0, -(2.0**-14), 0.0, 2.0**-14, 1.0, 2.0, math.inf]
    places = [plot.ordinal(value, dtype) for value in values]
    assert all(a < b for a, b in pairwise(places))
    assert plot.ordinal(-0.0, dtype) == 0


def test_plot_keeps_the_worst_point_and_stays_small() -> None:
    spike = curve(lambda x: 5e5 if x == float32(0) else 1.0, lambda x: False)
    picture = plot.svg(spike, "float32", "a < b")
    top = plot.ceiling([spike])
    y = plot.Frame(0, 1, top, plot.TOP).y(5e5)
    assert plot.TOP <= y < plot.BOTTOM
    assert re.search(rf"v{y - plot.Frame(0, 1, top, plot.TOP).y(1.0)}h", picture)
    assert 'aria-label="a &lt; b"' in picture
    assert len(picture) < 5000
    assert any("Peak 5.0e5 ulp" in words for words in plot.caption(spike, "float32"))
    assert any("Above the bound, not excused: 1 bin of" in words for words in plot.caption(spike, "float32"))


def test_write_creates_the_folder(tmp_path: Path) -> None:
    html.write(tmp_path / "a" / "report.html", sample())
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == html.render(sample())


def test_terminal_puts_the_verdict_first_and_keeps_code_whole() -> None:
    page = printed(sample(), width=60)
    assert page.startswith("4 losses, 27 trials")
    assert (
        f'      input = torch.tensor([h("{(88.72283172607422).hex()}")], dtype=torch.float32)  # 88.7228317\n' in page
    )
    whole = printed(sample(), whole=True)
    assert whole.index("confident rows lose every digit") < whole.index("verdict, grade of the value")


@pytest.mark.parametrize("show", [terminal.result, terminal.summary])
@pytest.mark.parametrize("soft_wrap", [False, True])
def test_terminal_crops_nothing(show: Callable[[list[Line], Console], None], soft_wrap: bool) -> None:
    console = Console(file=io.StringIO(), width=80, soft_wrap=soft_wrap, color_system=None)
    show(sample(), console)
    assert isinstance(console.file, io.StringIO)
    page = " ".join(console.file.getvalue().split())
    assert text.verdict_sentence(sample()) in page
    assert "expected a finite number <b>, got inf" in page


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


def test_axis_has_no_number_that_the_dtype_lacks() -> None:
    picture = plot.svg(curve(lambda x: 1.0, lambda x: False), "float16", "")
    assert "e20" not in picture
