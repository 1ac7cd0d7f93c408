"""Oracles of losses that torch does not have, at published figures and at the ends of the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reference import binary, boxes, contrastive, focal, hinges, overlap, robust
from reference.truth import Truth

INF, NAN = np.inf, np.nan
LARGEST = float(np.finfo(np.float64).max)
LOG_2 = float(np.log(2.0))


def row(oracle: Callable[..., Truth], *args: Any, **parameters: Any) -> tuple[float, dict[str, Any]]:
    """Value and gradients of one row."""
    with np.errstate(all="ignore"):
        truth = oracle(*(np.array([a], np.float64) for a in args), **parameters)
    return float(truth.value.exact[0]), {n: g.exact[0].tolist() for n, g in truth.gradients.items()}


UNIT = [0.0, 0.0, 1.0, 1.0]
VALUES: list[tuple[Callable[..., Truth], tuple[Any, ...], dict[str, Any], float]] = [
    (robust.log_cosh_loss, (3.0, 3.0), {}, 0.0),
    (robust.log_cosh_loss, (1e-9, 0.0), {}, 5e-19),
    (robust.log_cosh_loss, (1000.0, 0.0), {}, 1000.0 - LOG_2),
    (robust.log_cosh_loss, (-LARGEST, 0.0), {}, LARGEST),
    (robust.quantile_loss, (1.0, 3.0), {"quantile": 0.9}, 1.8),
    (robust.quantile_loss, (3.0, 1.0), {"quantile": 0.9}, 2.0 * (1.0 - 0.9)),
    (robust.quantile_loss, (NAN, 1.0), {}, NAN),
    (robust.rmse_loss, ([3.0, 4.0], [0.0, 0.0]), {}, np.sqrt(12.5)),
    (robust.rmse_loss, ([1e200, 1e200], [0.0, 0.0]), {}, 1e200),
    (robust.rmse_loss, ([1.0, 2.0], [1.0, 2.0]), {}, 0.0),
    (hinges.hinge_loss, (0.3, 1.0), {}, 0.7),
    (hinges.hinge_loss, (0.3, -1.0), {}, 1.3),
    (hinges.hinge_loss, (2.0, 1.0), {}, 0.0),
    (hinges.squared_hinge_loss, (0.5, -1.0), {}, 2.25),
    (focal.sigmoid_focal_loss, (0.0, 1.0), {}, 0.25 * 0.25 * LOG_2),
    (focal.sigmoid_focal_loss, (1000.0, 1.0), {}, 0.0),
    (focal.sigmoid_focal_loss, (-1000.0, 1.0), {}, 250.0),
    (focal.sigmoid_focal_loss_scalar_alpha, (0.0, 0.0), {"gamma": 0.0}, LOG_2),
    (boxes.box_iou_loss, (UNIT, UNIT), {}, 0.0),
    (boxes.box_iou_loss, ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), {}, 6.0 / 7.0),
    (boxes.box_iou_loss, (UNIT, [5.0, 5.0, 6.0, 6.0]), {}, 1.0),
    (boxes.generalized_box_iou_loss, ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), {}, 6.0 / 7.0 + 2.0 / 9.0),
    (boxes.iou_log_loss, ([0.0, 0.0, 1.0, 2.0], UNIT), {}, LOG_2),
    (boxes.distance_box_iou_loss, ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), {}, 6.0 / 7.0 + 2.0 / 18.0),
    (boxes.complete_box_iou_loss, ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), {}, 6.0 / 7.0 + 2.0 / 18.0),
    (contrastive.contrastive_loss, ([3.0, 4.0], [0.0, 0.0], 1.0), {}, 12.5),
    (contrastive.info_nce_loss, ([1.0, 0.0], [0.0, 1.0], [[0.0, 1.0]]), {}, LOG_2),
    (contrastive.info_nce_loss, ([1.0, 0.0], [1.0, 0.0], [[0.0, 1.0]]), {"temperature": 0.01}, np.exp(-100.0)),
    (overlap.dice_loss, ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]), {"smooth": 0.0}, 0.5),
    (overlap.dice_loss, ([0.0, 0.0], [0.0, 0.0]), {}, 0.0),
    (overlap.dice_loss, ([0.0, 0.0], [0.0, 0.0]), {"smooth": 0.0}, NAN),
    (overlap.dice_loss, ([1e-300, 0.0], [0.0, 1e-300]), {"smooth": 0.0}, 1.0),
    (overlap.dice_loss_squared, ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]), {"smooth": 0.0}, 0.5),
    (overlap.tversky_loss, ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]), {"alpha": 1.0, "beta": 1.0, "smooth": 0.0}, 2.0 / 3.0),
    (overlap.focal_tversky_loss, ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]), {"gamma": 2.0, "smooth": 0.0}, 0.25),
]


@pytest.mark.parametrize(("oracle", "args", "parameters", "value"), VALUES)
def test_values(oracle: Callable[..., Truth], args: tuple[Any, ...], parameters: dict[str, Any], value: float) -> None:
    assert row(oracle, *args, **parameters)[0] == pytest.approx(value, rel=4e-16, abs=0.0, nan_ok=True)


GRADIENTS: list[tuple[Callable[..., Truth], tuple[Any, ...], dict[str, Any], str, Any]] = [
    (robust.log_cosh_loss, (1e-9, 0.0), {}, "input", 1e-9),
    (robust.log_cosh_loss, (-LARGEST, LARGEST), {}, "input", -1.0),
    (robust.quantile_loss, (1.0, 3.0), {"quantile": 0.9}, "input", -0.9),
    (hinges.hinge_loss, (0.3, -1.0), {}, "input", 1.0),
    (hinges.squared_hinge_loss, (0.5, -1.0), {}, "input", 3.0),
    (focal.sigmoid_focal_loss_scalar_alpha, (-1000.0, 1.0), {}, "input", -1.0),
    (contrastive.info_nce_loss, ([1.0], [2.0], [[2.0]]), {"temperature": 1.0}, "positive", [-0.5]),
    # The product of both memberships is below the smallest number; their quotient is not.
    (overlap.dice_loss, ([2.0**-580], [2.0**-600]), {"smooth": 0.0}, "target", [-2.0 / (1.0 + 2.0**-20) ** 2]),
]


@pytest.mark.parametrize(("oracle", "args", "parameters", "name", "gradient"), GRADIENTS)
def test_gradients(
    oracle: Callable[..., Truth], args: tuple[Any, ...], parameters: dict[str, Any], name: str, gradient: Any
) -> None:
    assert row(oracle, *args, **parameters)[1][name] == pytest.approx(gradient, rel=4e-16, abs=0.0)


@pytest.mark.parametrize(
    ("positive", "negative", "cross_entropy", "loss"), [(0.5, 0.5, 0.6931, 0.0866), (0.9, 0.1, 0.1054, 0.0005)]
)
def test_focal_loss_on_probabilities_at_the_figures_of_its_tutorials(
    positive: float, negative: float, cross_entropy: float, loss: float
) -> None:
    """gamma 2, alpha 0.75: the mean over a positive and a negative, beside that of cross-entropy."""
    rows = ((positive, 1.0), (negative, 0.0))
    focused = [row(focal.binary_focal_loss, p, y, alpha=0.75, gamma=2.0)[0] for p, y in rows]
    plain = [row(binary.binary_cross_entropy, p, y)[0] for p, y in rows]
    assert np.mean(focused) == pytest.approx(loss, abs=5e-5)
    assert np.mean(plain) == pytest.approx(cross_entropy, abs=5e-5)


def test_two_boxes_moved_and_scaled_by_powers_of_two_have_the_same_loss() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 9.0]), np.array([2.0, 1.0, 5.0, 6.0])
    for oracle in (boxes.box_iou_loss, boxes.generalized_box_iou_loss, boxes.complete_box_iou_loss):
        want = row(oracle, a, b)[0]
        assert row(oracle, (a + 16.0) * 2.0**-40, (b + 16.0) * 2.0**-40)[0] == want
