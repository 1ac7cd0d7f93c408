"""Reproductions: literals hold every bit, and stay short where numbers repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness import registry
from harness.findings import literal
from harness.run import declarations

NUMBERS = st.sampled_from([0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), 5e-324, 0.1])


def evaluated(text: str) -> np.ndarray:
    tensor: torch.Tensor = eval(text, {"torch": torch})
    return tensor.numpy()


@settings(deadline=None, max_examples=200)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=12), elements=NUMBERS))
def test_a_literal_holds_every_bit(array: np.ndarray) -> None:
    again = evaluated(literal(array, "float64"))
    assert again.shape == array.shape
    assert np.array_equal(again, array, equal_nan=True)
    assert np.array_equal(np.signbit(again[~np.isnan(again)]), np.signbit(array[~np.isnan(array)]))


def test_numbers_that_repeat_are_counted() -> None:
    assert literal(np.zeros((1, 65_520)), "float16") == "torch.tensor([[0.0] * 65520], dtype=torch.float16)"
    one_hot = np.eye(1, 65_520)
    assert literal(one_hot, "float16") == "torch.tensor([[1.0, *[0.0] * 65519]], dtype=torch.float16)"
    assert literal(np.array([1, 1, 2]), "float16") == "torch.tensor([1, 1, 2], dtype=torch.int64)"
    assert evaluated(literal(np.zeros((2, 0)), "float32")).shape == (2, 0)


@pytest.mark.parametrize("name", sorted(s.name for s in registry.subjects() if s.faults))
def test_a_fault_is_shown_in_lines_that_can_be_read(name: str) -> None:
    (declared,) = declarations([s for s in registry.subjects() if s.name == name])
    for entry in declared.ledger:
        assert len(entry.reproduction) < 6_000, f"{entry.name}: {len(entry.reproduction)} characters"
