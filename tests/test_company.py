"""Rows that influence each other, and examples whose order matters, are told as that."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.findings import show
from harness.records import Trial
from lossproof import Result, validate

INDEPENDENT = "rows do not influence each other"


def centred(input: Tensor, target: Tensor) -> Tensor:
    return (input - input.mean() - target) ** 2


def standardised(input: Tensor, target: Tensor) -> Tensor:
    apart = input - target
    return (apart / (1 + apart.detach().abs().max())) ** 2


def by_place(input: Tensor, target: Tensor) -> Tensor:
    return (input - target) ** 2 * (torch.arange(len(input)) + 1)


def squares(input: Tensor, target: Tensor) -> Tensor:
    return (input - target) ** 2


def by_place_mean(input: Tensor, target: Tensor) -> Tensor:
    return by_place(input, target).mean()


def centred_mean(input: Tensor, target: Tensor) -> Tensor:
    return centred(input, target).mean()


def squares_mean(input: Tensor, target: Tensor) -> Tensor:
    return squares(input, target).mean()


DECLARED: tuple[dict[str, Any], ...] = ({"like": "mse_loss"}, {"inputs": ["real(N)", "real(N)"]})
BY = pytest.mark.parametrize("by", DECLARED, ids=lambda by: next(iter(by)))


def _trials(result: Result, item: str) -> list[Trial]:
    return [t for t in result.trials if t.item == item]


@BY
@pytest.mark.parametrize(
    ("loss", "dtype"),
    [*((f, "float32") for f in (centred, standardised, by_place)), *((f, "bfloat16") for f in (centred, by_place))],
)
def test_rows_that_influence_each_other_are_shown_with_few_of_them(loss: Any, dtype: str, by: dict[str, Any]) -> None:
    result = validate(loss, **by, dtype=dtype, check="laws", name="loss", expression="loss")
    (trial,) = _trials(result, INDEPENDENT)
    (finding,) = trial.findings
    assert finding.message.startswith(f"loss: {INDEPENDENT}: value of row ")
    assert finding.case is not None
    (rows,) = finding.case.tensors["input"].shape
    assert rows == 2 or dtype == "bfloat16", "a row and another one show it, but for the roundoff of a half"
    assert "  # of each row alone [" in finding.reproduction
    scope: dict[str, Any] = {"loss": loss}
    exec(finding.reproduction, scope)
    row = int(finding.message.partition("value of row ")[2].split()[0])
    alone = loss(scope["input"][row : row + 1], scope["target"][row : row + 1])
    assert f"expected {show(float(alone))} as alone" in finding.message
    assert f"got {show(float(scope['loss'][row]))} beside" in finding.message
    assert float(scope["loss"][row]) != float(alone)


def test_other_laws_say_that_they_are_not_judged_where_a_row_spoils_the_others() -> None:
    result = validate(centred, like="mse_loss", dtype="float32", check="laws")
    others = [t for t in result.trials if t.item != INDEPENDENT]
    assert others
    assert {t.verdict for t in others} == {"unsupported"}
    assert all(f"{INDEPENDENT!r} fails" in t.reason for t in others)


@BY
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_rows_that_do_not_are_left_alone(dtype: str, by: dict[str, Any]) -> None:
    result = validate(squares, **by, dtype=dtype, check="laws")
    assert {t.verdict for t in _trials(result, INDEPENDENT)} == {"pass"}


@BY
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_order_that_matters_is_told_of_a_mean(dtype: str, by: dict[str, Any]) -> None:
    def said(loss: Any) -> str:
        result = validate(loss, **by, dtype=dtype, check="reductions")
        return " ".join(f.message for t in result.trials for f in t.findings if f.kind == "reduction")

    assert "and another number; the order of the examples changes the result: " in said(by_place_mean)
    assert "in reverse" in said(by_place_mean)
    assert "and another number" in said(centred_mean)
    assert "order of the examples" not in said(centred_mean)
    assert not said(squares_mean)
