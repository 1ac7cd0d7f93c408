"""What reports are made of: numbers and inputs as text, roll-ups, groups of findings, curves, departures."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from harness.records import Declaration, Finding, LedgerEntry, Line, TensorData
from reports import departures, evidence, load, plot, refusals, rollup, text, wording
from reports.standing import trust
from tests.sample_records import RUN, case, curve, float32, logits, sample, sound, tally, trial


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
        ((40.0).hex(), "float32", "40"),
        ((-0.5).hex(), "float32", "-0.5 (-0x1p-1)"),
        ((2.0**40).hex(), "float16", "1.0995e+12 (0x1p+40)"),
        ("-inf", "float32", "-inf"),
        ("-0x0.0p+0", "float32", "-0"),
        ("10", "int64", "10"),
        ("raised ValueError", "float32", "raised ValueError"),
    ],
)
def test_number(words: str, dtype: str, want: str) -> None:
    assert text.number(words, dtype) == want


def test_long_tensors_are_cut_and_say_so() -> None:
    many = TensorData(dtype="int64", shape=[2, 5], data=[str(n) for n in range(10)])
    assert text.tensor(many) == "[0, 1, 2, 3, 4, 5, 6, 7, … 2 more]  int64 2 by 5"


def test_finite_grade_and_range_findings_stand_beside_each_other() -> None:
    mixed = rollup.Accuracy(
        entries=100_000,
        grades={"mixed-stable": 87_941, "unstable": 12_059},
        ranges={"nan": 12_059},
        grade="unstable",
        worst_ulp=4.0,
        worst_ratio=0.531,
        badge="sampled",
    )
    assert text.finite(mixed) == "mixed-stable"
    assert text.weighed(mixed) == "0.531 of the bound where finite; 12,059 nan"
    beyond = replace(mixed, grades={"unstable": 12_060}, worst_ratio=7.0)
    assert text.finite(beyond) == "unstable"
    lost = replace(mixed, grades={"absolute-only": 2, "unstable": 12_059}, worst_ratio=7.0)
    assert text.finite(lost) == "absolute-only"
    nothing = replace(mixed, grades={"unstable": 12_059}, worst_ratio=0.0)
    assert text.finite(nothing) == "nothing finite"
    assert text.finite(rollup.Accuracy(entries=5)) == "all excused"


@pytest.mark.parametrize(
    ("message", "want"),
    [
        ("x: value: nan where it must not be: expected 1.0, got nan", "nan where it must not be"),
        ("x: value: wrong: expected 0.5 (0x1p-1), got -inf (row 2)", "wrong (row 2)"),
        ("x: shape: expected (2, 3), got (3, 2)", "shape: expected (2, 3), got (3, 2)"),
        ("no prefix", "no prefix"),
    ],
)
def test_gist_says_nothing_twice(message: str, want: str) -> None:
    shown = Finding(severity="defect", kind="nan", output="value", message=message, got="nan", want="0x1p+0")
    assert wording.gist(shown, "x") == want


def test_findings_come_by_weight() -> None:
    def found(severity: str, kind: str, count: int) -> Finding:
        return Finding(severity=severity, kind=kind, output="value", message="", count=count, total=100)

    findings = [found("weakness", "a", 90), found("defect", "b", 3), found("note", "c", 99), found("defect", "d", 70)]
    groups = evidence.group([trial("x", "value", "float32", "fail", findings=findings)])
    assert [group.kind for group in groups] == ["d", "b", "a", "c"]


def test_a_plot_shows_every_rail_of_a_bin_and_what_is_excused_apart() -> None:
    made = curve(lambda x: None if x > 1 else 0.5, lambda x: x > 1e10, "inf nan")
    picture = plot.svg(made, "float32", "")
    assert picture.count('class="rail loud"') == picture.count('class="rail"') == 2
    said = " ".join(plot.caption(made, "float32"))
    assert "Got inf where the truth is another number" in said
    assert "Got nan where the truth is a number" in said
    assert "something excused: inf, nan" in said


def test_a_curve_needs_one_edge_more_than_bins() -> None:
    made = curve(lambda x: 1.0, lambda x: False)
    with pytest.raises(ValueError, match="zip"):
        plot.bins(msgspec.structs.replace(made, x=made.x[:-1]), "float32")


def test_a_plot_without_error_is_a_sentence() -> None:
    nothing = curve(lambda x: 0.0 if x < 0 else None, lambda x: False)
    assert plot.svg(nothing, "float32", "") == ""
    assert plot.caption(nothing, "float32") == ["No error at any point."]


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
    assert any("Above the bound: 1 bin of" in words for words in plot.caption(spike, "float32"))


def test_axis_has_no_number_that_the_dtype_lacks() -> None:
    picture = plot.svg(curve(lambda x: 1.0, lambda x: False), "float16", "")
    assert "e20" not in picture


def entry(name: str, output: str, seen: str = "nan where the truth is a number") -> LedgerEntry:
    return LedgerEntry(
        name=name, kind="fault", region="", seen=seen, source="", versions="", dtypes=[], outputs=[output]
    )


def variant(subject: str, page: str, *entries: LedgerEntry) -> list[Line]:
    """A loss of torch that shows every entry."""
    declared = next(line for line in logits() if isinstance(line, Declaration))
    words = {"subject": subject, "contract": subject, "sources": [page], "ledger": list(entries)}
    names = [one.name for one in entries]
    return [msgspec.structs.replace(declared, **words), trial(subject, "value", "float32", "fault", excused=names)]


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        (variant("F.a", "torch.nn.A", entry("overflows: x1", "x1"), entry("overflows: x2", "x2")), 1),
        (variant("F.a", "torch.nn.A", entry("exp(p) - 1", "x"), entry("exp(p) - 1: gradient of w", "w")), 1),
        (variant("F.a", "torch.nn.A", entry("x1 forgets eps", "x1"), entry("x2 forgets eps", "x2")), 1),
        (variant("F.a", "torch.nn.A", entry("chunks: 0 times inf", "x"), entry("chunks: sums", "x")), 2),
        (
            [*variant("F.a", "torch.nn.A", entry("f", "x")), *variant("F.a_soft", "torch.nn.A, soft", entry("f", "x"))],
            1,
        ),
        ([*variant("F.a", "torch.nn.A", entry("f", "x")), *variant("F.b", "torch.nn.B", entry("f", "x"))], 2),
    ],
    ids=["outputs", "plain and output", "name within", "two faults", "variants of one loss", "two losses"],
)
def test_a_fault_counts_once_however_many_outputs_and_variants_show_it(lines: list[Line], want: int) -> None:
    report = load.load(lines)
    assert len(departures.known(report, "fault")) == want
    assert sum(len(one.parts) for one in departures.known(report, "fault")) == sum(
        len(s.known) for s in report.sections
    )
    assert f"{want} known fault" in text.sentence(report)


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        ("inf where the truth is finite", ("inf",)),
        ("nan where the truth is a number", ("nan",)),
        ("0 where the truth is nan", ("0",)),
        ("a finite number where the truth is not", ("finite",)),
        ("inf, nan, 0 or lost digits, since a partial product leaves the range", ("range",)),
        ("relative digits lost, error within the absolute bound (grade absolute-only)", ("digits",)),
        ("inf, or nan for a count of 0, where the truth is finite", ("inf", "nan")),
        ("inf for a true -inf", ("inf",)),
        ("nan or 0", ("nan", "0")),
        ("the hinges above 0 alone", ("wrong",)),
    ],
)
def test_effects_of_a_fault_are_what_is_got(seen: str, want: tuple[str, ...]) -> None:
    assert departures.effects(entry("f", "value", seen)) == want


def test_the_first_table_says_what_is_got_in_which_dtype() -> None:
    report = load.load(sample())

    def cells(subject: str) -> dict[str, tuple[str, str, str]]:
        section = next(s for s in report.sections if s.subject == subject)
        told = departures.departures([section])
        return {column.dtype: trust(section, column, told, strict=False) for column in report.columns}

    assert cells("binary_cross_entropy_with_logits")["float32"] == ("fault", "0", "")
    assert cells("binary_cross_entropy_with_logits")["float16"] == ("unsupported", "unsupported", "")
    assert cells("binary_cross_entropy")["float32"] == ("deviation", "documented", "")
    assert cells("my_pkg.losses:focal")["float32"] == ("error", "overflow, error", "2 of 2 trials")
    assert cells("my_pkg.losses:focal")["float64"] == ("weakness", "loses digits", "")
    assert cells("F.mse_loss")["float16"] == ("", "not run", "")
    assert departures.by_weight(report.sections)[0].subject == "my_pkg.losses:focal"


def test_long_runs_of_one_number_are_written_as_a_multiple_of_the_same_value() -> None:
    zeros, nans = ", ".join(["0.0"] * 40), ", ".join(["float('nan')"] * 20)
    for written, want in [
        (f"[{zeros}]", "[0.0] * 40"),
        (f"[[1.0, {zeros}, 0.05], [{zeros}]]", "[[1.0, *[0.0] * 40, 0.05], [0.0] * 40]"),
        (f"[{nans}]", "[float('nan')] * 20"),
        ("[0.0, 0.0, 0.0]", "[0.0, 0.0, 0.0]"),
    ]:
        assert text.folded(written) == want
        assert repr(eval(want)) == repr(eval(written))


def test_messages_of_refusals_are_counted_and_the_rest_summed_up() -> None:
    lines: list[Line] = [RUN, *sound()]
    for number in range(refusals.NAMED + 2):
        reason = f"message {number:02}"
        lines += [trial("x", "laws", "float16", "unsupported", f"{n}", reason=reason) for n in range(number + 1)]
    said = refusals.lines(lines)
    assert said[0] == "unsupported, 78 trials:"
    assert said[1].split() == ["12", "message", "11"]
    assert len(said) == refusals.NAMED + 2
    assert said[-1].endswith("2 more messages, 3 trials: see the report")
    assert refusals.lines([RUN, *sound()]) == []


def test_the_same_seen_in_several_dtypes_is_one_occurrence_with_where_else() -> None:
    found = Finding(severity="note", kind="outside", output="value", message="beyond")
    dtypes = ("float32", "float64", "float16")
    seen = [trial("x", "special", dtype, item="x=inf", findings=[found]) for dtype in dtypes]
    (group,) = evidence.group([*seen, trial("x", "special", "float32", item="x=0", findings=[found])])
    others = [(other.item, [column.dtype for column in columns]) for other, _, columns in group.others]
    assert sorted(others) in ([("x=inf", ["float64", "float16"])], [("x=0", []), ("x=inf", ["float16"])])


def test_an_example_is_the_numbers_of_one_element() -> None:
    found = Finding(severity="defect", kind="nan", output="value", message="", case=case("input", 8.0, 0.1))
    assert wording.example(found) == "input=8, target=0.1"
    assert wording.example(msgspec.structs.replace(found, case=None)) == ""
