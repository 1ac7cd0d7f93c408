"""The oracles over classes and their reductions against their definitions in mpmath, and against torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mpmath import mp, mpf

from reference import classification, multiclass, numerics, projection, reductions, regression
from reference.mp import classes
from reference.truth import Array, Output, Truth

U = 2.0**-53
SUBNORMAL = 2.0**-1074
NORMAL = 2.0**-1022
ROWS, CLASSES, FEATURES = 320, 5, 4
EDGES = [0.0, -0.0, SUBNORMAL, -SUBNORMAL, 1e-310, NORMAL, 1e-20, 1.0 - U, 1.0, 1.0 + 2 * U, -1.0, 2.0, 20.0, -36.8]
EDGES += [88.8, 700.5, 709.9, -745.2, 746.0, 1e5, -1e5]
HUGE = [1e300, -1e300, 1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308]


def scores(rng: np.random.Generator, rows: int, columns: int = CLASSES, huge: float = 0.02) -> Array:
    """Spread, saturated, log-scaled, near-tied and edge rows, with a share of rows that hold the largest numbers."""
    shape = (rows, columns)
    scaled = rng.standard_normal(shape) * 10.0 ** rng.uniform(-12, 3, shape)
    base = rng.uniform(-3, 3, (rows, 1))
    tied = base + rng.integers(-3, 4, shape) * np.spacing(np.abs(base))
    spaced = base + rng.integers(-2, 3, shape) + rng.integers(-1, 2, shape) * 2.0**-50
    confident = rng.uniform(-40, 40, shape) + 300.0 * np.eye(columns)[rng.integers(0, columns, rows)]
    kinds = [rng.uniform(-5, 5, shape), rng.uniform(-800, 800, shape), scaled, tied, spaced, confident]
    x = np.choose(rng.integers(0, 7, (rows, 1)), [*kinds, rng.choice(EDGES, shape)])
    extreme = np.where(rng.random(shape) < 0.5, rng.choice(HUGE, shape), patterns(rng, shape))
    return np.where(rng.random((rows, 1)) < huge, extreme, x)


def patterns(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    x: Array = rng.integers(0, 0x7FF0 << 48, shape).view(np.float64) * rng.choice([-1.0, 1.0], shape)
    return x


def indices(rng: np.random.Generator, rows: int, columns: int = CLASSES) -> np.ndarray:
    return rng.integers(0, columns, rows)


def simplex(rng: np.random.Generator, rows: int) -> Array:
    """Probabilities of every magnitude, some exactly 0 or 1, one class often holding almost everything."""
    tiny = np.exp(-rng.uniform(0, 600, (rows, CLASSES))) * (rng.random((rows, CLASSES)) < 0.8)
    sharp = tiny * 1e-3
    sharp[np.arange(rows), indices(rng, rows)] = 1.0
    dirichlet = rng.dirichlet(np.ones(CLASSES), rows)
    return np.choose(rng.integers(0, 3, (rows, 1)), [dirichlet, tiny, sharp]).astype(np.float64)


def binary(rng: np.random.Generator, rows: int) -> Array:
    return (rng.random((rows, CLASSES)) < 0.5).astype(np.float64)


def labels(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Up to C targets, sometimes repeated, then -1 and anything."""
    target = rng.integers(0, CLASSES, (rows, CLASSES))
    unique = np.argsort(rng.random((rows, CLASSES)), axis=1)
    target = np.where(rng.random((rows, 1)) < 0.7, unique, target)
    end = rng.integers(0, CLASSES + 1, rows)
    target[np.arange(rows)[end < CLASSES], end[end < CLASSES]] = -1
    return target


WEIGHT = np.array([0.3, 2.0, 1.0, 1e-5, 0.0])
SAMPLES = np.array([1, 2, 50, 3000, 10**6])
POSITIVE = np.array([0.3, 2.0, 1.0, 1e-5, 3.0])


@dataclass(frozen=True, kw_only=True)
class Case:
    oracle: Callable[..., Truth]
    definition: Callable[..., tuple[Any, dict[str, Any]]]
    target: Callable[[np.random.Generator, int], np.ndarray] = indices
    parameters: Mapping[str, Any] = field(default_factory=dict)
    masked: float = 0.0
    huge: float = 0.02
    bits: int = 1300

    def __str__(self) -> str:
        shown = ["weight" if name == "weight" else f"{name}={value}" for name, value in self.parameters.items()]
        return f"{self.oracle.__name__}({', '.join([self.target.__name__, *shown])}{', -inf' if self.masked else ''})"

    def draw(self, rows: int = ROWS) -> tuple[Array, np.ndarray]:
        rng = np.random.default_rng(0)
        x, y = scores(rng, rows, huge=self.huge), self.target(rng, rows)
        x = np.where(rng.random(x.shape) < self.masked, -np.inf, x)
        x[np.isneginf(x).all(axis=1), 0] = 1.0
        return x, y


def case(name: str, module: Any = multiclass, target: Any = indices, **parameters: Any) -> Case:
    own = {k: parameters.pop(k) for k in ("masked", "huge", "bits") if k in parameters}
    return Case(
        oracle=getattr(module, name), definition=getattr(classes, name), target=target, parameters=parameters, **own
    )


CE, NLL, MARGIN, LABELS, SOFT = (
    *("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss"),
)
BALANCED = "class_balanced_cross_entropy"
EXACT = {"huge": 0.3, "bits": 2300}
CASES = [
    case(CE, classification),
    case(CE, classification, weight=WEIGHT, ignore_index=1),
    case(CE, classification, masked=0.2),
    case(CE, classification, label_smoothing=0.1, weight=WEIGHT, ignore_index=2),
    case(CE, classification, simplex),
    case(CE, classification, simplex, weight=POSITIVE, label_smoothing=0.25),
    case(CE, classification, simplex, weight=WEIGHT, masked=0.15),
    case(CE, classification, label_smoothing=1.0),
    *(case(BALANCED, classification, samples_per_class=SAMPLES, beta=beta) for beta in (0.999, 0.5, 0.0, 1 - 2.0**-40)),
    case(NLL, classification, **EXACT),
    case(NLL, classification, weight=WEIGHT, ignore_index=1, **EXACT),
    *(
        case(MARGIN, p=p, margin=margin, weight=weight, **EXACT)
        for p in (1, 2)
        for margin, weight in ((1.0, None), (0.1, POSITIVE), (0.0, WEIGHT), (-2.5, None))
    ),
    case(LABELS, multiclass, labels, **EXACT),
    case(SOFT, multiclass, binary),
    case(SOFT, multiclass, simplex, weight=POSITIVE),
]


def certify(name: str, got: Output, want: Any, *, depth: float = 4.0) -> None:
    """Every entry within 4 u (reference + depth * accumulation) of the definition, in its interval at a kink."""
    shape = got.exact.shape
    want = np.array(want, dtype=object)
    kinked = want.ndim == len(shape) + 1
    low, high = (want[..., 0], want[..., 1]) if kinked else (want, want)
    assert low.shape == shape, f"{name}: shape {low.shape}, expected {shape}"
    with np.errstate(over="ignore"):
        allowed = 4 * U * np.broadcast_to(got.reference, shape) + 4 * U * depth * got.accumulation
        allowed = allowed + 4 * SUBNORMAL * np.broadcast_to(got.underflow, shape)
    own = (got.exact, got.exact) if got.interval is None else got.interval
    for place in np.ndindex(shape):
        first, last, bound = low[place], high[place], allowed[place]
        exact = float(got.exact[place])
        where = f"{name}{list(place)}: got {exact!r}, want {mp.nstr(first, 17)}, allowed {bound:.3g}"
        if first != last:
            pair = float(own[0][place]), float(own[1][place])
            near = [abs(mpf(a) - b) <= 4 * U * abs(b) for a, b in zip(pair, (first, last), strict=True)]
            assert all(near), f"{where}: interval {pair}"
            assert pair[0] <= exact <= pair[1], where
            continue
        if mp.isinf(first):
            assert exact == float(first), where
        elif not np.isfinite(exact):
            assert abs(first) > mpf(2) ** 1024 * (1 - 2 * U), f"{where}: overflow"
        else:
            assert np.isfinite(bound), where
            assert abs(mpf(exact) - first) <= mpf(float(bound)), where
            kept = exact != 0 or abs(first) < NORMAL or got.reference.max() > 1e6 * abs(first)
            assert kept or np.broadcast_to(got.reference, shape)[place] > 64 * abs(first), f"{where}: vanished"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_definition(case: Case) -> None:
    x, y = case.draw()
    truth = case.oracle(x, y, **case.parameters)
    with mp.workprec(case.bits):
        rows = [case.definition(row, t, **case.parameters) for row, t in zip(x.tolist(), y.tolist(), strict=True)]
        certify("value", truth.value, [value for value, _ in rows])
        assert set(truth.gradients) == set(rows[0][1])
        for name, gradient in truth.gradients.items():
            certify(name, gradient, [gradients[name] for _, gradients in rows])


def layers(rng: np.random.Generator, rows: int = ROWS) -> tuple[Array, Array, Array]:
    """Inputs, a projection and a bias whose logits are spread, tied and saturated."""
    size = 10.0 ** rng.uniform(-8, 2, (rows, 1))
    x = rng.standard_normal((rows, FEATURES)) * size
    w = rng.standard_normal((CLASSES, FEATURES)) * np.array([[1.0], [1.0], [3.0], [0.01], [1e-6]])
    w[1] = w[0] * (1.0 + 2.0**-20)
    return x, w, rng.standard_normal(CLASSES)


def certify_shared(truth: Truth, rows: list[tuple[Any, dict[str, Any]]], upstream: Array, shared: set[str]) -> None:
    certify("value", truth.value, [value for value, _ in rows])
    for name, gradient in truth.gradients.items():
        each = [np.array(gradients[name], dtype=object) for _, gradients in rows]
        if name in shared:
            total = sum(mpf(u) * g for u, g in zip(upstream.tolist(), each, strict=True))
            certify(name, gradient, total, depth=8.0)
        else:
            certify(name, gradient, each)


@pytest.mark.parametrize(
    ("target", "biased", "parameters"),
    [
        (indices, True, {}),
        (indices, False, {"weight": WEIGHT, "ignore_index": 1}),
        (indices, True, {"label_smoothing": 0.1, "weight": POSITIVE}),
        (simplex, True, {"label_smoothing": 0.1, "weight": POSITIVE}),
    ],
)
def test_linear_cross_entropy_matches_definition(target: Any, biased: bool, parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w, b = layers(rng)
    y, upstream = target(rng, ROWS), rng.standard_normal(ROWS)
    bias = b if biased else None
    truth = projection.linear_cross_entropy(x, w, y, linear_bias=bias, upstream=upstream, **parameters)
    with mp.workprec(1300):
        rows = [
            classes.linear_cross_entropy(row, w.tolist(), t, linear_bias=b.tolist() if biased else None, **parameters)
            for row, t in zip(x.tolist(), y.tolist(), strict=True)
        ]
        certify_shared(truth, rows, upstream, {"linear_weight", "linear_bias"})
    assert ("linear_bias" in truth.gradients) == biased


def test_what_rows_share_is_summed_without_drift() -> None:
    """Equal terms round alike in a running sum: 4,096 of them drift by hundreds of ulp."""
    x, y, rows = np.array([[0.3, -0.7]]), np.array([2]), 4096
    w, b = np.array([[0.1, 0.2], [0.4, -1.0], [0.5, 0.3]]), np.array([0.1, -0.2, 0.3])
    one = projection.linear_cross_entropy(x, w, y, linear_bias=b)
    every = projection.linear_cross_entropy(np.repeat(x, rows, axis=0), w, np.repeat(y, rows), linear_bias=b)
    for name in ("linear_weight", "linear_bias"):
        np.testing.assert_allclose(every.gradients[name].exact, rows * one.gradients[name].exact, rtol=2 * U)


def test_a_sum_over_rows_is_as_of_twice_the_precision() -> None:
    rng = np.random.default_rng(0)
    for rows in (0, 1, 2, 3, 7, 100, 1001):
        x = rng.standard_normal((rows, 3)) * 10.0 ** rng.uniform(-8, 8, (rows, 3))
        x = np.concatenate([x, -x[::-1] * (1.0 + 2.0**-40)])
        want = [math.fsum(column) for column in x.T.tolist()]
        np.testing.assert_allclose(numerics.sum_over_rows(x), want, rtol=4 * U)
    np.testing.assert_array_equal(
        numerics.sum_over_rows(np.array([[INF, NAN, 1e308], [1.0, 1.0, 1e308]])), [INF, NAN, INF]
    )


CUTOFFS = (3, 5)


def adaptive(rng: np.random.Generator) -> dict[str, Any]:
    """Nine classes: three in the head, clusters of two and four behind projections to two and one."""
    return {
        "head_weight": rng.standard_normal((5, FEATURES)),
        "head_bias": rng.standard_normal(5),
        "tail": [
            (rng.standard_normal((hidden, FEATURES)), rng.standard_normal((size, hidden)))
            for hidden, size in ((2, 2), (1, 4))
        ],
    }


def test_adaptive_log_softmax_matches_definition() -> None:
    rng = np.random.default_rng(0)
    x, layer = layers(rng)[0], adaptive(rng)
    y, upstream = indices(rng, ROWS, 9), rng.standard_normal(ROWS)
    truth = projection.adaptive_log_softmax(x, y, cutoffs=CUTOFFS, upstream=upstream, **layer)
    lists = {
        "head_weight": layer["head_weight"].tolist(),
        "head_bias": layer["head_bias"].tolist(),
        "tail": [(a.tolist(), b.tolist()) for a, b in layer["tail"]],
    }
    with mp.workprec(1300):
        rows = [
            classes.adaptive_log_softmax(row, t, cutoffs=CUTOFFS, **lists)
            for row, t in zip(x.tolist(), y.tolist(), strict=True)
        ]
        certify_shared(truth, rows, upstream, set(rows[0][1]) - {"input"})
    log_prob = projection.adaptive_log_prob(x, **layer)
    assert np.allclose(-log_prob[np.arange(ROWS), y], truth.value.exact, rtol=1e-13)
    assert np.array_equal(projection.adaptive_predict(x, **layer), log_prob.argmax(axis=1))


def leaf(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, requires_grad=array.dtype == np.float64)


def agree(truth: Truth, loss: torch.Tensor, tensors: Mapping[str, torch.Tensor], upstream: Array | None = None) -> None:
    assert np.allclose(loss.detach().numpy(), truth.value.exact, rtol=1e-12, atol=1e-14)
    loss.backward(torch.ones_like(loss) if upstream is None else torch.tensor(upstream))
    for name, gradient in truth.gradients.items():
        grad = tensors[name].grad
        assert grad is not None, name
        want = gradient.exact
        if upstream is not None and name == "input":
            want = want * upstream[:, None]
        assert np.allclose(grad.numpy(), want, rtol=1e-11, atol=1e-13), name


@pytest.mark.parametrize("case", [c for c in CASES if hasattr(F, c.oracle.__name__)], ids=str)
def test_agrees_with_torch(case: Case) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-4, 4, (30, CLASSES)), case.target(rng, 30)
    tensors = {"input": leaf(x), "target": leaf(y)}
    parameters = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in case.parameters.items()}
    loss = getattr(F, case.oracle.__name__)(*tensors.values(), reduction="none", **parameters)
    agree(case.oracle(x, y, **case.parameters), loss, tensors)


def test_projections_agree_with_torch() -> None:
    rng = np.random.default_rng(1)
    x, w, b = rng.standard_normal((30, FEATURES)), rng.standard_normal((CLASSES, FEATURES)), np.arange(5.0)
    y, upstream = indices(rng, 30), rng.standard_normal(30)
    names = {"input": leaf(x), "linear_weight": leaf(w), "linear_bias": leaf(b)}
    loss = F.linear_cross_entropy(
        names["input"], names["linear_weight"], torch.tensor(y), linear_bias=names["linear_bias"], reduction="none"
    )
    agree(projection.linear_cross_entropy(x, w, y, linear_bias=b, upstream=upstream), loss, names, upstream)

    module = torch.nn.AdaptiveLogSoftmaxWithLoss(FEATURES, 9, list(CUTOFFS), div_value=2.0, head_bias=True).double()
    own = [module.head.weight, module.head.bias, *(p for tail in module.tail for p in tail.parameters())]
    names = dict(zip(["head_weight", "head_bias", "tail.0.0", "tail.0.1", "tail.1.0", "tail.1.1"], own, strict=True))
    names["input"] = leaf(x)
    array = {name: tensor.detach().numpy().copy() for name, tensor in names.items()}
    layer: dict[str, Any] = {
        "head_weight": array["head_weight"],
        "head_bias": array["head_bias"],
        "tail": [(array[f"tail.{i}.0"], array[f"tail.{i}.1"]) for i in (0, 1)],
    }
    y = indices(rng, 30, 9)
    truth = projection.adaptive_log_softmax(x, y, cutoffs=CUTOFFS, upstream=upstream, **layer)
    agree(truth, -module(names["input"], torch.tensor(y)).output, names, upstream)
    assert np.allclose(projection.adaptive_log_prob(x, **layer), module.log_prob(torch.tensor(x)).detach().numpy())
    assert np.array_equal(projection.adaptive_predict(x, **layer), module.predict(torch.tensor(x)).numpy())


INF, NAN = np.inf, np.nan


def row(*values: float) -> Array:
    return np.array([values])


@pytest.mark.parametrize(
    ("oracle", "input", "target", "parameters", "value", "gradient"),
    [
        (classification.cross_entropy, [1.0, -INF], 0, {}, 0.0, [0.0, 0.0]),
        (classification.cross_entropy, [1.0, -INF], 1, {}, INF, [1.0, -1.0]),
        (classification.cross_entropy, [-INF, -INF], 0, {}, NAN, [NAN, NAN]),
        (classification.cross_entropy, [INF, 0.0], 0, {}, NAN, [NAN, NAN]),
        (classification.cross_entropy, [NAN, 0.0], 1, {}, NAN, [NAN, NAN]),
        (classification.cross_entropy, [NAN, INF], -100, {}, 0.0, [0.0, 0.0]),
        (classification.cross_entropy, [0.0, -INF], [1.0, 0.0], {}, 0.0, [0.0, 0.0]),
        (classification.cross_entropy, [0.0, 1.0], [NAN, 0.0], {}, NAN, [NAN, NAN]),
        (classification.nll_loss, [-INF, NAN], 0, {}, INF, [-1.0, 0.0]),
        (classification.nll_loss, [NAN, NAN], -100, {}, 0.0, [0.0, 0.0]),
        (classification.nll_loss, [NAN, 0.0], 0, {}, NAN, [-1.0, 0.0]),
        (multiclass.multi_margin_loss, [-INF, 0.0], 0, {}, INF, [-0.5, 0.5]),
        (multiclass.multi_margin_loss, [INF, 0.0], 0, {}, 0.0, [0.0, 0.0]),
        (multiclass.multi_margin_loss, [INF, INF], 0, {}, NAN, [NAN, NAN]),
        (multiclass.multi_margin_loss, [0.0, NAN, 3.0], 0, {}, NAN, [NAN, NAN, 1 / 3]),
        (multiclass.multi_margin_loss, [0.0, -INF], 0, {"p": 2}, 0.0, [0.0, 0.0]),
        (multiclass.multilabel_margin_loss, [NAN, 0.0], [-1, 7], {}, 0.0, [0.0, 0.0]),
        (multiclass.multilabel_margin_loss, [NAN, 0.0], [0, 1], {}, 0.0, [0.0, 0.0]),
        (multiclass.multilabel_margin_loss, [NAN, 0.0], [1, -1], {}, NAN, [NAN, NAN]),
        (multiclass.multilabel_margin_loss, [5.0, -INF], [0, -5], {}, 0.0, [0.0, 0.0]),
        (multiclass.multilabel_soft_margin_loss, [INF, 0.0], [1.0, 0.0], {"weight": row(1.0, 0.0)[0]}, 0.0, [0.0, 0.0]),
        (multiclass.multilabel_soft_margin_loss, [-INF, 0.0], [1.0, 1.0], {}, INF, [-0.5, -0.25]),
        (multiclass.multilabel_soft_margin_loss, [NAN, 0.0], [1.0, 1.0], {}, NAN, [NAN, -0.25]),
    ],
)
def test_special_rows(
    oracle: Any, input: list[float], target: Any, parameters: dict[str, Any], value: float, gradient: list[float]
) -> None:
    truth = oracle(row(*input), np.array([target]), **parameters)
    np.testing.assert_array_equal(truth.value.exact, [value])
    np.testing.assert_array_equal(truth.gradients["input"].exact, [gradient])


def test_partial_is_the_log_probability_before_its_weight() -> None:
    x, weight = row(1e308, -1e308), np.array([0.1, 0.1])
    truth = classification.cross_entropy(x, np.array([1]), weight=weight)
    np.testing.assert_allclose(truth.value.exact, [2e307])
    assert truth.value.partial is not None
    np.testing.assert_array_equal(truth.value.partial[1], [INF])
    assert classification.cross_entropy(x, np.array([1])).value.partial is None


def test_ignored_rows_never_reach_what_rows_share() -> None:
    x, w, y = np.array([[1.0, 2.0], [NAN, INF]]), np.array([[1.0, 0.5], [0.25, 1.0]]), np.array([0, -100])
    every = projection.linear_cross_entropy(x, w, y, linear_bias=np.array([0.0, -INF]))
    first = projection.linear_cross_entropy(x[:1], w, y[:1], linear_bias=np.array([0.0, -INF]))
    for name in ("linear_weight", "linear_bias"):
        np.testing.assert_array_equal(every.gradients[name].exact, first.gradients[name].exact)
    np.testing.assert_array_equal(every.value.exact, [first.value.exact[0], 0.0])


def reduced(truth: Truth, coefficients: Array, values: list[Any], factors: list[Any], gradients: list[Any]) -> None:
    """The reduced value and input gradient against the sum and the products in mpmath."""
    got = reductions.reduce(truth, coefficients)
    total = mp.fsum(f * v for f, v in zip(factors, values, strict=True))
    certify("value", got.value, [total], depth=8.0)
    scaled = [f * np.array(g, dtype=object) for f, g in zip(factors, gradients, strict=True)]
    # The coefficient is two roundings more than the unreduced gradient: the sum of the weights and a quotient.
    certify("input", got.gradients["input"], scaled, depth=8.0)


@pytest.mark.parametrize("weight", [None, POSITIVE])
@pytest.mark.parametrize("target", [indices, simplex])
def test_class_weighted_mean(target: Any, weight: Array | None) -> None:
    rng = np.random.default_rng(2)
    x, y = scores(rng, 60, huge=0.0), target(rng, 60)
    arguments = {"target": y, "weight": weight, "ignore_index": 1}
    w = [mpf(1)] * CLASSES if weight is None else [mpf(v) for v in weight.tolist()]
    with mp.workprec(1300):
        rows = [
            classes.cross_entropy(r, t, weight=None if weight is None else w, ignore_index=1)
            for r, t in zip(x.tolist(), y.tolist(), strict=True)
        ]
        weights = [w[t] for t in y.tolist() if t != 1] if y.ndim == 1 else [mpf(1)] * len(y)
        truth = classification.cross_entropy(x, y, weight=weight, ignore_index=1)
        coefficients = reductions.class_weighted_mean(arguments, (60,))
        factors = [1 / mp.fsum(weights)] * 60
        reduced(truth, coefficients, [v for v, _ in rows], factors, [g["input"] for _, g in rows])


def test_class_weighted_mean_of_nothing_is_nan() -> None:
    y = np.array([-100, -100])
    truth = classification.nll_loss(np.ones((2, 3)), y)
    assert np.isnan(reductions.reduce(truth, reductions.class_weighted_mean({"target": y}, (2,))).value.exact).all()


@pytest.mark.parametrize("name", ["total", "mean", "batchmean", "weighted_mean"])
def test_elementwise_reductions(name: str) -> None:
    rng = np.random.default_rng(3)
    x, y, w = (rng.standard_normal(60) * 10.0 ** rng.uniform(-9, 9, 60) for _ in range(3))
    w = np.abs(w)
    coefficients = getattr(reductions, name)({"weight": w}, (12, 5))
    with mp.workprec(1300):
        squares = [mpf(c) * (mpf(a) - mpf(b)) ** 2 for a, b, c in zip(x.tolist(), y.tolist(), w.tolist(), strict=True)]
        slopes = [2 * mpf(c) * (mpf(a) - mpf(b)) for a, b, c in zip(x.tolist(), y.tolist(), w.tolist(), strict=True)]
        divisor = {"total": 1, "mean": 60, "batchmean": 12, "weighted_mean": mp.fsum(map(mpf, w.tolist()))}[name]
        reduced(regression.mse_loss(x, y, weight=w), coefficients, squares, [1 / mpf(divisor)] * 60, slopes)
