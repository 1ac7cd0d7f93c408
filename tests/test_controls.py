"""Controls: every check flags realistic defects in every loss, and what it prints shows them."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from harness.api import Result, validate
from harness.bounds import GRADES, RANGES
from harness.plan import catalogue
from harness.records import Finding, Trial
from tests.controls import CONTROLS
from tests.controls.control import OF_TORCH, Control, planted

SETUP = "import torch\nfrom tests.controls import named"
ACCURACY = ("value", "gradient", "range")
"""Checks whose findings torch itself is set apart from, case by case."""
OTHER_LOSSES = ("witness", "twin", "specimen", "edges", "options", "stop-gradient")
"""Checks of what is declared of a loss, or of losses without a contract."""
NUMERIC = {*GRADES, *RANGES}
"""Kinds of finding that say which number was got; the others may say it in words."""
ROUNDING = 5e-7
"""A matrix product of many rows may differ from that of one row by as much."""

Evidence = tuple[str, str, str, str]


def evidence(trial: Trial, finding: Finding) -> Evidence:
    return trial.item, trial.dtype, finding.kind, finding.output


@cache
def of_torch(like: str, check: str, dtype: str | None, effort: str) -> frozenset[Evidence]:
    """What the check finds in torch's own loss, without its ledger; of that a Control is not guilty."""
    if check in ACCURACY:
        return frozenset()
    sound = planted(like, lambda call: call.torch())
    result = validate(sound, like, strict=True, check=check, dtype=dtype, effort=effort)
    return frozenset(evidence(t, f) for t in result.trials for f in t.findings if f.severity != "note")


def judged(control: Control) -> Result:
    known = of_torch(control.like, control.check, control.dtype, control.effort)
    return validate(
        control.loss,
        control.like,
        baseline="torch" if control.check in ACCURACY else None,
        strict=True,
        check=control.check,
        dtype=control.dtype,
        effort=control.effort,
        fail_fast=not known,
        name="planted",
        expression=f"named({control.id!r}).loss",
        setup=SETUP,
    )


def shown(control: Control, result: Result) -> list[Finding]:
    """The findings that the defect, and not torch, is guilty of."""
    known = of_torch(control.like, control.check, control.dtype, control.effort)
    severities = ("note",) if control.severity == "note" else ("defect", "weakness")
    found = [(t, f) for t in result.trials for f in t.findings if f.severity in severities]
    return [f for t, f in found if evidence(t, f) not in known]


def numbers(printed: Any) -> Iterator[float]:
    if isinstance(printed, list):
        for part in printed:
            yield from numbers(part)
    else:
        yield printed


def reproduced(finding: Finding, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the printed lines, run as they are, show what the finding says was got."""
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(finding.reproduction, "reproduction", "exec"), {})
    printed = numbers(eval(capsys.readouterr().out, {"nan": math.nan, "inf": math.inf}))
    got = float.fromhex(finding.got)
    return any(
        math.isclose(value, got, rel_tol=ROUNDING) or (math.isnan(value) and math.isnan(got)) for value in printed
    )


PARAMETERS = [
    pytest.param(c, id=f"{c.check}-{c.id}", marks=[pytest.mark.trust] if c.effort != "quick" else []) for c in CONTROLS
]


@pytest.mark.parametrize("control", PARAMETERS)
def test_a_planted_defect_is_flagged_and_reproduced(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    result = judged(control)
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    assert result.ok == (control.severity == "note")
    assert [f.message for f in result.findings if not f.reproduction] == []
    found = shown(control, result)
    matching = [f for f in found if f.kind == control.shows]
    assert matching, [(f.kind, f.output, f.message) for f in found]
    printing = [f for f in matching if f.got and f.reproduction]
    if control.reproduces:
        assert printing or control.shows not in NUMERIC, "no finding can be reproduced"
        assert not printing or reproduced(printing[0], capsys), printing[0].reproduction


def test_the_controls_cover_every_check_every_loss_and_every_family() -> None:
    failing = [c for c in CONTROLS if c.severity == "fails"]
    assert len(failing) >= 120
    assert len({c.id for c in CONTROLS}) == len(CONTROLS)
    assert {c.check for c in CONTROLS} == {c.name for c in catalogue()} - set(OTHER_LOSSES)
    counts = Counter(c.like for c in failing)
    # A loss that torch does not have is tried on the usual forms of it, each declared with what it shows.
    assert min(counts[name] for name in OF_TORCH) >= 3, counts
    assert sum(c.effort != "quick" for c in CONTROLS) <= len(CONTROLS) / 10


@pytest.mark.parametrize("check", ["value", "gradient", "range", "special", "nonfinite", "reductions", "laws", "form"])
def test_a_check_is_tried_on_losses_of_several_kinds(check: str) -> None:
    assert len({c.like for c in CONTROLS if c.check == check}) >= 8
