"""A factor of a loss that refers to itself changes no verdict: its bounds have it too."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.custom import custom
from harness.itself import scale_of
from lossproof import Result, validate
from reference.truth import Truth, output

CHECKS = ["value", "gradient", "range", "edges"]
SCORES, CLASSES = ["logits(N)", "binary(N)"], ["logits(N, C)", "class_index(N)"]
FACTORS = (2.0**-10, 1.0, 2.0**4, 2.0**10)


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    s, t = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    return F.kl_div(s, t, reduction="batchmean", log_target=True)


def log_cosh(pred: Tensor, target: Tensor) -> Tensor:
    d = (pred - target).abs()
    return d + F.softplus(-2.0 * d) - math.log(2.0)


def smoothed(x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(x, y, reduction="none", label_smoothing=0.1)


def log1p_exp(x: Tensor, y: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x)) - x * y


def of_sigmoid(x: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy(torch.sigmoid(x), y, reduction="none")


def log_of_softmax(x: Tensor, y: Tensor) -> Tensor:
    return -torch.log(x.softmax(1)).gather(1, y[:, None])[:, 0]


def expanded(x: Tensor, y: Tensor) -> Tensor:
    return x * x - 2 * x * y + y * y


def of_squares(x: Tensor, y: Tensor) -> Tensor:
    return (x * x).sum(1) + (y * y).sum(1) - 2 * (x * y).sum(1)


def root(x: Tensor, y: Tensor) -> Tensor:
    return ((x - y) ** 2).mean(1).sqrt()


def angle(x: Tensor, y: Tensor) -> Tensor:
    return torch.acos(F.cosine_similarity(x, y))


def moments(x: Tensor) -> Tensor:
    return (x * x).mean(1) - x.mean(1) ** 2


def judged(loss: Callable[..., Tensor], inputs: Sequence[str], factor: float, **options: Any) -> Result:
    def times(*tensors: Tensor) -> Tensor:
        return factor * loss(*tensors)

    return validate(times, inputs=inputs, dtype="float32", name=loss.__name__, **{"check": CHECKS, **options})


def found(result: Result, severity: str) -> set[tuple[str, str]]:
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return {(f.kind, f.output) for f in result.findings if f.severity == severity}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("loss", "inputs"),
    [(divergence, ["logits(N, C)"] * 2), (log_cosh, ["real(N)"] * 2), (smoothed, CLASSES)],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_a_weakness_is_no_defect_of_a_multiple(loss: Any, inputs: list[str], factor: float) -> None:
    result = judged(loss, inputs, factor)
    assert found(result, "defect") == set()
    assert {kind for kind, _ in found(result, "weakness")} <= {"absolute-only", "vanished"}


BROKEN: list[tuple[Any, list[str], set[tuple[str, str]]]] = [
    (log1p_exp, SCORES, {("overflow", "value"), ("nan", "input0")}),
    (of_sigmoid, SCORES, {("unstable", "value"), ("vanished", "input0")}),
    (log_of_softmax, CLASSES, {("overflow", "value"), ("nan", "input0")}),
    (expanded, ["real(N)"] * 2, {("unstable", "value"), ("vanished", "value")}),
    (expanded, ["real(N, low=-100, high=100)"] * 2, {("unstable", "value")}),
    (of_squares, ["real(N, D, low=-100, high=100)"] * 2, {("unstable", "value")}),
    (moments, ["real(N, D, low=-1000, high=1000)"], {("unstable", "value")}),
    (root, ["real(N, D)"] * 2, {("nan", "input0"), ("nan", "input1")}),
    (angle, ["embedding(N, D)"] * 2, {("unstable", "value"), ("nan", "input0")}),
]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(("loss", "inputs", "want"), BROKEN, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_unstable_is_found_in_every_multiple(
    loss: Any, inputs: list[str], want: set[tuple[str, str]], factor: float
) -> None:
    assert want <= found(judged(loss, inputs, factor), "defect")


@pytest.mark.parametrize("factor", FACTORS)
def test_a_gradient_that_dies_is_found_in_every_multiple(factor: float) -> None:
    def clipped(x: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x.clamp(-5, 5), y, reduction="none")

    for loss, dead in ((clipped, True), (F.binary_cross_entropy_with_logits, False)):
        result = judged(loss, SCORES, factor, check="edges")
        assert (("dead-gradient", "input0") in found(result, "weakness")) == dead


@pytest.mark.parametrize("factor", [2.0**-30, 2.0**-10, 2.0**10, 2.0**30])
def test_the_scale_of_a_multiple_is_that_multiple_to_the_last_bit(factor: float) -> None:
    def scale(times: float) -> tuple[float, float]:
        subject = custom(lambda x, y: times * divergence(x, y), ["logits(N, C)"] * 2, name="it")
        x = np.random.default_rng(0).normal(0.0, 3.0, (5, 3))
        truth = subject.contract.truth({"x": x, "y": x[::-1].copy()}, {})
        return float(truth.value.absolute[0]), float(truth.gradients["x"].absolute[0, 0])

    one, many = scale(1.0), scale(factor)
    assert many == tuple(factor * s for s in one)


def test_rows_without_a_loss_or_a_slope_say_nothing_of_the_scale() -> None:
    def truth(value: list[float], gradient: list[list[float]]) -> Truth:
        of = {"x": output(np.array(gradient), absolute=1.0)}
        return Truth(value=output(np.array(value), absolute=1.0), gradients=of)

    scale = scale_of([truth([0.0, 4.0, np.inf], [[0.0, 0.0], [1.0, -2.0], [np.nan, 1.0]]), truth([0.0], [[0.0, 0.0]])])
    assert (scale.value, scale.slope) == (4.0, 3.0)
    flat = scale_of([truth([0.0, 0.0], [[0.0], [0.0]])])
    assert (flat.value, flat.slope) == (1.0, 1.0)
    assert "B_abs = 1 + 1 x" in flat.text


def test_rows_that_spoil_each_other_do_not_widen_their_own_bounds() -> None:
    def by_place(x: Tensor, y: Tensor) -> Tensor:
        return (x - y) ** 2 * (torch.arange(len(x)) + 1)

    plain = custom(lambda x, y: (x - y) ** 2, ["real(N)"] * 2, name="it")
    assert custom(by_place, ["real(N)"] * 2, name="it").contract.slope == plain.contract.slope


@pytest.mark.parametrize("declared", ["logits(N, C)", "embedding(N, C)", "real(N, C, low=-16, high=16)"])
def test_the_slope_of_a_mean_of_magnitudes_is_1(declared: str) -> None:
    subject = custom(lambda x: x.abs().mean(1), [declared])
    assert subject.contract.slope == pytest.approx(1.0)


def test_half_of_all_predictions_may_be_right() -> None:
    inputs = ["logits(N, largest=16.0)", "binary(N)"]
    for seed in range(8):
        subject = custom(
            lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"), inputs, name=f"it{seed}"
        )
        assert 0.5 < subject.contract.slope < 1.01
