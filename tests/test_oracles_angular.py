"""The oracle of the additive angular margin: figures, both gradients against the definition, the kink and the jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp

from harness.bounds import astray
from harness.ulp import BFLOAT16, FLOAT32
from reference.angular import arcface_loss
from reference.definition import defined, nearest
from reference.mp import angular
from reference.reductions import reduce
from reference.truth import Array, Output, Truth

AXES = np.array([[1.0, 0.0], [0.0, 2.0]])
NAN = np.nan


def one(embedding: list[float], weight: Array = AXES, label: int = 0, **parameters: float) -> Truth:
    return arcface_loss(np.array([embedding]), weight, np.array([label]), **parameters)


@pytest.mark.parametrize(
    ("embedding", "weight", "parameters", "value"),
    [
        ([3.0, 0.0], AXES, {"scale": 8.0}, np.log1p(np.exp(-8.0 * np.cos(0.5)))),
        ([0.0, 1.0], np.array([[1.0, 0.0], [-1.0, 0.0]]), {"scale": 8.0}, np.log1p(np.exp(8.0 * np.sin(0.5)))),
        ([-2.0, 0.0], AXES, {"scale": 8.0}, np.log1p(np.exp(8.0 * (1.0 + 0.5 * np.sin(0.5))))),
        ([3.0, 4.0], AXES, {"scale": 5.0, "margin": 0.0}, np.log1p(np.exp(1.0))),
        ([1.0, 0.0], np.array([[1.0, 0.0], [-1.0, 0.0]]), {"margin": 0.0}, np.exp(-128.0)),
        ([1.0, 2.0], np.array([[1.0, -5.0]]), {}, 0.0),
        ([NAN, 2.0], AXES, {}, NAN),
    ],
)
def test_figures(embedding: list[float], weight: Array, parameters: dict[str, float], value: float) -> None:
    assert one(embedding, weight, **parameters).value.exact[0] == pytest.approx(value, rel=1e-14, nan_ok=True)


@pytest.mark.parametrize("parameters", [{}, {"scale": 8.0}, {"margin": 0.0}])
def test_gradients_of_embeddings_and_weights_are_those_of_the_definition(parameters: dict[str, float]) -> None:
    """A certificate leaves out what all rows share: the weights are asked here, a row at a time."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, w, y = rng.normal(size=(1, 4)), rng.normal(size=(3, 4)), rng.integers(0, 3, 1)
        if rng.random() < 0.3:
            x = w[y] * rng.choice([-2.0, 2.0]) + 2.0 ** rng.uniform(-40.0, -2.0) * rng.normal(size=(1, 4))
        truth = arcface_loss(x, w, y, **parameters)
        ends = defined(angular.arcface_loss, {"embeddings": x, "weight": w[None], "labels": y}, parameters)
        for name, got in truth.outputs().items():
            want = nearest(ends[name][0], got.exact.shape)
            # At an angle theta the direction of the gradient turns by the rounding over theta.
            scale = np.abs(want) + got.reference + got.accumulation
            assert (np.abs(got.exact - want) <= 2.0**-51 * scale).all(), name


def test_the_gradient_of_the_weights_is_summed_over_rows() -> None:
    rng = np.random.default_rng(1)
    x, w, y, passed = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.integers(0, 4, 5), rng.normal(size=5)
    whole = arcface_loss(x, w, y, upstream=passed).gradients["weight"].exact
    rows = [arcface_loss(x[i : i + 1], w, y[i : i + 1]).gradients["weight"].exact for i in range(5)]
    np.testing.assert_allclose(whole, np.tensordot(passed, rows, axes=1), atol=1e-13)


@pytest.mark.parametrize("length", [1.0, 3.0, 0.3])
def test_along_the_own_weight_every_direction_across_is_the_steepest(length: float) -> None:
    truth = one([length, 0.0], scale=1.0)
    slope = np.sin(0.5) / (1.0 + np.exp(np.cos(0.5)))
    for name, steepest in (("embeddings", [0.0, slope / length]), ("weight", [0.0, slope])):
        interval = truth.gradients[name].interval
        assert interval is not None
        free = (interval[1] - interval[0])[0] / 2.0
        np.testing.assert_allclose(free, steepest, rtol=1e-14)


def test_any_multiple_of_the_own_weight_is_along_it() -> None:
    rng = np.random.default_rng(2)
    w = np.round(rng.normal(size=(3, 5)) * 1024.0)
    for factor in (3.0, 5.0, 7.0 / 16.0):
        interval = one((factor * w[1]).tolist(), w, 1).gradients["embeddings"].interval
        assert interval is not None
        assert (interval[0] < interval[1]).all()


def test_beyond_the_threshold_the_logit_jumps_and_goes_on() -> None:
    """-1 at theta = pi - 0.5, and -cos(0.5) - 0.5 sin(0.5) just beyond."""

    def logit(theta: float) -> float:
        value = float(one([np.cos(theta), np.sin(theta)], scale=1.0, label=0).value.exact[0])
        return float(np.sin(theta) - np.log(np.expm1(value)))

    threshold = np.pi - 0.5
    assert logit(threshold - 1e-9) == pytest.approx(-1.0, abs=1e-8)
    assert logit(threshold + 1e-9) == pytest.approx(-np.cos(0.5) - 0.5 * np.sin(0.5), abs=1e-8)


@pytest.mark.parametrize("output", ["value", "embeddings", "weight"])
def test_a_rounding_at_the_threshold_costs_the_jump_and_no_more(output: str) -> None:
    """All where bfloat16 cannot tell the sides apart, a tenth where float32 nearly can, nothing to speak of far off."""

    def at(theta: float) -> Output:
        weight = np.array([[1.0, 0.0], [0.3, 1.0]])
        return one([np.cos(theta), np.sin(theta)], weight, scale=4.0, label=0).outputs()[output]

    threshold = np.pi - 0.5
    before, after, far = (at(threshold + off) for off in (-1e-4, 1e-4, -1.0))
    jump = np.abs(before.exact - after.exact)
    assert jump.max() > 0.1
    assert (astray(before, FLOAT32, 32.0) <= 0.1 * jump.max()).all()
    admitted = astray(before, BFLOAT16, 32.0)
    assert np.allclose(admitted, jump, rtol=0.02, atol=1e-3)
    assert (astray(far, BFLOAT16, 32.0) <= 0.1 * jump.max()).all()
    assert (astray(far, FLOAT32, 32.0) <= 1e-3 * jump.max()).all()
    tied = at(threshold)
    assert tied.interval is not None
    low, high = tied.interval
    for side in (before, after):
        assert (np.clip(side.exact, low - 1e-3, high + 1e-3) == side.exact).all()
    assert (astray(tied, BFLOAT16, 32.0) == 0.0).all()


def test_a_mean_over_a_row_at_the_threshold_has_the_ends_of_its_jump() -> None:
    theta = np.pi - 0.5
    truth = one([np.cos(theta), np.sin(theta)], scale=4.0, label=0)
    low, high = reduce(truth, np.array([-0.5])).value.interval or (0.0, 0.0)
    assert truth.value.interval is not None
    assert (low, high) == (-0.5 * truth.value.interval[1], -0.5 * truth.value.interval[0])
    assert high - low > 0.1


def test_the_definition_takes_parallel_vectors_exactly() -> None:
    with mp.workprec(200):
        x = [mp.mpf(v) for v in (0.1, 0.2)]
        assert angular.parallel(x, [3 * v for v in x])
        near: list[Any] = [3 * x[0], 3 * x[1] + mp.mpf(2) ** -150]
        assert not angular.parallel(x, near)
