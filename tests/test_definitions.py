"""Every oracle against its definition in mpmath over the domain of its Contract; float64 judged by the definition."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from mpmath import mp

from harness import registry
from harness.api import validate
from harness.cases import from_record
from harness.certificates import certificate, certificates, oracle_ulp, path_of
from harness.certify import certify, drawn, errors
from harness.contract import Contract
from reference.binary import soft_margin_loss
from reference.definition import BITS, defined
from reference.truth import Array, Truth, output

CONTRACTS = registry.contracts()
WELL_CONDITIONED_ULP = 4.0
SLOW = {"ctc_loss_of_logits": 60, "multilabel_soft_margin_loss": 100, "cross_entropy": 160}
"""Rows of those whose definition takes milliseconds a row."""
ELSEWHERE = 1.5
"""Ulp by which another machine may differ: NumPy's exp and log come from another kernel on another processor, an ulp
apart, and a matrix product of one row may round otherwise than that of many."""


def test_every_contract_has_a_definition_and_a_certificate_and_no_other_has() -> None:
    assert {name for name, c in CONTRACTS.items() if c.definition is None} == set()
    assert set(certificates()) == set(CONTRACTS)
    for contract in CONTRACTS.values():
        assert certificate(contract) is not None, f"{contract.name}: certified for another oracle; certify it again"


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_oracle_is_within_its_certificate_on_other_inputs(name: str) -> None:
    found = certify(CONTRACTS[name], rows=SLOW.get(name, 200), seed=1)
    assert found.ulp <= WELL_CONDITIONED_ULP, f"{found.output} at {found.case}"


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_certificate_shows_what_it_says(name: str) -> None:
    kept = certificates()[name]
    again = errors(CONTRACTS[name], from_record(kept.case))[kept.output].max()
    assert again == pytest.approx(kept.ulp, abs=ELSEWHERE)
    assert kept.ulp <= WELL_CONDITIONED_ULP


TINY = mp.ldexp(1, -1074)


def digits(entry: Any) -> list[str]:
    return [mp.nstr(e, 60) for e in entry]


@pytest.mark.parametrize("name", CONTRACTS)
def test_twice_the_precision_changes_nothing_in_60_digits(name: str) -> None:
    contract = CONTRACTS[name]
    assert contract.definition is not None
    shared = {a.name for a in contract.args if a.shared}
    for batch in islice(drawn(contract, rows=1), 6):
        few = batch.take(contract, slice(0, 2))
        once, twice = (
            defined(contract.definition, few.args, few.parameters, shared, bits=bits) for bits in (BITS, 2 * BITS)
        )
        for key, ends in once.items():
            for a, b in zip(ends, twice[key], strict=True):
                # What cancels to less than any float64 number has no digits to keep.
                close = [
                    x == y or mp.isnan(x) or abs(x - y) <= max(abs(y), TINY) * mp.mpf(10) ** -60
                    for x, y in zip(a, b, strict=True)
                ]
                assert all(close), (key, digits(a), digits(b))


def naive_oracle(input: Array, target: Array) -> Truth:
    """log(1 + exp(-y x)) as it is written: loses its digits in the tail and overflows."""
    truth = soft_margin_loss(input, target)
    with np.errstate(all="ignore"):
        return replace(truth, value=output(np.log(1.0 + np.exp(-target * input)), absolute=truth.value.absolute))


def test_an_oracle_that_loses_digits_is_not_certified() -> None:
    contract = replace(CONTRACTS["soft_margin_loss"], oracle=naive_oracle)
    assert certify(contract).ulp > 1e6
    assert certificate(contract) is None
    assert oracle_ulp(contract) == WELL_CONDITIONED_ULP
    assert path_of(contract.oracle).endswith("naive_oracle")


SKEW = 1.0 + 2.0**-44
"""256 roundings of float64: sixteen times what a few ulp may be, and nothing to the other dtypes."""


def skewed_oracle(input: Array, target: Array) -> Truth:
    truth = soft_margin_loss(input, target)
    return replace(truth, value=replace(truth.value, exact=truth.value.exact * SKEW))


def skewed_loss(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = -torch.nn.functional.logsigmoid(target * input)
    value = value * SKEW if value.dtype == torch.float64 else value
    return value if reduction == "none" else getattr(torch, reduction)(value)


@pytest.fixture
def agreeing() -> Contract:
    """A Contract whose oracle has the very error of ``skewed_loss``."""
    return replace(CONTRACTS["soft_margin_loss"], oracle=skewed_oracle)


def test_a_float64_loss_that_agrees_with_a_wrong_oracle_is_found_by_the_definition(agreeing: Contract) -> None:
    alone = replace(agreeing, definition=None)
    assert validate(skewed_loss, alone, dtype="float64", check="value").ok, "the wrong oracle sees its own error"
    result = validate(skewed_loss, agreeing, dtype="float64", check="value")
    assert not result.ok
    assert result.verdict == "fail"


def test_a_sound_float64_loss_is_judged_by_the_definition_and_passes() -> None:
    def sound(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        value = -torch.nn.functional.logsigmoid(target * input)
        return value if reduction == "none" else getattr(torch, reduction)(value)

    result = validate(sound, "soft_margin_loss", dtype="float64", strict=True)
    (survey,) = [line for line in result.lines if type(line).__name__ == "Survey"]
    assert survey.defined >= 10  # type: ignore[union-attr]
    assert result.ok, [f.message for f in result.findings]


def test_a_wrong_oracle_is_to_blame_where_its_definition_is_not_on_its_side(agreeing: Contract) -> None:
    def sound(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
        value = -torch.nn.functional.logsigmoid(target * input)
        return value if reduction == "none" else getattr(torch, reduction)(value)

    result = validate(sound, agreeing, dtype="float64", check="value")
    assert result.verdict == "error"
    assert "oracle and definition differ" in result.trials[0].reason
