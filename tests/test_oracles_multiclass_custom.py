"""Losses of one class against many that torch does not have: figures, identities, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference import multiclass, softmax_family, sparse, top_k
from reference.classification import class_balanced_cross_entropy, cross_entropy
from reference.truth import Array, Truth

INF, NAN = np.inf, np.nan
BIG = 1e308


def at(oracle: Any, input: list[float], target: int, **parameters: Any) -> tuple[float, list[float]]:
    """Value and gradient of one row."""
    with np.errstate(all="ignore"):
        truth: Truth = oracle(np.array([input]), np.array([target]), **parameters)
    return float(truth.value.exact[0]), truth.gradients["input"].exact[0].tolist()


FIGURES = [
    (softmax_family.focal_loss, [7.0] * 4, 2, {}, 0.75**2 * np.log(4.0)),
    (softmax_family.focal_loss, [0.0, 0.0], 1, {"gamma": 0.5}, np.sqrt(0.5) * np.log(2.0)),
    (softmax_family.poly1_cross_entropy, [7.0] * 4, 2, {"epsilon": 2.0}, np.log(4.0) + 1.5),
    (softmax_family.poly1_cross_entropy, [0.0, 40.0], 1, {"epsilon": -1.0}, 0.5 * np.exp(-80.0)),
    (softmax_family.generalised_cross_entropy, [7.0] * 4, 2, {}, (1.0 - 0.25**0.7) / 0.7),
    (softmax_family.generalised_cross_entropy, [0.0, 40.0], 1, {}, np.exp(-40.0)),
    (softmax_family.symmetric_cross_entropy, [7.0] * 4, 2, {}, 0.1 * np.log(4.0) + 3.0),
    (softmax_family.categorical_cross_entropy, [0.05, 0.95, 0.0], 1, {}, 0.0512932943875505),
    (multiclass.multiclass_hinge_loss, [1.0, 2.0, 4.0], 0, {}, 6.0),
    (multiclass.multiclass_hinge_loss, [3.2, 5.1, -1.7], 0, {}, 2.9),  # the cat of the notes of CS231n
    (multiclass.crammer_singer_loss, [1.0, 2.0, 4.0], 0, {}, 4.0),
    (sparse.sparsemax_loss, [7.0] * 4, 2, {}, 0.375),
    (sparse.sparsemax_loss, [0.5, 0.0], 0, {}, 0.0625),
    (sparse.entmax15_loss, [7.0] * 4, 2, {}, 2.0 / 3.0),
    (sparse.entmax15_loss, [0.0, 0.0], 0, {}, 4.0 / 3.0 * (1.0 - np.sqrt(0.5))),
    (top_k.top_k_cross_entropy, [7.0] * 4, 2, {"k": 3}, np.log(3.0)),
    (top_k.top_k_cross_entropy, [2.0, 2.0, 0.0, 2.0], 2, {"k": 3}, 2.0 + np.log(3.0)),
    (top_k.top_k_cross_entropy, [40.0, 0.0, -1.0], 0, {"k": 2}, np.exp(-40.0)),
    (top_k.top_k_cross_entropy, [0.5, 2.0, 1.0], 0, {"k": 1}, 1.5),
]


def test_the_weights_of_effective_numbers() -> None:
    """(1 - beta) / (1 - beta**n) is 1 of one sample, and tends to 1 / n for few and to 1 - beta for many."""
    x, y = np.zeros((4, 4)), np.arange(4)
    value = class_balanced_cross_entropy(x, y, np.array([1, 10, 100, 10**6]), beta=0.99).value.exact / np.log(4.0)
    np.testing.assert_allclose(value, [1.0, 0.10458289, 0.01577368, 0.01], rtol=1e-6)
    close = class_balanced_cross_entropy(x, y, np.array([1, 10, 100, 1000]), beta=1 - 2.0**-50).value.exact
    np.testing.assert_allclose(close / np.log(4.0), [1.0, 0.1, 0.01, 0.001], rtol=1e-9)


@pytest.mark.parametrize(("oracle", "input", "target", "parameters", "value"), FIGURES)
def test_figures(oracle: Any, input: list[float], target: int, parameters: dict[str, Any], value: float) -> None:
    assert at(oracle, input, target, **parameters)[0] == pytest.approx(value, rel=1e-14)


EXTREMES = [
    (softmax_family.focal_loss, [BIG, -BIG], 1, {}, INF, [1.0, -1.0]),
    (softmax_family.focal_loss, [BIG, 0.0], 0, {"gamma": 0.5}, 0.0, [0.0, 0.0]),
    (softmax_family.focal_loss, [0.0, -INF], 0, {"gamma": 0.5}, 0.0, [0.0, 0.0]),
    (softmax_family.focal_loss, [3.0], 0, {"gamma": 0.5}, 0.0, [0.0]),
    (softmax_family.poly1_cross_entropy, [BIG, 0.0], 1, {}, BIG, [1.0, -1.0]),
    (softmax_family.generalised_cross_entropy, [BIG, -BIG], 1, {"q": 0.5}, 2.0, [0.0, 0.0]),
    (softmax_family.symmetric_cross_entropy, [BIG, -BIG], 1, {}, 2e307, [0.1, -0.1]),
    (softmax_family.categorical_cross_entropy, [1.0, 0.0], 1, {}, INF, [0.0, -INF]),
    (softmax_family.categorical_cross_entropy, [NAN, 0.5], 1, {}, np.log(2.0), [0.0, -2.0]),
    (multiclass.multiclass_hinge_loss, [BIG, -BIG], 1, {}, INF, [1.0, -1.0]),
    (multiclass.crammer_singer_loss, [BIG, -BIG], 0, {}, 0.0, [0.0, 0.0]),
    (multiclass.crammer_singer_loss, [0.0, NAN, 3.0], 0, {}, NAN, [NAN, NAN, 0.0]),
    (multiclass.crammer_singer_loss, [3.0], 0, {}, 0.0, [0.0]),
    (sparse.sparsemax_loss, [BIG, 0.0, -BIG], 1, {}, BIG, [1.0, -1.0, 0.0]),
    (sparse.sparsemax_loss, [1.0, 0.0, 0.0], 0, {}, 0.0, [0.0, 0.0, 0.0]),
    (sparse.entmax15_loss, [BIG, 0.0, -BIG], 1, {}, BIG, [1.0, -1.0, 0.0]),
    (sparse.entmax15_loss, [2.0, 0.0, -INF], 0, {}, 0.0, [0.0, 0.0, 0.0]),
    (sparse.entmax15_loss, [NAN, 0.0], 1, {}, NAN, [NAN, NAN]),
    (top_k.top_k_cross_entropy, [BIG, 0.0, -BIG], 1, {"k": 2}, BIG, [1.0, -1.0, 0.0]),
    (top_k.top_k_cross_entropy, [BIG, -BIG, 0.0], 1, {"k": 1}, INF, [1.0, -1.0, 0.0]),
    (top_k.top_k_cross_entropy, [0.0, -INF, -INF], 0, {"k": 2}, 0.0, [0.0, 0.0, 0.0]),
    (top_k.top_k_cross_entropy, [0.0, NAN, 3.0], 0, {"k": 2}, NAN, [NAN, NAN, NAN]),
]


@pytest.mark.parametrize(("oracle", "input", "target", "parameters", "value", "gradient"), EXTREMES)
def test_extremes(
    oracle: Any, input: list[float], target: int, parameters: dict[str, Any], value: float, gradient: list[float]
) -> None:
    got, slope = at(oracle, input, target, **parameters)
    np.testing.assert_allclose(got, value, rtol=1e-15)
    np.testing.assert_array_equal(slope, gradient)


def drawn() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(0.0, 3.0, (200, 5)), rng.integers(0, 5, 200)


@pytest.mark.parametrize(
    ("oracle", "parameters"),
    [
        (softmax_family.focal_loss, {"gamma": 0.0}),
        (softmax_family.poly1_cross_entropy, {"epsilon": 0.0}),
        (softmax_family.generalised_cross_entropy, {"q": 1e-13}),
        (softmax_family.symmetric_cross_entropy, {"alpha": 1.0, "beta": 0.0}),
    ],
)
def test_the_limit_is_cross_entropy(oracle: Any, parameters: dict[str, float]) -> None:
    x, y = drawn()
    got, want = oracle(x, y, **parameters), cross_entropy(x, y)
    np.testing.assert_allclose(got.value.exact, want.value.exact, rtol=1e-11)
    np.testing.assert_allclose(got.gradients["input"].exact, want.gradients["input"].exact, rtol=1e-11)


@pytest.mark.parametrize("oracle", [sparse.sparsemax_loss, sparse.entmax15_loss])
def test_a_sparse_loss_vanishes_just_where_the_target_has_all_of_the_probability(oracle: Any) -> None:
    x, y = drawn()
    truth = oracle(x, y)
    still = (truth.gradients["input"].exact == 0.0).all(axis=1)
    np.testing.assert_array_equal(truth.value.exact == 0.0, still)
    assert 0 < still.sum() < len(still)


def test_over_as_many_logits_as_there_are_it_is_cross_entropy() -> None:
    x, y = drawn()
    got, want = top_k.top_k_cross_entropy(x, y, k=5), cross_entropy(x, y)
    np.testing.assert_array_equal(got.value.exact, want.value.exact)
    np.testing.assert_allclose(got.gradients["input"].exact, want.gradients["input"].exact, rtol=4e-16)


def test_of_a_target_that_is_not_among_the_largest_it_is_at_least_log_k() -> None:
    x, y = drawn()
    behind = (x > np.take_along_axis(x, y[:, None], axis=1)).sum(axis=1) >= 3
    value = top_k.top_k_cross_entropy(x, y, k=3).value.exact
    assert 0 < behind.sum() < len(behind)
    assert (value[behind] >= np.log(3.0)).all()
    assert (value >= 0.0).all()


def test_tied_for_the_last_of_the_largest_each_may_be_chosen() -> None:
    """Of four equal logits three have a third each; the target, tied too, less 1."""
    gradient = top_k.top_k_cross_entropy(np.array([[0.0, 0.0, 0.0, 0.0, -9.0]]), np.array([1]), k=3).gradients["input"]
    assert gradient.interval is not None
    third = 1.0 / 3.0
    np.testing.assert_allclose(
        gradient.interval, [[[0.0, -1.0, 0.0, 0.0, 0.0]], [[third, third - 1.0, third, third, 0.0]]], rtol=1e-15
    )


def test_tied_winners_may_have_any_share() -> None:
    gradient = multiclass.crammer_singer_loss(np.array([[0.0, 2.0, 2.0]]), np.array([0])).gradients["input"]
    assert gradient.interval is not None
    np.testing.assert_array_equal(gradient.interval, [[[-1.0, 0.0, 0.0]], [[-1.0, 1.0, 1.0]]])


def test_just_at_the_margin_the_hinge_may_be_open_or_shut() -> None:
    gradient = multiclass.crammer_singer_loss(np.array([[1.0, 0.0, -3.0]]), np.array([0])).gradients["input"]
    assert gradient.interval is not None
    np.testing.assert_array_equal(gradient.interval, [[[-1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]])
