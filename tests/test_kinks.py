"""At a kink where sums meet a rounding decides the branch, and either is right; beside it nothing is excused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lossproof import Result, validate

SHARES, NUMBERS = ["simplex(N, C)"] * 2, ["real(N, D, low=-4, high=4)"] * 2


def transport(pred: Tensor, target: Tensor) -> Tensor:
    """The earth mover's distance between distributions over classes in order (Hou, Yu, Samaras 2016)."""
    return (torch.cumsum(pred, -1) - torch.cumsum(target, -1)).abs().sum(-1)


def rooted(pred: Tensor, target: Tensor) -> Tensor:
    return (torch.cumsum(pred, -1) - torch.cumsum(target, -1)).square().sqrt().sum(-1)


def far_from_0(pred: Tensor, target: Tensor) -> Tensor:
    return ((1e4 + torch.cumsum(pred, -1)) - (1e4 + torch.cumsum(target, -1))).abs().sum(-1)


def of_means(pred: Tensor, target: Tensor) -> Tensor:
    return (pred.mean(-1) - target.mean(-1)).abs() * pred.square().sum(-1)


def half_held(pred: Tensor, target: Tensor) -> Tensor:
    return (pred.mean(-1) - target.mean(-1)).abs() * pred.detach().square().sum(-1)


def found(result: Result, severity: str = "defect") -> set[tuple[str, str]]:
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return {(f.kind, f.output) for f in result.findings if f.severity == severity}


@pytest.mark.parametrize("seed", range(4))
def test_either_side_of_a_kink_of_sums_is_right(seed: int) -> None:
    result = validate(transport, inputs=SHARES, dtype="float32", seed=seed, check=["value", "gradient", "range"])
    assert found(result) == set()
    assert {output for _, output in found(result, "weakness")} <= {"value"}


def test_derivatives_are_not_asked_at_a_kink_and_that_is_said() -> None:
    result = validate(transport, inputs=SHARES, dtype="float64", check=["gradcheck", "gradgradcheck", "forward-mode"])
    assert found(result) == set()
    left = {t.check: t.reason for t in result.trials if t.verdict == "unsupported"}
    assert "gradgradcheck" in left
    assert all("each at a kink that finite differences cross" in reason for reason in left.values())


@pytest.mark.parametrize(
    ("loss", "inputs", "dtype", "want"),
    [
        (rooted, SHARES, "float32", {("nan", "pred"), ("nan", "target")}),
        (far_from_0, SHARES, "float32", {("unstable", "value")}),
        (half_held, NUMBERS, "float64", {("gradcheck", "")}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_is_wrong_beside_kinks_is_found(loss: Any, inputs: list[str], dtype: str, want: set[Any]) -> None:
    result = validate(loss, inputs=inputs, dtype=dtype, check=["value", "gradient", "range", "gradcheck"])
    assert want <= found(result)


def test_a_sound_loss_with_a_kink_is_asked_for_all_derivatives() -> None:
    result = validate(of_means, inputs=NUMBERS, dtype="float64", check=["gradcheck", "gradgradcheck", "forward-mode"])
    assert found(result) == set()
    assert {t.verdict for t in result.trials} == {"pass"}
