"""Inside the region of a Deviation a Subject follows the mathematics or the documentation, and the same throughout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from harness import records
from harness.api import Result, validate
from harness.findings import INCONSISTENT
from tests import losses

CLAMP = "logarithms are clamped at -100"


def judged(loss: Callable[..., Any], dtype: str) -> tuple[Result, dict[str, str]]:
    result = validate(loss, "binary_cross_entropy", check=["value", "gradient", "range"], dtype=dtype)
    (survey,) = [line for line in result.lines if isinstance(line, records.Survey)]
    return result, {name.removeprefix(f"{CLAMP}: "): what for name, what in survey.followed.items()}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_what_is_documented_here_and_mathematics_there_is_inconsistent(dtype: str) -> None:
    result, followed = judged(losses.half_clamped_bce, dtype)
    assert followed["value"] == "neither throughout"
    found = [f for f in result.findings if f.kind == INCONSISTENT and f.output == "value"]
    assert [f.severity for f in found] == ["defect"]
    (finding,) = found
    assert "the documentation at" in finding.message
    assert "the mathematics at" in finding.message
    assert finding.case is not None
    assert "torch.tensor(" in finding.reproduction


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_documentation_throughout_passes(dtype: str) -> None:
    result, followed = judged(losses.clamped_bce, dtype)
    assert result.ok, [f.message for f in result.findings if f.severity == "defect"]
    assert followed == {"value": "documentation"}


def unclamped_bce(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = torch.special.xlog1py(target - 1, -input) - torch.special.xlogy(target, input)
    return value if reduction == "none" else getattr(value, reduction)()


def test_the_mathematics_throughout_passes() -> None:
    result, followed = judged(unclamped_bce, "float32")
    assert followed["value"] == "mathematics"
    assert not [f for f in result.findings if f.kind == INCONSISTENT]


@pytest.mark.parametrize(("loss", "like"), [(F.binary_cross_entropy, "value"), (F.ctc_loss, "log_probs")])
def test_torch_follows_its_documentation(loss: Callable[..., Any], like: str) -> None:
    result = validate(loss, check=["value", "gradient"], dtype="float32", strict=True)
    (survey,) = [line for line in result.lines if isinstance(line, records.Survey)]
    assert result.ok
    assert {name.rpartition(": ")[2]: what for name, what in survey.followed.items()} == {like: "documentation"}
