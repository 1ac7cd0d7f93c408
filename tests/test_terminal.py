"""What the terminal says of one loss: each thing once, in a line that a newcomer can read."""

from __future__ import annotations

import io

from rich.console import Console

from harness.records import Case, Finding, Line, TensorData
from reports import terminal, text
from tests.sample_records import RUN, case, trial

HALF = "NotImplementedError: not implemented for 'Half'"


def printed(lines: list[Line], width: int = 200) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    terminal.result(lines, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def unsupported(check: str, dtype: str, item: str = "", reason: str = HALF) -> Line:
    return trial("x", check, dtype, "unsupported", item, reason=reason)


def refusals(lines: list[Line]) -> list[tuple[str, str]]:
    """Every message with what it covers."""
    said = printed([RUN, *lines])
    begins = [n for n, line in enumerate(said) if line.startswith("\N{EN DASH} unsupported")]
    return [(said[n].removeprefix("\N{EN DASH} unsupported "), said[n + 1].strip()) for n in begins]


def test_a_message_is_said_once_with_all_that_it_covers() -> None:
    lines = [unsupported(check, d) for d in ("float16", "bfloat16") for check in ("value", "gradient")]
    lines += [unsupported("special", d, f"x={n} -> nan") for d in ("float16", "bfloat16") for n in range(3)]
    lines += [trial("x", "special", d, item="x=9 -> 0") for d in ("float16", "bfloat16", "float32")]
    assert refusals(lines) == [
        (f"bfloat16, float16, 10 trials: {HALF}", "gradient; special (all but x=9); value"),
    ]


def test_other_messages_and_other_questions_are_lines_of_their_own() -> None:
    lines = [
        unsupported("laws", "float16", "never below 0"),
        unsupported("laws", "float64", "never below 0", reason="no row was found"),
        unsupported("value", "bfloat16"),
        *(
            trial("x", check, d, item=item)
            for d in ("float16", "bfloat16", "float64")
            for check, item in [("edges", "")]
        ),
    ]
    assert set(refusals(lines)) == {
        (f"float16, 1 trial: {HALF}", "laws (never below 0)"),
        ("float64, 1 trial: no row was found", "laws (never below 0)"),
        (f"bfloat16, 1 trial: {HALF}", "value"),
    }


def test_a_dtype_in_which_nothing_is_supported_is_said_in_a_word() -> None:
    lines = [
        unsupported("value", "float16"),
        unsupported("laws", "float16", "never below 0"),
        trial("x", "value", "float32"),
    ]
    assert refusals(lines) == [(f"float16, 2 trials: {HALF}", "all that is asked")]


def test_a_mode_is_told_from_the_dtype_alone() -> None:
    lines: list[Line] = [
        trial("x", "form", "float32", "unsupported", reason="no", mode="vmap"),
        trial("x", "form", "float32"),
    ]
    assert refusals(lines) == [("float32 \N{MIDDLE DOT} vmap, 1 trial: no", "all that is asked")]


def found(kind: str = "nan", message: str = "x: value: nan where the truth is a number", **more: object) -> Line:
    finding = Finding(severity="defect", kind=kind, output="value", message=message, **more)  # type: ignore[arg-type]
    return trial("x", "range", "float32", "fail", findings=[finding])


def test_what_the_hunt_alone_found_is_no_share_of_nothing() -> None:
    said = "\n".join(printed([RUN, found(count=0, total=15_198)]))
    assert "hunted" in said
    assert "found by the hunt, in none of the 15,198 cases of the sweep" in said
    assert "0 %" not in said


def test_an_index_line_says_what_its_kind_does_not() -> None:
    line = next(
        line for line in printed([RUN, found("raised", "x: expected a result, got ValueError: no")]) if "✗" in line
    )
    assert line.endswith("expected a result, got ValueError: no")
    one = found(case=case("input", 8.0, 0.0))
    assert next(line for line in printed([RUN, one]) if "✗" in line).endswith("input=8, target=0")


def test_a_long_note_is_cut() -> None:
    noted = Finding(severity="note", kind="meta", output="", message="x: " + "long " * 100)
    (line,) = [line for line in printed([RUN, trial("x", "form", "float32", findings=[noted])], 400) if "note:" in line]
    assert line.endswith("long\N{HORIZONTAL ELLIPSIS}")


def test_many_numbers_are_printed_without_their_bits() -> None:
    few, many = (TensorData(dtype="float32", shape=[n], data=[(0.1).hex()] * n) for n in (2, 6))
    assert "0x1" in text.tensor(few)
    assert "0x1" not in text.tensor(many)
    read = text.inputs(
        Case(
            tensors={"x": many},
            parameters={},
            reduction="none",
            dtype="float32",
            device="cpu",
            layout="rows",
            origin="sweep",
        )
    )
    assert read == [("x", "[0.1, 0.1, 0.1, 0.1, 0.1, 0.1]  float32 6")]
