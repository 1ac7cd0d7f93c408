"""Options that are given matter, and arguments mean the same by position and by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossproof import Result, validate
from lossproof.inputs import binary, class_index, logits, real

SMALL = {"low": -8.0, "high": 8.0}
LABELS: dict[str, Any] = {"input": logits("N"), "target": binary("N")}
NUMBERS: dict[str, Any] = {"input": real("N", **SMALL), "target": real("N", **SMALL)}


def judged(loss: Any, inputs: dict[str, Any], **options: Any) -> Result:
    result = validate(loss, inputs=inputs, **{"check": "options", "dtype": "float64", "name": "it", **options})
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return result


class Forgetful(nn.Module):
    """Focal loss whose exponent is stored and never used."""

    def __init__(self, gamma: float = 2.0, alpha: float = 0.5) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(input, target, reduction="none")
        weight = self.alpha * target + (1 - self.alpha) * (1 - target)
        return weight * (1 - torch.exp(-loss)) ** 2 * loss


class Focal(Forgetful):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = F.binary_cross_entropy_with_logits(input, target, reduction="none")
        weight = self.alpha * target + (1 - self.alpha) * (1 - target)
        return weight * (1 - torch.exp(-loss)) ** self.gamma * loss


def test_an_option_that_is_stored_and_never_used_is_found() -> None:
    result = judged(Forgetful, LABELS, init={"gamma": 5, "alpha": 0.25})
    assert {t.item: t.verdict for t in result.trials} == {
        "option gamma": "fail",
        "option alpha": "pass",
        "arguments by position": "pass",
    }
    (found,) = result.findings
    assert found.message.startswith(
        "it: option gamma: expected to matter, got the same bits with gamma=5 and with its default 2.0 in all of "
    )
    assert found.message.endswith("rows: is it stored and never used?")
    assert judged(Focal, LABELS, init={"gamma": 5, "alpha": 0.25}).findings == []


def test_what_is_given_as_its_default_or_has_none_is_not_asked() -> None:
    def scaled(input: Tensor, target: Tensor, scale: float, power: float = 2.0) -> Tensor:
        return scale * (input - target).abs() ** power

    result = judged(scaled, NUMBERS, init={"scale": 3.0, "power": 2})
    assert [t.item for t in result.trials if t.item.startswith("option")] == []


def smooth(
    input: Tensor,
    target: Tensor,
    beta: float = 1.0,
    eps: float = 1e-8,
    weight: float | None = None,
    num_steps: int = 10,
    inplace: bool = False,
    kind: str = "l1",
) -> Tensor:
    """Of its options ``beta`` is used."""
    return F.smooth_l1_loss(input, target, beta=beta, reduction="none")


@pytest.mark.parametrize(
    ("given", "severities"),
    [
        ({"beta": 0.5}, []),
        ({"eps": 1e-6}, ["weakness"]),
        ({"eps": 0.5}, ["weakness"]),
        ({"weight": 1.0}, ["note"]),
        ({"weight": 3.0}, ["defect"]),
        ({"num_steps": 50}, ["weakness"]),
        ({"inplace": True}, ["weakness"]),
        ({"kind": "l2"}, ["weakness"]),
    ],
)
def test_how_bad_it_is_depends_on_what_the_option_is(given: dict[str, Any], severities: list[str]) -> None:
    result = judged(smooth, NUMBERS, init=given)
    assert [f.severity for f in result.findings] == severities
    assert result.ok == ("defect" not in severities)


def guarded(p: Tensor, y: Tensor, eps: float = 1e-8, reduction: str = "none") -> Tensor:
    loss = -(y * p.clamp(min=eps).log() + (1 - y) * (1 - p).clamp(min=eps).log())
    return loss if reduction == "none" else loss.mean()


def test_an_option_that_matters_at_an_edge_or_in_a_reduction_matters() -> None:
    inputs = {"p": "probability(N)", "y": "binary(N)"}
    assert judged(guarded, inputs, init={"eps": 1e-6}).findings == []
    assert judged(guarded, inputs, init={"reduction": "mean"}).findings == []


def placed(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A decorator that takes what comes by position to begin with the target."""

    @wraps(loss)
    def outer(*given: Tensor, **named: Tensor) -> Tensor:
        return loss(*reversed(given), **named)

    return outer


@placed
def quantile(input: Tensor, target: Tensor) -> Tensor:
    return torch.maximum(0.9 * (target - input), 0.1 * (input - target))


def test_arguments_that_mean_something_else_by_position_are_found() -> None:
    (found,) = judged(quantile, NUMBERS, init={}).findings
    assert found.message.startswith("it: arguments by position: value: expected ")
    assert found.severity == "defect"


def keyword_only(*, input: Tensor, target: Tensor) -> Tensor:
    return (input - target) ** 2


def partly(input: Tensor, scale: float = 2.0, *, target: Tensor) -> Tensor:
    return scale * (input - target) ** 2


def batch(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input, target)


@pytest.mark.parametrize(
    ("loss", "inputs", "is_asked"),
    [
        (keyword_only, NUMBERS, False),
        (partly, NUMBERS, True),
        (batch, {"input": logits("B", "C"), "target": class_index("B")}, True),
        (nn.MSELoss, NUMBERS, True),
        (lambda *all: (all[0] - all[1]) ** 2, NUMBERS, False),
    ],
)
def test_a_sound_loss_means_the_same_by_position_where_it_can_be_asked(loss: Any, inputs: Any, is_asked: bool) -> None:
    options = {"check": ["options", "value"], "dtype": ["float64", "float32"]}
    result = judged(loss, inputs, **options)
    assert ("arguments by position" in {t.item for t in result.trials}) == is_asked
    assert [f for t in result.trials if t.check == "options" for f in t.findings] == []
