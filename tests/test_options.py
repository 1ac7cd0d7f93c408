"""What the options of a loss and its own code hold the parameters of a Contract to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor

from harness import records
from harness.api import Result, UsageError, subject_for
from harness.cli import main
from lossproof import validate

CHECKS: dict[str, Any] = {"dtype": "float32", "check": ["value", "gradient"]}


def capped(input: Tensor, target: Tensor) -> Tensor:
    """Huber's loss with 2 for its delta, which is no option."""
    return F.huber_loss(input, target, delta=2.0)


def capped_elsewhere(input: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(input, target, delta=2.001)


def declared(result: Result) -> records.Declaration:
    return next(line for line in result.lines if isinstance(line, records.Declaration))


def test_a_number_in_the_code_is_judged_as_what_it_is_said_to_be() -> None:
    assert not validate(capped, "huber_loss", **CHECKS).ok
    said = validate(capped, "huber_loss", parameters={"delta": 2.0}, **CHECKS)
    assert said.ok, [f.message for f in said.findings]
    assert declared(said).parameters["delta"] == "2.0"
    assert declared(said).caveat == "as declared, delta is 2.0"
    assert not validate(capped_elsewhere, "huber_loss", parameters={"delta": 2.0}, **CHECKS).ok


def test_a_missing_parameter_is_shown_with_the_value_that_is_taken() -> None:
    result = validate(capped, "huber_loss", **CHECKS)
    assert declared(result).not_offered == ["delta (taken as 1.0)", "weight", "reduction"]
    said = validate(capped, "huber_loss", parameters={"delta": 2.0}, **CHECKS)
    assert declared(said).not_offered == ["weight", "reduction"]


@pytest.mark.parametrize("loss", [F.huber_loss, torch.nn.HuberLoss])
def test_options_hold_for_torch_s_own_losses_too(loss: Any) -> None:
    bound = subject_for(loss, None, init={"delta": 3.0})
    assert [p.values for p in bound.contract.parameters if p.name == "delta"] == [(3.0,)]
    assert bound.faults == subject_for(F.huber_loss, None).faults
    assert bound.origin == "torch"
    result = validate(loss, init={"delta": 3.0}, **CHECKS)
    assert result.ok, [f.message for f in result.findings]
    assert declared(result).parameters["delta"] == "3.0"


def no_delta(input: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    return F.huber_loss(input, target, delta=1.0 + 0.0 * delta)


def naive(input: Tensor, target: Tensor) -> Tensor:
    """The same as ``capped``, and lost digits where the difference overflows."""
    x = input - target
    return torch.where(x.abs() < 2.0, x * x / 2, 2.0 * (x.abs() - 1.0))


@pytest.mark.parametrize("held", [{"parameters": {"delta": 2.0}}, {"init": {"delta": 2.0}}])
def test_the_baseline_holds_what_the_loss_holds(held: dict[str, Any]) -> None:
    loss = F.huber_loss if "init" in held else naive
    result = validate(loss, "huber_loss", baseline="torch", strict=True, **held, **CHECKS)
    assert result.ok, [f.message for f in result.findings]
    assert not validate(capped_elsewhere, "huber_loss", parameters={"delta": 2.0}, baseline="torch", **CHECKS).ok


def test_an_option_that_changes_nothing_is_found() -> None:
    assert validate(no_delta, "huber_loss", init={"delta": 1.0}, **CHECKS).ok
    assert not validate(no_delta, "huber_loss", init={"delta": 3.0}, **CHECKS).ok


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"parameters": {"detla": 2.0}}, "parameters of huber_loss: expected one of delta, got 'detla'"),
        ({"parameters": {"delta": "two"}}, "huber_loss: delta: expected a value such as 1.0, .*, got 'two'"),
        ({"parameters": {"delta": True}}, "huber_loss: delta: expected a value such as 1.0, .*, got True"),
        ({"init": {"delta": 2.0}}, "capped: option 'delta': expected one of input, target"),
    ],
)
def test_what_cannot_be_held_is_one_clear_line(options: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        validate(capped, "huber_loss", **options)
    assert "\n" not in str(raised.value)


def test_a_parameter_that_is_an_option_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match="no_delta takes 'delta' itself: make it an option, with init or --init"):
        validate(no_delta, "huber_loss", parameters={"delta": 2.0})
    with pytest.raises(UsageError, match=r"option 'detla': expected one of input, target, reduction, delta, weight"):
        validate(F.huber_loss, init={"detla": 2.0})
    with pytest.raises(UsageError, match=r"HuberLoss: option 'detla': expected one of reduction, delta"):
        validate(torch.nn.HuberLoss, init={"detla": 2.0})
    with pytest.raises(UsageError, match="parameters: delta: expected like=NAME beside it, got inputs"):
        validate(capped, inputs={"input": "real(N)", "target": "real(N)"}, parameters={"delta": 2.0})


def test_the_command_takes_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("import torch.nn.functional as F\ndef capped(x, y):\n    return F.huber_loss(x, y, delta=2.0)\n")
    words = ["validate", f"{file}:capped", "--like", "huber_loss", "--dtype", "float32", "--check", "value"]
    missing = CliRunner().invoke(main, words)
    assert missing.exit_code == 1
    assert "not offered: delta (taken as 1.0), weight, reduction" in missing.output
    ran = CliRunner().invoke(main, [*words, "--parameter", "delta=2.0"])
    assert ran.exit_code == 0, ran.output
    assert "as declared, delta is 2.0" in ran.output
