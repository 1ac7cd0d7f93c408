"""docs/trust.md says all that was measured, and of the rest that it was not run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trust.lines import Certified, Flagged, Judged, Line, Measured, Start
from tests.trust.page import Catalogue, Kept, Planted, catalogue, percent, render

PAGE = Path(__file__).resolve().parent.parent / "docs" / "trust.md"

SMALL = Catalogue(
    oracles={"mse_loss": 0.5, "l1_loss": None},
    controls=[
        Planted(id="mse_loss: squares twice", family="forward", check="value"),
        Planted(id="mse_loss: forgets the mean", family="reductions", check="reductions"),
        Planted(id="l1_loss: is idle", family="reductions", check="value"),
    ],
    checks=["value", "reductions", "witness"],
    mutants={
        "mse_loss: fused": {"a 0 m.f: x -> y": "m.f: x -> y", "a 0 m.g: 1 -> 2": "m.g: 1 -> 2"},
        "l1_loss: signed": {"b 0 m.f: x -> y": "m.f: x -> y"},
    },
    sound=[
        Kept(id="mse_loss: fused", value="few-ulp", gradient="reference"),
        Kept(id="l1_loss: compiled", value="few-ulp", gradient="few-ulp"),
        Kept(id="l1_loss: signed", value="few-ulp", gradient="few-ulp"),
    ],
    dtypes=["float32", "float16"],
    seeds=(1, 2),
    other_seeds=(1, 2, 3),
)


def certified(seed: int, ulp: float) -> Certified:
    return Certified(contract="mse_loss", seed=seed, rows=100, ulp=ulp, output="value", seconds=1.0)


def flagged(control: str, check: str, effort: str, yes: bool) -> Flagged:
    like = control.partition(":")[0]
    return Flagged(control=control, like=like, family="any", check=check, effort=effort, flagged=yes, seconds=1.0)


def judged(mutant: str, by: str) -> Judged:
    return Judged(specimen="a", source="0", mutant=mutant, line=7, killed=bool(by), by=by, seconds=1.0)


def measured(dtype: str, seed: int, value: str, shows: str = "") -> Measured:
    return Measured(
        sound="mse_loss: fused",
        dtype=dtype,
        seed=seed,
        effort="thorough",
        ok=not shows,
        shows=shows,
        value=value,
        gradient="few-ulp",
        seconds=1.0,
    )


START = Start(date="2026-01-02", lossproof="0.1", torch="2.13", numpy="2.4", python="3.11", platform="p", processor="c")
LINES: list[Line] = [
    START,
    certified(1, 0.75),
    certified(2, 1.25),
    flagged("mse_loss: squares twice", "value", "quick", yes=True),
    flagged("mse_loss: forgets the mean", "reductions", "quick", yes=False),
    flagged("mse_loss: forgets the mean", "reductions", "ci", yes=True),
    judged("m.f: x -> y", "value"),
    judged("m.g: 1 -> 2", ""),
    measured("float32", 1, "few-ulp"),
    measured("float32", 2, "reference", "reference of value"),
]


@pytest.mark.parametrize(
    "row",
    [
        "Run on 2026-01-02.",
        "| 0.1 | not recorded | 2.13 | 2.4 | 3.11 | p | c |",
        "| `mse_loss` | 0.50 | 2 of 3 | 200 | 1.25 | `value` |",
        "| `l1_loss` | none | *not run* | 0 | *not run* |  |",
        "| forward | 1 | 1 | - | 0 | 0 |",
        "| reductions | 2 | 0 | 1 | 0 | 1 |",
        "| `value` | 2 | 1 | - | 0 | 1 |",
        "| `reductions` | 1 | 0 | 1 | 0 | 0 |",
        "Without controls here, being about kept losses or about losses without a contract: `witness`.",
        "| mse_loss: forgets the mean | `reductions` | quick |",
        "| mse_loss: fused | 2 | 2 | 1 | 0 | 0 | 1 | 50 % |",
        "| l1_loss: signed | 1 | *not run* | 0 | 0 | 0 | 0 | *not run* |",
        "| **all** | 3 | 2 of 3 | 1 | 0 | 0 | 1 | 50 % |",
        "| `m.g: 1 -> 2` | 7 | 1 | not reviewed |",
        (
            "| mse_loss: fused | few-ulp | reference | reference | few-ulp | float32 | 2 of 4 | thorough "
            "| float32, seed 2: reference of value |"
        ),
        "| l1_loss: signed | few-ulp | *not run* | few-ulp | *not run* | *not run* | *not run* | - | *not run* |",
        "| l1_loss: compiled | few-ulp | *not run* | few-ulp | *not run* | *not run* | *not run* | - | *not run* |",
    ],
)
def test_every_figure_is_on_the_page(row: str) -> None:
    assert row in render(LINES, SMALL).splitlines()


def test_the_page_is_a_function_of_the_lines() -> None:
    assert render(LINES, SMALL) == render([*LINES, *LINES], SMALL)
    repaired = [*LINES, judged("m.g: 1 -> 2", "value")]
    assert "| mse_loss: fused | 2 | 2 | 2 | 0 | 0 | 0 | 100 % |" in render(repaired, SMALL).splitlines()
    broken = render([*LINES, judged("", "value")], SMALL)
    assert "Fails as it is, so that its mutants say nothing: a." in broken


def test_nothing_was_run() -> None:
    page = render([], SMALL)
    assert "Nothing was run." in page
    assert page.count("*not run*") > len(SMALL.oracles) + len(SMALL.mutants) + len(SMALL.sound)


def test_tables_are_square() -> None:
    for block in re.findall(r"(?:^\|.*\n)+", render(LINES, SMALL), flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_a_hundred_is_all_of_it() -> None:
    assert percent(1000, 1000) == "100 %"
    assert percent(9999, 10000) == "99.9 %"
    assert percent(0, 0) == "-"


def test_the_page_names_everything() -> None:
    page, known = PAGE.read_text(encoding="utf-8"), catalogue()
    first = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    names = (
        *(f"`{name}`" for name in known.oracles),
        *(c.family for c in known.controls),
        *(f"`{c.check}`" for c in known.controls),
        *known.mutants,
        *(s.id for s in known.sound),
    )
    assert sorted(set(names) - set(first)) == []
    assert all(f"`{check}`" in page for check in known.checks)
