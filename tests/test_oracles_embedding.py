"""The oracles of embeddings against their definitions in mpmath, at inputs of every magnitude, and against torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mpmath import mp

from reference import cosine, distance, embedding
from reference.mp import embedding as definitions
from reference.truth import Array, Output, Truth

BITS = 2300
ROWS = 300
WIDTH = 4
U = 2.0**-53
FLOAT64 = np.finfo(np.float64)
LARGEST, NORMAL, SUBNORMAL = float(FLOAT64.max), float(FLOAT64.smallest_normal), float(FLOAT64.smallest_subnormal)
EDGES = np.array(
    [0.0, -0.0, SUBNORMAL, 3e-310, NORMAL, 1e-160, 1e-20, 1e-8, 1e-6, -1e-6, 0.5, 1.0, -1.0, 1.0 + 2 * U, 3.0]
)
EDGES = np.concatenate([EDGES, [1e5, 1.5e154, 1e300, -1e300, 1e308, -1e308, LARGEST, -LARGEST]])


def rows(rng: np.random.Generator, kind: npt.NDArray[np.int64], magnitude: Array) -> Array:
    """Rows of bit patterns, of normals of one magnitude, of uniforms, of small integers and of edges."""
    shape = (len(kind), WIDTH)
    patterns = rng.integers(0, 0x7FF0 << 48, shape).view(np.float64) * rng.choice([-1.0, 1.0], shape)
    scaled = rng.standard_normal(shape) * 10.0**magnitude
    kinds = [patterns, scaled, scaled, rng.uniform(-100, 100, shape), rng.integers(-2, 3, shape) * 1.0]
    made = np.choose(kind, [*kinds, rng.choice(EDGES, shape)])
    # Where a difference overflows it is taken of halves, and a subnormal entry beside it loses its last bit.
    top = np.abs(made).max(axis=-1, keepdims=True)
    return np.where((top > 1e307) & (np.abs(made) < 1e-306), 0.0, made)


def related(rng: np.random.Generator, x: Array) -> Array:
    """Rows made from those of ``x``: the same, parallel, opposite, nearly so, one entry off, one eps off, zero."""
    n = len(x)
    off = x.copy()
    off[np.arange(n), rng.integers(0, WIDTH, n)] += rng.choice([1.0, -1.0, 1e-6, 1e-9], n)
    with np.errstate(all="ignore"):
        near = x * (1.0 + rng.standard_normal(x.shape) * 10.0 ** rng.uniform(-17, -1, (n, 1)))
        kinds = [x, 3.0 * x, -x, -0.7 * x, near, -near, off, x + 1e-6, np.zeros_like(x)]
        made = np.choose(rng.integers(0, len(kinds), (n, 1)), kinds)
    return np.where(np.isfinite(made), made, x)


HOMES = {
    "cosine_similarity": cosine,
    "cosine_distance": cosine,
    "pairwise_distance": distance,
    "squared_distance": distance,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    arguments: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.parameters.items())})"

    @property
    def oracle(self) -> Callable[..., Truth]:
        found: Callable[..., Truth] = getattr(HOMES.get(self.name, embedding), self.name)
        return found

    def draw(self) -> dict[str, Array]:
        rng = np.random.default_rng(0)
        drawn: dict[str, Array] = {}
        kind, magnitude = (
            rng.integers(0, 6, (ROWS, 1)),
            rng.uniform(-1, 1, (ROWS, 1)) * rng.choice([12, 307], (ROWS, 1)),
        )
        for name in self.arguments:
            own = rng.random((ROWS, 1)) < 0.2
            kind = np.where(own, rng.integers(0, 6, (ROWS, 1)), kind)
            magnitude = np.where(own, rng.uniform(-20, 20, (ROWS, 1)), magnitude)
            fresh = rows(rng, kind, magnitude)
            for other in drawn.values():
                fresh = np.where(
                    rng.random((ROWS, 1)) < 0.6 / (len(self.arguments) - 1) ** 2, related(rng, other), fresh
                )
            drawn[name] = fresh
        if self.name == "cosine_embedding_loss":
            drawn["target"] = rng.choice([-1.0, 1.0], ROWS)
        return drawn


def case(name: str, *arguments: str, **parameters: Any) -> Case:
    return Case(name=name, arguments=arguments, parameters=parameters)


TRIPLET = ("anchor", "positive", "negative")
CASES = [
    *(case("cosine_similarity", "x1", "x2", eps=e) for e in (1e-8, 1e-300, 3.0)),
    case("cosine_distance", "x1", "x2"),
    *(case("cosine_embedding_loss", "input1", "input2", margin=m) for m in (0.0, 0.5, -1.0, 0.999999)),
    *(case("pairwise_distance", "x1", "x2", p=p) for p in (1.0, 2.0, 3.0, 0.5, np.inf, -np.inf)),
    *(case("pairwise_distance", "x1", "x2", p=p, eps=0.0) for p in (1.0, 2.0, 0.5, np.inf, 1.5, -1.0)),
    case("squared_distance", "x1", "x2"),
    *(case("triplet_margin_loss", *TRIPLET, swap=s) for s in (False, True)),
    *(case("triplet_margin_loss", *TRIPLET, p=p, eps=0.0, margin=0.3, swap=True) for p in (1.0, 2.0, 0.5, np.inf)),
    *(
        case("triplet_margin_with_distance_loss", *TRIPLET, distance=d, swap=s, margin=m)
        for d, s, m in [
            ("euclidean", False, 1.0),
            ("cosine", True, 0.3),
            ("cosine", False, 1.0),
            ("squared", True, 1.0),
            ("maximum", True, 0.3),
        ]
    ),
]


def excess(got: float, want: Any, bound: float) -> float:
    """abs(got - want) in units of the bound; 0 for the same infinity, inf for nan or a wrong range."""
    if np.isnan(got):
        return np.inf
    if np.isinf(bound):
        return 0.0
    if not np.isfinite(got) or not mp.isfinite(want) or abs(want) > LARGEST:
        close = abs(got) >= LARGEST * (1 - 64 * U) and abs(want) >= LARGEST * (1 - 64 * U)
        return 0.0 if close and np.sign(got) == mp.sign(want) else np.inf
    error = abs(mp.mpf(got) - want)
    floor = SUBNORMAL if abs(want) < 2 * NORMAL else 0.0
    return 0.0 if error == 0 else float(error / (U * mp.mpf(bound) + floor)) if bound or floor else np.inf


def worst(out: Output, want: list[Any]) -> tuple[float, int, int]:
    """The largest error of one output, its entry, and how many points the oracle cannot tell from a kink."""
    shape = out.exact.shape
    with np.errstate(over="ignore"):
        bound = np.broadcast_to(out.reference + 4 * out.accumulation, shape).ravel()
    exact = out.exact.ravel()
    low, high = (exact, exact) if out.interval is None else (np.broadcast_to(e, shape).ravel() for e in out.interval)
    errors, undecided = [], 0
    for i, w in enumerate(want):
        bottom, top = w if isinstance(w, tuple) else (w, w)
        wide, kink = low[i] < high[i], bottom < top
        undecided += bool(wide and not kink)
        if wide:
            # The interval holds the truth, and with it every convention.
            below = 0.0 if low[i] <= bottom else excess(float(low[i]), bottom, bound[i])
            errors.append(max(below, 0.0 if high[i] >= top else excess(float(high[i]), top, bound[i])))
        else:
            errors.append(max(excess(float(exact[i]), bottom, bound[i]), excess(float(exact[i]), top, bound[i])))
        if not low[i] <= exact[i] <= high[i]:
            errors[-1] = np.inf
    place = int(np.argmax(errors))
    return errors[place], place, undecided


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_oracle_is_its_definition_to_four_roundings(case: Case) -> None:
    drawn = case.draw()
    truth = case.oracle(**drawn, **case.parameters)
    define = getattr(definitions, case.name)
    with mp.workprec(BITS):
        want = [define(**{k: a[i].tolist() for k, a in drawn.items()}, **case.parameters) for i in range(ROWS)]
        for name, out in truth.outputs().items():
            flat = [value for value, _ in want] if name == "value" else [e for _, g in want for e in g[name]]
            error, place, undecided = worst(out, flat)
            row = {k: a[place * ROWS // len(flat)].tolist() for k, a in drawn.items()}
            got, truly = out.exact.ravel()[place], flat[place]
            assert error <= 4.0, f"{name}: {error:.3g} roundings at {row}: got {got!r}, want {truly}"
            assert undecided <= len(flat) / 2, f"{name}: {undecided} of {len(flat)} entries taken for kinks"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_scales_are_numbers_that_bound(case: Case) -> None:
    truth = case.oracle(**case.draw(), **case.parameters)
    for name, out in truth.outputs().items():
        for scale in (out.reference, out.accumulation, out.underflow, out.absolute):
            held = np.broadcast_to(scale, out.exact.shape)
            assert not np.isnan(held).any(), name
            assert (held >= 0).all(), name
        assert np.isfinite(out.underflow).all(), name
        assert out.exact.dtype == np.float64


def ordinary(case: Case) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    drawn = {name: rng.standard_normal((40, WIDTH)) for name in case.arguments}
    if case.name == "cosine_embedding_loss":
        drawn["target"] = rng.choice([-1.0, 1.0], 40)
    return drawn


TORCH_LACKS = {"cosine_distance", "squared_distance"}


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in TORCH_LACKS], ids=lambda c: c.id)
def test_torch_agrees_on_ordinary_embeddings(case: Case) -> None:
    import torch
    import torch.nn.functional as F

    distances = {
        "euclidean": None,
        "cosine": lambda x, y: 1.0 - F.cosine_similarity(x, y),
        "squared": lambda x, y: (x - y).pow(2).sum(dim=-1),
        "maximum": lambda x, y: (x - y).abs().max(dim=-1).values,
    }
    drawn, parameters = ordinary(case), dict(case.parameters)
    truth = case.oracle(**drawn, **parameters)
    if "distance" in parameters:
        parameters["distance_function"] = distances[parameters.pop("distance")]
    if case.name.startswith(("cosine_embedding", "triplet")):
        parameters["reduction"] = "none"
    tensors = {name: torch.tensor(a, requires_grad=name != "target") for name, a in drawn.items()}
    value = getattr(F, case.name)(**tensors, **parameters)
    value.sum().backward()
    # cosine_embedding_loss adds an undocumented 1e-12 to the squares of the norms; eps above norms of 1 has a fault.
    tolerance = 1e-11 if case.name == "cosine_embedding_loss" else 1e-13
    np.testing.assert_allclose(value.detach().numpy(), truth.value.exact, rtol=tolerance, atol=tolerance)
    if parameters.get("eps", 0.0) >= 1.0:
        return
    for name, out in truth.gradients.items():
        gradient = tensors[name].grad
        assert gradient is not None
        np.testing.assert_allclose(gradient.numpy(), out.exact, rtol=1e-10, atol=1e-11, err_msg=name)


def test_gradient_of_the_cosine_is_an_interval_where_the_norm_is_eps() -> None:
    x, y = np.array([[0.25, 0.0], [0.125, 0.0], [0.5, 0.0]]), np.array([[1.0, 1.0]] * 3)
    out = cosine.cosine_similarity(x, y, eps=0.25).gradients["x1"]
    assert out.interval is not None
    c = np.sqrt(0.5)
    np.testing.assert_allclose(out.interval[0][0], [0.0, 4 * c], atol=1e-15)
    np.testing.assert_allclose(out.interval[1][0], [4 * c, 4 * c], atol=1e-15)
    np.testing.assert_allclose(out.exact[1:], [[4 * c, 4 * c], [0.0, 2 * c]], atol=1e-15)


def test_any_gradient_is_admissible_in_a_zero_vector_without_eps() -> None:
    x, y = np.zeros((2, 2)), np.ones((2, 2))
    truth = embedding.cosine_embedding_loss(x, y, np.array([1.0, -1.0]))
    np.testing.assert_allclose(truth.value.exact, [1.0, 0.0], rtol=4 * U)
    interval = truth.gradients["input1"].interval
    assert interval is not None
    assert (interval[0] == -np.inf).all()
    assert (interval[1] == np.inf).all()
    assert (truth.gradients["input2"].exact == 0.0).all()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_nan_reaches_its_row_and_no_other(case: Case) -> None:
    drawn = ordinary(case)
    clean = case.oracle(**drawn, **case.parameters)
    for name in case.arguments:
        spoilt = {k: a.copy() for k, a in drawn.items()}
        spoilt[name][0, 1] = np.nan
        truth = case.oracle(**spoilt, **case.parameters)
        for output, out in truth.outputs().items():
            assert np.isnan(out.exact[0]).any(), (name, output)
            np.testing.assert_array_equal(out.exact[1:], clean.outputs()[output].exact[1:], err_msg=output)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, np.inf])
def test_an_infinite_difference_has_an_infinite_distance(p: float) -> None:
    x = np.array([[np.inf, 1.0], [-np.inf, 1.0], [np.inf, -np.inf]])
    truth = distance.pairwise_distance(x, np.zeros_like(x), p=p)
    assert (truth.value.exact == np.inf).all()
    assert np.isnan(distance.pairwise_distance(x, x, p=p).value.exact).all()


def test_a_target_that_is_no_sign_has_no_loss() -> None:
    x = np.ones((3, 2))
    truth = embedding.cosine_embedding_loss(x, x, np.array([0.0, np.nan, 2.0]))
    assert np.isnan(truth.value.exact).all()
    assert np.isnan(truth.gradients["input1"].exact).all()


def test_wrong_parameters_are_told() -> None:
    x = np.ones((1, 2))
    with pytest.raises(ValueError, match="got 0"):
        distance.pairwise_distance(x, x, p=0.0)
    with pytest.raises(ValueError, match="got 'manhattan'"):
        embedding.triplet_margin_with_distance_loss(x, x, x, distance="manhattan")


def test_the_distance_may_be_an_oracle() -> None:
    rng = np.random.default_rng(2)
    a, p, n = rng.standard_normal((3, 9, WIDTH))
    named = embedding.triplet_margin_with_distance_loss(a, p, n, distance="squared", swap=True)
    given = embedding.triplet_margin_with_distance_loss(a, p, n, distance=distance.squared_distance, swap=True)
    for name, out in named.outputs().items():
        np.testing.assert_allclose(given.outputs()[name].exact, out.exact, rtol=1e-14)


BESIDE_LARGE = [(1e302, 1.0, 2.0), (1e153, 2e153, 1.0), (1e200, 1.0, 1e200), (-1e302, 2.0, 1.0), (3.0, 1.0, 2.0)]


@pytest.mark.parametrize(("anchor", "positive", "negative"), BESIDE_LARGE)
@pytest.mark.parametrize("swap", [False, True])
def test_squared_distances_keep_what_is_small_beside_a_large_embedding(
    anchor: float, positive: float, negative: float, swap: bool
) -> None:
    """(a - p)**2 - (a - n)**2 = (n - p) (2 a - p - n), though the squares overflow and a - p is a."""
    a, p, n = (np.array([[x]]) for x in (anchor, positive, negative))
    truth = embedding.triplet_margin_with_distance_loss(a, p, n, distance="squared", swap=swap)
    near, far, other = (
        (Fraction(x) - Fraction(y)) ** 2 for x, y in ((anchor, positive), (anchor, negative), (positive, negative))
    )
    exact = max(near - (min(far, other) if swap else far) + 1, Fraction(0))
    wanted = float(exact) if exact < Fraction(np.finfo(np.float64).max) else np.inf
    assert truth.value.exact[0] == pytest.approx(wanted, rel=1e-15)
