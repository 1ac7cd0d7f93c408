"""A result that grows with the batch where a mean is meant, and the other way round, is told in plain language."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossproof import Result, validate
from lossproof.inputs import real

PAIR = {"input": real("N"), "target": real("N")}


def told(loss: Any, like: str | None = None, **options: Any) -> list[tuple[str, str]]:
    """Severity and message of what is said to be a mistake, each once."""
    result: Result = validate(loss, like, check=("mistakes", "reductions"), dtype="float32", name="loss", **options)
    assert not [t.reason for t in result.trials if t.verdict == "error"]
    found = {(f.severity, f.message): f for f in result.findings if f.kind == "mistake"}
    assert all(f.reproduction for f in found.values())
    return list(found)


def sums(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).square().sum()


def means(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).square().mean()


class Sums(nn.Module):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return sums(input, target)


class Means(nn.Module):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return means(input, target)


class Kind(Enum):
    MEAN = "mean"
    SUM = "sum"


class Exchanged(nn.Module):
    """Gives the sum where the mean is asked for, and the mean for the sum."""

    def __init__(self, reduction: str | Kind = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = (input - target).square()
        name = self.reduction.value if isinstance(self.reduction, Kind) else self.reduction
        return {"none": loss, "mean": loss.sum(), "sum": loss.mean()}[name]


class OfKinds(Exchanged):
    def __init__(self, reduction: Kind = Kind.MEAN) -> None:
        super().__init__(reduction)


def exchanged(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    other = {"mean": "sum", "sum": "mean"}.get(reduction, reduction)
    return F.mse_loss(input, target, reduction=other)


def summed_cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input, target, reduction="sum")


@pytest.mark.parametrize(
    ("loss", "like"),
    [(sums, "mse_loss"), (Sums, "mse_loss"), (Sums(), "mse_loss"), (summed_cross_entropy, "cross_entropy")],
)
def test_a_sum_in_place_of_a_mean_that_nothing_asks_for_is_a_weakness(loss: Any, like: str) -> None:
    ((severity, message),) = told(loss, like)
    assert severity == "weakness"
    assert f"grows with the number of examples: expected their mean, which {like} is where nothing else" in message
    assert "reductions={'sum': {}}" in message


@pytest.mark.parametrize("loss", [sums, Sums, Sums()])
def test_a_sum_that_is_declared_is_meant(loss: Any) -> None:
    assert told(loss, "mse_loss", reductions={"sum": {}}) == []


@pytest.mark.parametrize("loss", [means, Means, Means(), torch.nn.MSELoss(), torch.nn.MSELoss(reduction="sum")])
def test_a_mean_and_what_is_made_to_sum_are_no_mistake(loss: Any) -> None:
    assert told(loss, "mse_loss") == []


def test_without_a_contract_nothing_says_that_a_mean_is_meant() -> None:
    assert told(sums, inputs=PAIR) == []


def test_a_mean_that_is_declared_to_be_a_sum_is_found() -> None:
    ((severity, message),) = told(means, "mse_loss", reductions={"sum": {}})
    assert severity == "defect"
    assert "reduction='sum' gives the mean" in message
    ((severity, message),) = told(sums, "mse_loss", reductions={"mean": {}})
    assert severity == "defect"
    assert "reduction='mean' gives the sum, which grows with the number of examples" in message


HELD: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Exchanged(), {"like": "mse_loss"}, "'mean' and gives the sum, which grows"),
    (Exchanged("sum"), {"like": "mse_loss"}, "'sum' and gives the mean"),
    (OfKinds(Kind.SUM), {"like": "mse_loss"}, "'sum' and gives the mean"),
    (partial(exchanged, reduction="mean"), {"like": "mse_loss"}, "'mean' and gives the sum, which grows"),
    (Exchanged(), {"inputs": PAIR}, "'mean' and gives the sum, which grows"),
    (Exchanged, {"inputs": PAIR, "init": {"reduction": "mean"}}, "'mean' and gives the sum, which grows"),
    (exchanged, {"inputs": PAIR, "init": {"reduction": "sum"}}, "'sum' and gives the mean"),
]


@pytest.mark.parametrize(("loss", "options", "want"), HELD)
def test_what_is_made_with_one_reduction_and_gives_another_is_a_defect(
    loss: Any, options: dict[str, Any], want: str
) -> None:
    ((severity, message),) = told(loss, **options)
    assert severity == "defect"
    assert f"made with reduction={want}" in message


class Inner(nn.Module):
    """An attribute that is no option says nothing of the result."""

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "none"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction).mean()


def test_an_attribute_that_no_constructor_takes_promises_nothing() -> None:
    assert told(Inner(), "mse_loss") == []


# -- what grows and is no sum ------------------------------------------------------------------------------------------


def by_root(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    loss = (input - target).square()
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / len(loss) ** 0.5}.get(reduction, loss)


def only_by_root(input: Tensor, target: Tensor) -> Tensor:
    return by_root(input, target)


def test_a_mean_that_grows_is_told_though_it_is_no_other_reduction() -> None:
    ((severity, message),) = told(by_root, "mse_loss")
    assert severity == "defect"
    assert (
        "reduction='mean': it grows with the number of examples: with every example twice it is 1.41 times" in message
    )


@pytest.mark.parametrize("options", [{"like": "mse_loss"}, {"inputs": PAIR}])
def test_a_fixed_result_that_grows_is_told(options: dict[str, Any]) -> None:
    result = validate(only_by_root, check="reductions", dtype="float32", **options)
    (message,) = {f.message for f in result.findings if f.kind == "reduction"}
    assert "it grows with the number of examples: with every example twice it is 1.41 times as large" in message


def test_a_fixed_result_that_is_only_scaled_does_not_grow() -> None:
    def halved(input: Tensor, target: Tensor) -> Tensor:
        return 0.5 * means(input, target)

    (message,) = {f.message for f in validate(halved, "mse_loss", check="reductions", dtype="float32").findings}
    assert "grows" not in message
