"""The oracle of CTC against its definition in mpmath, by paths and by recursion, and against torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from reference.mp import sequence as definitions
from reference.sequence import Indices, ctc_loss, ctc_loss_of_logits, ctc_loss_raw_gradient
from reference.truth import Array, Output

U = 2.0**-53
SUBNORMAL, LARGEST = 5e-324, float(np.finfo(np.float64).max)
Batch = tuple[Array, Indices, Indices, Indices]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    normalised: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def scores(scale: float) -> Draw:
    return lambda rng, shape: log_softmax(scale * rng.standard_normal(shape))


def confident(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One class near certain at every time: the loss is tiny where the target is what the rows say."""
    x = -(10.0 ** rng.uniform(0, 2.5, shape))
    top = rng.integers(0, 2, shape[:-1])[..., None]
    np.put_along_axis(x, top, -(10.0 ** rng.uniform(-300, -3, top.shape)), axis=-1)
    return x


def magnitudes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    top = np.where(rng.random(shape) < 0.02, 306, 12)
    return -(10.0 ** rng.uniform(-320, top, shape))


def mixed_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(-30, 30, shape)


def with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Impossible classes (-inf), certain ones (0) and ties."""
    return np.where(rng.random(shape) < 0.25, -np.inf, np.round(2 * log_softmax(rng.standard_normal(shape))))


KINDS: dict[str, Draw] = {
    "log_softmax": scores(1.0),
    "log_softmax of tens": scores(20.0),
    "log_softmax of thousands": scores(2000.0),
    "confident": confident,
    "every magnitude": magnitudes,
    "not normalised": mixed_signs,
    "-inf and ties": with_zeros,
}


def batch(draw: Draw, rows: int, times: int, classes: int, labels: int, blank: int, seed: int = 0) -> Batch:
    """Lengths of all kinds: empty targets, no input, targets too long for their input; padding that is no class."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes - 1, (rows, labels))
    targets += targets >= blank
    targets[: rows // 4, 1:] = targets[: rows // 4, :-1]
    target_lengths = rng.integers(0, labels + 1, rows)
    input_lengths = np.where(rng.random(rows) < 0.6, times, rng.integers(0, times + 1, rows))
    targets[np.arange(labels) >= target_lengths[:, None]] = -7
    return draw(rng, (rows, times, classes)), targets, input_lengths, target_lengths


def defined(data: Batch, define: Callable[..., Any], blank: int) -> list[tuple[Any, list[list[Any]]]]:
    """The definition row by row, its gradient with zeros beyond the input length."""
    log_probs, targets, input_lengths, target_lengths = data
    _, times, classes = log_probs.shape
    want = []
    for x, y, t, n in zip(log_probs, targets, input_lengths, target_lengths, strict=True):
        value, gradients = define(x[:t].tolist(), y[:n].tolist(), blank=blank)
        want.append((value, gradients["log_probs"] + [[mp.zero] * classes] * (times - int(t))))
    return want


def excess(got: float, want: Any, bound: float) -> float:
    if np.isnan(got) or mp.isnan(want):
        return 0.0 if np.isnan(got) and mp.isnan(want) else np.inf
    if not mp.isfinite(want) or abs(want) > LARGEST or not np.isfinite(got):
        return 0.0 if got == float(want) else np.inf
    return float(abs(mp.mpf(got) - want) / (U * mp.mpf(bound) + SUBNORMAL))


def largest(out: Output, want: list[Any]) -> tuple[float, int]:
    bound = np.broadcast_to(out.reference + 4 * out.accumulation, out.exact.shape).ravel()
    errors = [excess(float(g), w, float(b)) for g, w, b in zip(out.exact.ravel(), want, bound, strict=True)]
    place = int(np.argmax(errors))
    return errors[place], place


def certify(data: Batch, define: Callable[..., Any], blank: int) -> None:
    truth = ctc_loss(*data, blank=blank)
    want = defined(data, define, blank)
    flat = {"value": [v for v, _ in want], "log_probs": [e for _, g in want for row in g for e in row]}
    for name, out in truth.outputs().items():
        error, place = largest(out, flat[name])
        row = place * len(want) // out.exact.size
        got, truly = out.exact.ravel()[place], flat[name][place]
        assert error <= 4.0, f"{name}: {error:.3g} roundings in row {row}: got {got!r}, want {mp.nstr(truly, 20)}"


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_ctc_is_its_definition_over_all_paths(kind: str, blank: int) -> None:
    with mp.workprec(1300):
        certify(batch(KINDS[kind], 60, 4, 3, 3, blank), definitions.ctc_loss_by_paths, blank)


@pytest.mark.parametrize("kind", KINDS)
def test_ctc_is_the_plain_recursion(kind: str) -> None:
    with mp.workprec(1300):
        certify(batch(KINDS[kind], 40, 9, 5, 4, 1, seed=1), definitions.ctc_loss, 1)


def test_the_two_definitions_agree() -> None:
    data = batch(KINDS["log_softmax"], 40, 5, 3, 3, 0, seed=2)
    with mp.workprec(300):
        for a, b in zip(
            defined(data, definitions.ctc_loss, 0), defined(data, definitions.ctc_loss_by_paths, 0), strict=True
        ):
            assert mp.almosteq(a[0], b[0], 1e-80) or a[0] == b[0]
            for x, y in zip(chain(*a[1]), chain(*b[1]), strict=True):
                assert abs(x - y) < 1e-80 or (mp.isnan(x) and mp.isnan(y))


@pytest.mark.parametrize("kind", ["log_softmax", "log_softmax of thousands"])
def test_a_thousand_steps_keep_their_digits(kind: str) -> None:
    rng = np.random.default_rng(3)
    targets = rng.integers(1, 6, (1, 25))
    data = KINDS[kind](rng, (1, 1000, 6)), targets, np.array([1000]), np.array([25])
    with mp.workprec(200):
        certify(data, definitions.ctc_loss, 0)


def test_scales_are_finite() -> None:
    for draw in KINDS.values():
        data = batch(draw, 40, 6, 4, 3, 0)
        for out in [*ctc_loss(*data).outputs().values(), ctc_loss_raw_gradient(*data)]:
            finite = np.isfinite(out.exact)
            for scale in (out.reference, out.accumulation, out.underflow, out.absolute):
                held = np.broadcast_to(scale, out.exact.shape)[finite]
                assert (held >= 0).all()
                assert np.isfinite(held).all()


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_torch_agrees(zero_infinity: bool) -> None:
    import torch
    import torch.nn.functional as F

    x, targets, input_lengths, target_lengths = batch(KINDS["log_softmax"], 50, 8, 5, 4, 1, seed=4)
    data = x, targets, input_lengths, target_lengths
    leaf = torch.tensor(x, requires_grad=True)
    value = F.ctc_loss(
        leaf.transpose(0, 1),
        torch.tensor(np.where(targets < 0, 0, targets)),
        torch.tensor(input_lengths),
        torch.tensor(target_lengths),
        blank=1,
        reduction="none",
        zero_infinity=zero_infinity,
    )
    value.sum().backward()
    truth = ctc_loss(*data, blank=1, zero_infinity=zero_infinity)
    np.testing.assert_allclose(value.detach().numpy(), truth.value.exact, rtol=1e-13, atol=1e-13)
    raw = ctc_loss_raw_gradient(*data, blank=1, zero_infinity=zero_infinity).exact
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), raw, rtol=1e-12, atol=1e-13)


def test_the_raw_gradient_is_that_in_the_scores() -> None:
    """The gradient in independent log-probabilities, taken through log_softmax."""
    data = batch(KINDS["log_softmax"], 30, 6, 4, 2, 0, seed=5)
    gradient = ctc_loss(*data).gradients["log_probs"].exact
    through = gradient - np.exp(data[0]) * gradient.sum(axis=-1, keepdims=True)
    finite = np.isfinite(gradient)
    np.testing.assert_allclose(ctc_loss_raw_gradient(*data).exact[finite], through[finite], rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_ctc_of_logits_is_ctc_of_log_softmax(scale: float) -> None:
    x, *others = batch(lambda rng, shape: scale * rng.standard_normal(shape), 40, 6, 4, 3, 1, seed=8)
    got = ctc_loss_of_logits(x, *others, blank=1)
    with mp.workprec(200):
        exact = [[[mpf(v) - mp.log(sum(mp.exp(mpf(w)) for w in f)) for v in f] for f in r] for r in x.tolist()]
        want = [definitions.ctc_loss(r[:t], y[:n].tolist(), blank=1) for r, y, t, n in zip(exact, *others, strict=True)]
        for row, (value, gradients) in enumerate(want):
            bound = float(got.value.reference[row] + 4 * got.value.accumulation[row])
            assert excess(float(got.value.exact[row]), value, bound) <= 4.0
            if not mp.isfinite(value):
                continue
            for t, frame in enumerate(gradients["log_probs"]):
                for c, slope in enumerate(frame):
                    place = row, t, c
                    bound = float(got.gradients["logits"].reference[place])
                    truth = mp.exp(exact[row][t][c]) + slope
                    assert excess(float(got.gradients["logits"].exact[place]), truth, bound) <= 4.0


def one(x: list[list[float]], target: list[int]) -> Batch:
    return np.array([x]), np.array([target], np.int64).reshape(1, -1), np.array([len(x)]), np.array([len(target)])


def test_what_no_alignment_passes_does_not_matter() -> None:
    x = log_softmax(np.random.default_rng(6).standard_normal((1, 5, 4)))
    targets, lengths = np.array([[1, 2, -100]]), (np.array([4]), np.array([2]))
    clean = ctc_loss(x, targets, *lengths)
    spoilt = x.copy()
    spoilt[0, 4] = np.nan  # after the input
    spoilt[0, :, 3] = np.inf  # no label of the target
    spoilt[0, 0, 2] = np.nan  # the second label at the first time
    spoilt[0, 3, 1] = np.nan  # the first label at the last time
    truth = ctc_loss(spoilt, targets, *lengths)
    assert truth.value.exact[0] == clean.value.exact[0]
    np.testing.assert_array_equal(truth.gradients["log_probs"].exact, clean.gradients["log_probs"].exact)
    spoilt[0, 1, 2] = np.nan
    truth = ctc_loss(spoilt, targets, *lengths)
    assert np.isnan(truth.value.exact[0])
    assert np.isnan(truth.gradients["log_probs"].exact[0, 1, 2])
    assert (truth.gradients["log_probs"].exact[0, 4] == 0.0).all()


@pytest.mark.parametrize(("target", "steps"), [([1, 1], 2), ([1, 2, 1], 2), ([1], 0), ([2, 2, 2], 4)])
def test_a_target_too_long_for_its_input_has_an_infinite_loss(target: list[int], steps: int) -> None:
    x, targets, _, target_lengths = one([[-1.0, -1.0, -1.0]] * 5, target)
    data = x, targets, np.array([steps]), target_lengths
    assert ctc_loss(*data).value.exact[0] == np.inf
    assert np.isnan(ctc_loss(*data).gradients["log_probs"].exact[0, :steps]).all()
    zeroed = ctc_loss(*data, zero_infinity=True)
    assert zeroed.value.exact[0] == 0.0
    assert (zeroed.gradients["log_probs"].exact == 0.0).all()
    assert (ctc_loss_raw_gradient(*data, zero_infinity=True).exact == 0.0).all()


def test_the_shortest_input_has_one_alignment() -> None:
    data = one([[-9.0, -1.0], [-2.0, -9.0], [-9.0, -4.0]], [1, 1])
    assert ctc_loss(*data).value.exact[0] == 7.0
    assert ctc_loss(*data).gradients["log_probs"].exact.tolist() == [[[0.0, -1.0], [-1.0, 0.0], [0.0, -1.0]]]


def test_nothing_to_align() -> None:
    empty = np.zeros((2, 0), np.int64)
    x = np.array([[[-1.0, -2.0]] * 3, [[-1.0, -2.0]] * 3])
    truth = ctc_loss(x, empty, np.array([3, 0]), np.array([0, 0]))
    assert truth.value.exact.tolist() == [3.0, 0.0]
    assert truth.gradients["log_probs"].exact[:, :, 0].tolist() == [[-1.0] * 3, [0.0] * 3]
    timeless = ctc_loss(x[:, :0], np.ones((2, 1), np.int64), np.array([0, 0]), np.array([0, 1]))
    assert timeless.value.exact.tolist() == [0.0, np.inf]


def test_impossible_classes() -> None:
    barred = one([[-1.0, -np.inf], [-np.inf, -2.0]], [1])
    assert ctc_loss(*barred).value.exact[0] == 3.0
    assert ctc_loss(*barred).gradients["log_probs"].exact[0, 0].tolist() == [-1.0, 0.0]
    assert ctc_loss_raw_gradient(*barred).exact[0, 0, 1] == 0.0
    assert ctc_loss(*one([[-1.0, -np.inf]], [1])).value.exact[0] == np.inf
