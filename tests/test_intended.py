"""What an author means is said once and is no finding; what is not as it is declared is a defect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor

from harness.api import Result, UsageError
from harness.cli import main
from harness.records import Declaration
from lossproof import validate

VECTORS = ["embedding(N, D)", "embedding(N, D)"]
NUMBERS = ["real(N, low=-8.0, high=8.0)", "real(N, low=-8.0, high=8.0)"]
DERIVATIVES = ["gradient", "gradcheck", "gradgradcheck", "forward-mode", "stop-gradient"]


def predicted(input: Tensor, target: Tensor) -> Tensor:
    """No gradient flows to the target."""
    return (input - target.detach()).square().sum(dim=-1)


def weighted(input: Tensor, target: Tensor) -> Tensor:
    """The weight of an error is held constant."""
    error = (input - target).square()
    return (error.detach().sigmoid() * error).sum(dim=-1)


def squared(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).square().sum(dim=-1)


def _kinds(result: Result, severity: str = "defect") -> set[tuple[str, str, str]]:
    found = [(t.check, f.kind, f.output) for t in result.trials for f in t.findings if f.severity == severity]
    return set(found)


@pytest.mark.parametrize(
    ("loss", "names", "silent"),
    [
        (predicted, ["target"], ("note", "gradient", "detached", "target")),
        (weighted, ["input", "target"], ("defect", "gradcheck", "gradcheck", "")),
    ],
)
def test_a_declared_stop_gradient_is_said_once_and_is_no_finding(
    loss: Callable[..., Tensor], names: list[str], silent: tuple[str, str, str, str]
) -> None:
    meant = validate(loss, inputs=VECTORS, dtype=["float32", "float64"], stop_gradient=names)
    assert not meant.findings
    (declared,) = [line for line in meant.lines if isinstance(line, Declaration)]
    assert declared.caveat.endswith(f"as declared, the gradient with respect to {', '.join(names)} is stopped")
    assert {t.check: t.verdict for t in meant.trials}["stop-gradient"] == "pass"
    severity, *finding = silent
    assert tuple(finding) in _kinds(validate(loss, inputs=VECTORS, check=DERIVATIVES), severity)


def test_a_gradient_that_flows_although_it_is_declared_to_be_stopped_is_a_defect() -> None:
    result = validate(squared, inputs=VECTORS, check="stop-gradient", stop_gradient="target")
    assert _kinds(result) == {("stop-gradient", "gradient flows", "target")}


def test_a_loss_that_is_held_to_a_contract_may_stop_a_gradient_too() -> None:
    def loss(input: Tensor, target: Tensor) -> Tensor:
        return (input - target.detach()).square()

    assert ("gradient", "detached", "target") in _kinds(validate(loss, "mse_loss", check=DERIVATIVES))
    assert not _kinds(validate(loss, "mse_loss", stop_gradient=["target"]))
    flows = validate(F.mse_loss, "mse_loss", check="stop-gradient", stop_gradient=["target"])
    assert _kinds(flows) == {("stop-gradient", "gradient flows", "target")}


def upcast(input: Tensor, target: Tensor) -> Tensor:
    wide = torch.promote_types(input.dtype, torch.float32)
    return (input.to(wide) - target.to(wide)).square()


@pytest.mark.parametrize("options", [{"like": "mse_loss"}, {"inputs": NUMBERS}])
def test_a_declared_upcast_is_said_once_and_is_no_finding(options: dict[str, Any]) -> None:
    meant = validate(upcast, upcast="float32", **options)
    assert not _kinds(meant)
    (declared,) = [line for line in meant.lines if isinstance(line, Declaration)]
    assert declared.caveat.endswith("as declared, results for narrower inputs are float32")
    assert {k for _, k, _ in _kinds(validate(upcast, dtype="float16", **options))} == {"dtype"}


def test_a_declared_upcast_that_does_not_happen_is_a_defect() -> None:
    result = validate(squared, inputs=VECTORS, dtype=["float16", "float32"], upcast="float32")
    assert {t.dtype for t in result.trials if any(f.kind == "dtype" for f in t.findings)} == {"float16"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_gradient": ["labels"]}, "stop_gradient: expected one of input, target, got 'labels'"),
        ({"upcast": "float16"}, "upcast: expected one of float32, float64, got 'float16'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate(squared, inputs=VECTORS, **options)


def test_the_command_declares_what_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def loss(input, target):\n    return (input - target.detach()).square().sum(dim=-1)\n")
    vectors = [word for declared in VECTORS for word in ("--input", declared)]
    asked = ["validate", f"{path}:loss", *vectors, "--stop-gradient", "target", "--check", "stop-gradient"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "the gradient with respect to target is stopped" in " ".join(done.output.split())
