"""The oracle of the Lovasz hinge: figures, the published algorithm, ties and extremes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from reference.lovasz import lovasz_hinge_loss
from reference.truth import Array

INF, NAN = np.inf, np.nan
LARGEST = float(np.finfo(np.float64).max)


def at(input: list[float], target: list[float]) -> tuple[float, list[float]]:
    """Value and gradient of one image."""
    truth = lovasz_hinge_loss(np.array([input]), np.array([target]))
    return float(truth.value.exact[0]), truth.gradients["input"].exact[0].tolist()


def published(input: Array, target: Array, order: Any) -> tuple[float, Array]:
    """Algorithm 1 with the pixels in some falling order of their errors: value and gradient of one image."""
    sign = 2.0 * target - 1.0
    errors, labels = (1.0 - sign * input)[order], target[order]
    jaccard = 1.0 - (labels.sum() - np.cumsum(labels)) / (labels.sum() + np.cumsum(1.0 - labels))
    growth = np.diff(jaccard, prepend=0.0)
    gradient = np.zeros_like(input)
    gradient[order] = -sign[order] * growth * (errors > 0.0)
    return float(np.maximum(errors, 0.0) @ growth), gradient


@pytest.mark.parametrize(
    ("input", "target", "value", "gradient"),
    [
        ([-1.0, 3.0, -3.0], [1.0, 1.0, 0.0], 1.0, [-0.5, 0.0, 0.0]),
        ([2.0, 3.0, 0.5], [1.0, 1.0, 0.0], 0.5, [0.0, 0.0, 1.0 / 3.0]),
        ([0.25, -0.5, 0.5], [0.0, 0.0, 0.0], 1.5, [0.0, 0.0, 1.0]),
        ([0.5], [1.0], 0.5, [-1.0]),
        ([-LARGEST, 0.0], [1.0, 1.0], LARGEST / 2.0, [-0.5, -0.5]),
        ([-INF, 3.0], [1.0, 1.0], INF, [-0.5, 0.0]),
        ([NAN, 3.0], [1.0, 1.0], NAN, [NAN, NAN]),
    ],
)
def test_figures(input: list[float], target: list[float], value: float, gradient: list[float]) -> None:
    got, slope = at(input, target)
    np.testing.assert_allclose(got, value, rtol=4e-16)
    np.testing.assert_allclose(slope, gradient, rtol=4e-16)


def test_without_ties_it_is_the_published_algorithm() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.0, 2.0, (200, 9)), (rng.random((200, 9)) < rng.random((200, 1))).astype(float)
    truth = lovasz_hinge_loss(x, y)
    for row in range(len(x)):
        order = np.argsort(-(1.0 - (2.0 * y[row] - 1.0) * x[row]))
        value, gradient = published(x[row], y[row], order)
        assert truth.value.exact[row] == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(truth.gradients["input"].exact[row], gradient, atol=1e-15)


@pytest.mark.parametrize("target", [[1.0, 0.0, 1.0, 0.0, 0.0], [0.0] * 5, [1.0] * 5])
def test_between_ties_the_gradient_is_all_that_some_order_gives(target: list[float]) -> None:
    """Two errors of 2, two of 1 - 1/8 and one of 0."""
    y = np.array(target)
    x = (2.0 * y - 1.0) * np.array([-1.0, -1.0, 0.125, 0.125, 1.0])
    errors = 1.0 - (2.0 * y - 1.0) * x
    orders = [list(o) for o in permutations(range(5)) if (np.diff(errors[list(o)]) <= 0.0).all()]
    values, gradients = zip(*(published(x, y, o) for o in orders), strict=True)
    truth = lovasz_hinge_loss(x[None], y[None])
    interval = truth.gradients["input"].interval
    assert interval is not None
    assert truth.value.exact[0] == pytest.approx(max(values), rel=1e-15)
    assert max(values) == pytest.approx(min(values), rel=1e-15)
    np.testing.assert_allclose(interval[0][0, :4], np.min(gradients, axis=0)[:4], rtol=1e-14)
    np.testing.assert_allclose(interval[1][0, :4], np.max(gradients, axis=0)[:4], rtol=1e-14)
    # At an error of 0 the hinge is open or shut.
    assert min(abs(interval[0][0, 4]), abs(interval[1][0, 4])) == 0.0


def test_errors_are_put_in_order_before_they_round() -> None:
    """1 - 1e-20 and 1 - 2e-20 are one number; the first pixel is still the one that is further off."""
    assert at([1e-20, 2e-20], [1.0, 0.0])[1] == [-0.5, 0.5]
    assert at([-2e-20, -1e-20], [0.0, 0.0])[1] == [0.0, 1.0]
