"""Controls of twins and witnesses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.binding import bind
from harness.checks import ledger, twin
from harness.checks.base import Context
from harness.deviations import NAN, Fault, Witness
from harness.effort import QUICK
from harness.ulp import FLOAT32
from tests.checking import MSE, mse, reduced, subject


class Module(torch.nn.Module):
    scale = 1.0

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse(input, target, self.reduction) * self.scale


class NearModule(Module):
    scale = 1.0 + 2.0**-20


@pytest.mark.parametrize(("module", "same"), [(Module, True), (NearModule, False)])
def test_a_module_is_its_functional_form(module: type, same: bool) -> None:
    pair = bind(module, MSE, twin=subject(mse, MSE))
    for item in twin._items(pair):
        context = Context(subject=pair, precision=FLOAT32, device="cpu", effort=QUICK, item=item)
        assert bool(twin.twin(context).findings) != same


def nan_above_ten(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = torch.where(input > 10, input * float("nan"), (input - target) ** 2)
    return reduced(value, reduction)


@pytest.mark.parametrize(("loss", "stale"), [(nan_above_ten, False), (mse, True)])
def test_a_witness_shows_its_fault_or_is_stale(loss: Any, stale: bool) -> None:
    fault = Fault(
        name="nan above 10",
        where="input > 10",
        region=lambda at: at["input"] > 10.0,
        outputs=("value",),
        seen=NAN,
        witnesses=(
            Witness(args={"input": "0x1.6p+3", "target": 0.0}),
            Witness(args={"input": [12.0], "target": [1.0]}),
        ),
    )
    holder = replace(subject(loss, MSE), faults=(fault,))
    assert ledger._items(holder) == ("nan above 10",)
    assert ledger._dtypes(holder, "nan above 10") == ("float32",)
    context = Context(subject=holder, precision=FLOAT32, device="cpu", effort=QUICK, item="nan above 10")
    assert ledger.witness(context).stale == (("nan above 10",) if stale else ())
