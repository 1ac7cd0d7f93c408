"""The elementwise oracles against their definitions in mpmath, at inputs of every magnitude, and against torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from reference import binary, divergence, likelihood, regression
from reference.mp import elementwise
from reference.truth import Array, Output, Truth

BITS = 1200
POINTS = 300
U = 2.0**-53
ROUNDINGS = 6.0  # 3 ulp at worst; a square of a rounded quotient of a rounded difference is five
LARGEST = float(np.finfo(np.float64).max)
NORMAL = float(np.finfo(np.float64).smallest_normal)
SUBNORMAL = float(np.finfo(np.float64).smallest_subnormal)
SEED = 0

EDGES = np.concatenate(
    [
        [0.0, -0.0, SUBNORMAL, -SUBNORMAL, 3e-310, NORMAL, -NORMAL, 1e-160, -1e-160, 1e-20, 2.0**-53],
        [0.25, 0.5, -0.5, 0.75, 1.0, -1.0, 1.0 - U, 1.0 + 2 * U, 2.0, -2.0, 20.0, -36.8, 37.0, -88.8, 88.8, -100.0],
        [700.5, 709.9, -709.9, -745.2, 746.0, 1e5, -1e5, 1.5e154, -1e160, 1e300, -1e300, 1e308, -1e308],
        [LARGEST, -LARGEST],
    ]
)


def moderate(rng: np.random.Generator, n: int) -> Array:
    return np.where(rng.random(n) < 0.8, rng.uniform(0, 5, n), rng.lognormal(0, 4, n))


def real(rng: np.random.Generator, n: int) -> Array:
    """Bit patterns, log-scaled normals, uniforms and edges, a quarter each; all finite."""
    patterns = rng.integers(0, 0x7FF0 << 48, n).view(np.float64) * rng.choice([-1.0, 1.0], n)
    with np.errstate(over="ignore", under="ignore"):
        scaled = rng.standard_normal(n) * 10.0 ** rng.uniform(-12, 12, n)
    return np.choose(rng.integers(0, 4, n), [patterns, scaled, rng.uniform(-100, 100, n), rng.choice(EDGES, n)])


def positive(rng: np.random.Generator, n: int) -> Array:
    return np.maximum(np.abs(real(rng, n)), SUBNORMAL)


def nonnegative(rng: np.random.Generator, n: int) -> Array:
    return np.abs(real(rng, n))


def count(rng: np.random.Generator, n: int) -> Array:
    """Counts, and real targets near 1 and of every magnitude."""
    whole, wide = np.floor(10.0 ** rng.uniform(-0.5, 9, n)), nonnegative(rng, n)
    return np.choose(rng.integers(0, 3, n), [whole, wide, np.abs(rng.normal(1.0, 1.0, n))])


def weight(rng: np.random.Generator, n: int) -> Array:
    return np.where(rng.random(n) < 0.7, rng.uniform(0, 5, n), positive(rng, n))


def probability(rng: np.random.Generator, n: int) -> Array:
    """Uniform, near 0, near 1 and near 1/2."""
    tiny = np.exp(-rng.uniform(0, 744, n))
    steps = rng.integers(0, 2**20, n) * 2.0**-53
    return np.choose(
        rng.integers(0, 5, n), [rng.random(n), tiny, 1.0 - steps, 0.5 + (steps - 2.0**-34), rng.integers(0, 2, n) * 1.0]
    )


def label(rng: np.random.Generator, n: int) -> Array:
    return np.where(rng.random(n) < 0.6, rng.integers(0, 2, n) * 1.0, probability(rng, n))


def log_probability(rng: np.random.Generator, n: int) -> Array:
    return -nonnegative(rng, n)


def sign(rng: np.random.Generator, n: int) -> Array:
    return rng.choice([-1.0, 1.0], n)


def pair(rng: np.random.Generator, n: int) -> Array:
    return np.stack([real(rng, n), real(rng, n)], axis=-1)


Arguments = dict[str, Array]
Relate = Callable[[np.random.Generator, Arguments], None]


def steps(rng: np.random.Generator, around: Array) -> Array:
    """``around`` moved by up to 3 ulp."""
    return around + rng.integers(-3, 4, around.shape) * np.spacing(np.where(np.isfinite(around), around, 1.0))


def tie(into: str, source: Callable[[Arguments], Array], low: float | None = None, high: float | None = None) -> Relate:
    """A fifth of the rows of one argument put at a few ulp from a function of the others."""

    def relate(rng: np.random.Generator, arguments: Arguments) -> None:
        with np.errstate(all="ignore"):
            near = np.clip(steps(rng, source(arguments)), low, high)
        chosen = np.isfinite(near) & (rng.random(near.shape) < 0.2)
        arguments[into] = np.where(chosen, near, arguments[into])

    return relate


@dataclass(frozen=True, kw_only=True)
class Case:
    oracle: Callable[..., Truth]
    definition: Callable[..., tuple[Any, dict[str, Any]]]
    arguments: Mapping[str, Callable[[np.random.Generator, int], Array]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ties: tuple[Relate, ...] = ()

    @property
    def name(self) -> str:
        shown = [f"{name}={value}" for name, value in self.parameters.items()]
        shown += ["weight"] * ("weight" in self.arguments) + ["pos_weight"] * ("pos_weight" in self.arguments)
        return f"{self.oracle.__name__}({', '.join(shown)})"

    def draw(self) -> Arguments:
        rng = np.random.default_rng(SEED)
        drawn = {name: kind(rng, POINTS) for name, kind in self.arguments.items()}
        for relate in self.ties:
            relate(rng, drawn)
        return drawn


def case(name: str, module: Any, arguments: Mapping[str, Any], *ties: Relate, **parameters: Any) -> Case:
    return Case(
        oracle=getattr(module, name),
        definition=getattr(elementwise, name),
        arguments=arguments,
        parameters=parameters,
        ties=ties,
    )


REALS = {"input": real, "target": real}
WEIGHTED = REALS | {"weight": weight}
RATES = {"input": nonnegative, "target": count}
COUNTS = {"input": real, "target": count}
GAUSSIAN = REALS | {"var": positive}
BINARY = {"input": real, "target": label}
PROBABILITIES = {"input": probability, "target": label}
RANKED = {"input1": real, "input2": real, "target": sign}
SAME = tie("input", lambda a: a["target"])
EDGE = tie("input", lambda a: a["target"] + 1.0)
SHORT = tie("input", lambda a: a["target"] * 0.3)
SAME_RATE = tie("input", lambda a: a["target"], low=0.0)
SAME_PROBABILITY = tie("input", lambda a: a["target"], low=0.0, high=1.0)
LOG = tie("input", lambda a: np.log(a["target"]))
LOG_FACTOR = tie("input", lambda a: np.log(a["target"]) + np.linspace(-1.2, 1.2, POINTS))
FACTOR = tie("input", lambda a: a["target"] * np.linspace(0.2, 4.0, POINTS), low=0.0)
SPREAD = tie("var", lambda a: np.maximum((a["input"] - a["target"]) ** 2, NORMAL))
RANK = tie("input1", lambda a: a["input2"] + a["target"] * 0.3)

CASES = [
    case("mse_loss", regression, REALS, SAME),
    case("mse_loss", regression, WEIGHTED, SAME),
    case("l1_loss", regression, REALS, SAME),
    case("l1_loss", regression, WEIGHTED, SAME),
    case("complex_l1_loss", regression, {"input": pair, "target": pair}, SAME),
    case("complex_l1_loss", regression, {"input": pair, "target": pair, "weight": weight}, SAME),
    *(case("smooth_l1_loss", regression, REALS, SAME, EDGE, beta=b) for b in (1.0, 0.0, 0.1, 1e-300, SUBNORMAL, 1e200)),
    *(case("huber_loss", regression, REALS, SAME, EDGE, delta=b) for b in (1.0, 0.1, 1e-300, 1e200)),
    *(case("huber_loss", regression, WEIGHTED, SAME, EDGE, delta=b) for b in (1.0, 1e-150, 1e150)),
    case("poisson_nll_loss", likelihood, COUNTS, LOG),
    case("poisson_nll_loss", likelihood, COUNTS, LOG_FACTOR, LOG, full=True),
    case("poisson_nll_loss", likelihood, RATES, SAME_RATE, log_input=False),
    case("poisson_nll_loss", likelihood, RATES, FACTOR, SAME_RATE, log_input=False, full=True),
    case("poisson_nll_loss", likelihood, RATES, FACTOR, SAME_RATE, log_input=False, full=True, eps=0.0),
    case("gaussian_nll_loss", likelihood, GAUSSIAN, SAME),
    case("gaussian_nll_loss", likelihood, GAUSSIAN, SAME, SPREAD, eps=0.0),
    case("gaussian_nll_loss", likelihood, GAUSSIAN, EDGE, tie("var", lambda a: np.ones(POINTS)), full=True),
    case("gaussian_nll_loss_clamped_gradient", likelihood, GAUSSIAN, tie("var", lambda a: np.full(POINTS, 1e-6))),
    case("binary_cross_entropy_with_logits", binary, BINARY),
    case("binary_cross_entropy_with_logits", binary, BINARY | {"weight": moderate}),
    case("binary_cross_entropy_with_logits", binary, BINARY | {"pos_weight": moderate}),
    case("binary_cross_entropy", binary, PROBABILITIES, SAME_PROBABILITY),
    case("binary_cross_entropy", binary, PROBABILITIES | {"weight": weight}, SAME_PROBABILITY),
    case("binary_cross_entropy_clamped", binary, PROBABILITIES, SAME_PROBABILITY),
    case("binary_cross_entropy_clamped", binary, PROBABILITIES | {"weight": weight}),
    case("soft_margin_loss", binary, {"input": real, "target": sign}),
    case("soft_margin_loss", binary, REALS),
    *(
        case(
            "hinge_embedding_loss",
            binary,
            {"input": real, "target": sign},
            tie("input", lambda a: np.ones(POINTS)),
            margin=m,
        )
        for m in (1.0, 0.3, 0.0)
    ),
    *(case("margin_ranking_loss", binary, RANKED, RANK, margin=m) for m in (0.0, 0.3, 1e10)),
    case(
        "kl_div",
        divergence,
        {"input": log_probability, "target": probability},
        tie("input", lambda a: np.log(a["target"])),
    ),
    case("kl_div", divergence, {"input": log_probability, "target": nonnegative}),
    case("kl_div", divergence, {"input": log_probability, "target": log_probability}, SAME, EDGE, log_target=True),
    case("kl_div", divergence, {"input": real, "target": real}, SAME, log_target=True),
]


def excess_error(got: float, want: Any, bound: float, tail: float) -> float:
    """abs(got - want) in units of the bound, at most ROUNDINGS passing; inf for a range that is wrong."""
    if np.isnan(got):
        return np.inf
    if not mp.isfinite(want) or abs(want) > LARGEST:
        return 0.0 if got == want or (np.sign(got) == mp.sign(want) and abs(got) >= LARGEST * (1 - 8 * U)) else np.inf
    if not np.isfinite(got):
        return 0.0 if abs(want) >= LARGEST * (1 - 8 * U) else np.inf
    floor = SUBNORMAL * tail if abs(want) < 2 * NORMAL * tail else 0.0
    error = abs(mp.mpf(got) - want)
    return 0.0 if error == 0 else float(error / (U * mp.mpf(bound) + floor)) if bound or floor else np.inf


def worst(out: Output, want: list[Any]) -> tuple[float, int]:
    """The largest error of one output, and its entry."""
    shape = out.exact.shape
    exact, bound = out.exact.ravel(), np.broadcast_to(out.reference + 4 * out.accumulation, shape).ravel()
    tail = np.minimum(np.broadcast_to(out.underflow, shape).ravel(), 1e4)
    low, high = (exact, exact) if out.interval is None else (np.broadcast_to(e, shape).ravel() for e in out.interval)
    errors = []
    for i, w in enumerate(want):
        ends = w if isinstance(w, tuple) else (w, w)
        error = max(
            excess_error(float(got[i]), end, bound[i], tail[i]) for got, end in zip((low, high), ends, strict=True)
        )
        inside = low[i] <= exact[i] <= high[i] or not mp.isfinite(ends[0])
        errors.append(error if inside else np.inf)
    place = int(np.argmax(errors))
    return errors[place], place


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_oracle_is_its_definition_to_a_few_roundings(case: Case) -> None:
    drawn = case.draw()
    truth = case.oracle(**drawn, **case.parameters)
    rows = [{name: a[i].tolist() for name, a in drawn.items()} for i in range(POINTS)]
    with mp.workprec(BITS):
        want = [case.definition(**row, **case.parameters) for row in rows]
        for name, out in truth.outputs().items():
            entries = [v if name == "value" else g[name] for v, g in want]
            flat = [e for entry in entries for e in (entry if isinstance(entry, list) else [entry])]
            error, place = worst(out, flat)
            row = rows[place * POINTS // out.exact.size]
            got, truly = out.exact.ravel()[place], flat[place]
            assert error <= ROUNDINGS, f"{name}: {error:.3g} roundings at {row}: got {got!r}, want {mp.nstr(truly, 20)}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_scales_are_numbers_that_bound(case: Case) -> None:
    truth = case.oracle(**case.draw(), **case.parameters)
    for name, out in truth.outputs().items():
        finite = np.isfinite(out.exact)
        for scale in (out.reference, out.accumulation, out.underflow):
            held = np.broadcast_to(scale, out.exact.shape)[finite]
            assert np.isfinite(held).all(), (name, np.flatnonzero(~np.isfinite(held))[:3])
            assert (held >= 0).all(), name
        assert (np.broadcast_to(out.absolute, out.exact.shape)[finite] >= 0).all(), name
        assert out.exact.dtype == np.float64


INF, NAN = np.inf, np.nan
SPECIAL: list[tuple[str, Truth, dict[str, float]]] = []


def special(
    law: str, oracle: Callable[..., Truth], *arguments: float, want: dict[str, float], **parameters: Any
) -> None:
    """A row whose outputs are known: an argument is one float, ``want`` names the outputs of interest."""
    rows = [np.array([a], np.float64) for a in arguments]
    SPECIAL.append((f"{oracle.__name__}: {law}", oracle(*rows, **parameters), want))


for oracle in (regression.mse_loss, regression.l1_loss, regression.smooth_l1_loss, regression.huber_loss):
    special("inf - inf -> nan", oracle, INF, INF, want={"value": NAN, "input": NAN, "target": NAN})
    special("nan input -> nan", oracle, NAN, 1.0, want={"value": NAN, "input": NAN, "target": NAN})
    special("nan target -> nan", oracle, 1.0, NAN, want={"value": NAN, "input": NAN, "target": NAN})
    special("input=-inf -> inf", oracle, -INF, 1.0, want={"value": INF})
special("slope 1 at infinity", regression.l1_loss, -INF, 1.0, want={"input": -1.0, "target": 1.0})
special("slope delta at infinity", regression.huber_loss, INF, 1.0, delta=3.0, want={"input": 3.0})
poisson, gaussian = likelihood.poisson_nll_loss, likelihood.gaussian_nll_loss
special("rate 0, count 0 -> 0", poisson, -INF, 0.0, want={"value": 0.0, "input": 0.0, "target": INF})
special("rate 0, count 2 -> inf", poisson, -INF, 2.0, want={"value": INF, "input": -2.0})
special("infinite rate -> inf", poisson, INF, 2.0, want={"value": INF, "input": INF, "target": -INF})
special("nan count -> nan", poisson, 1.0, NAN, full=True, want={"value": NAN, "input": NAN})
special("count 0 adds no Stirling", poisson, 1.0, 0.0, full=True, want={"value": np.e, "target": -1.0})
special("count 1 adds no Stirling", poisson, 0.0, 1.0, full=True, want={"value": 1.0, "target": 0.0})
special("rate 0, count 0 -> 0", poisson, 0.0, 0.0, log_input=False, eps=0.0, want={"value": 0.0, "input": 1.0})
special("rate 0, count 2 -> inf", poisson, 0.0, 2.0, log_input=False, eps=0.0, want={"value": INF, "input": -INF})
special("infinite rate -> inf", poisson, INF, 2.0, log_input=False, full=True, want={"value": INF, "input": 1.0})
special("negative rate -> nan", poisson, -1.0, 2.0, log_input=False, want={"value": NAN})
special("nan var -> nan", gaussian, 1.0, 1.0, NAN, want={"value": NAN, "input": NAN, "var": NAN})
special("infinite var -> inf", gaussian, 1.0, 2.0, INF, want={"value": INF, "input": 0.0, "var": 0.0})
special("infinite error -> inf", gaussian, INF, 2.0, 1.0, want={"value": INF, "input": INF, "var": -INF})
special("gradient passes the clamp", gaussian, 0.0, 2.0, 0.0, eps=1.0, want={"value": 2.0, "var": -1.5})
special(
    "no gradient below eps", likelihood.gaussian_nll_loss_clamped_gradient, 0.0, 2.0, 0.0, eps=1.0, want={"var": 0.0}
)
logits, bce, clamped = (
    binary.binary_cross_entropy_with_logits,
    binary.binary_cross_entropy,
    binary.binary_cross_entropy_clamped,
)
special("certain and right -> 0", logits, INF, 1.0, want={"value": 0.0, "input": 0.0, "target": -INF})
special("certain and wrong -> inf", logits, -INF, 1.0, want={"value": INF, "input": -1.0, "target": INF})
special("nan logit -> nan", logits, NAN, 1.0, want={"value": NAN, "input": NAN, "target": NAN})
special("nan target -> nan", logits, 1.0, NAN, want={"value": NAN, "input": NAN})
for oracle, worst_value in ((bce, INF), (clamped, 100.0)):
    special("x=0, y=0 -> 0", oracle, 0.0, 0.0, want={"value": 0.0, "input": 1.0, "target": worst_value})
    special("x=1, y=1 -> 0", oracle, 1.0, 1.0, want={"value": 0.0, "input": -1.0, "target": -worst_value})
    special("x=-0, y=1 -> wrong", oracle, -0.0, 1.0, want={"value": worst_value, "input": -INF})
    special("x=1, y=0 -> wrong", oracle, 1.0, 0.0, want={"value": worst_value, "input": INF})
    special("nan x -> nan", oracle, NAN, 0.0, want={"value": NAN, "input": NAN, "target": NAN})
    special("nan y -> nan", oracle, 0.5, NAN, want={"value": NAN, "input": NAN})
special("right at infinity -> 0", binary.soft_margin_loss, INF, 1.0, want={"value": 0.0, "input": -0.0, "target": 0.0})
special("wrong at infinity", binary.soft_margin_loss, -INF, 1.0, want={"value": INF, "input": -1.0, "target": INF})
special("nan -> nan", binary.soft_margin_loss, NAN, 1.0, want={"value": NAN, "input": NAN, "target": NAN})
hinge, ranking = binary.hinge_embedding_loss, binary.margin_ranking_loss
special("y=1 -> x", hinge, -INF, 1.0, want={"value": -INF, "input": 1.0})
special("y=-1, x=inf -> 0", hinge, INF, -1.0, want={"value": 0.0, "input": 0.0})
special("y=-1, x=-inf -> inf", hinge, -INF, -1.0, want={"value": INF, "input": -1.0})
special("nan x -> nan", hinge, NAN, -1.0, want={"value": NAN, "input": NAN})
special("no such label -> nan", hinge, 1.0, 0.5, want={"value": NAN, "input": NAN})
special("nan -> nan", ranking, NAN, 0.0, 1.0, want={"value": NAN, "input1": NAN, "input2": NAN, "target": NAN})
special("ranked at infinity -> 0", ranking, INF, 0.0, 1.0, want={"value": 0.0, "input1": 0.0, "target": 0.0})
special("misranked at infinity -> inf", ranking, -INF, 0.0, 1.0, want={"value": INF, "input1": -1.0, "target": INF})
kl = divergence.kl_div
special("0 log 0 = 0", kl, -INF, 0.0, want={"value": 0.0, "input": -0.0})
special("0 against p", kl, -1.0, 0.0, want={"value": 0.0, "target": -INF})
special("p against 0 -> inf", kl, -INF, 0.5, want={"value": INF, "input": -0.5, "target": INF})
special("nan input -> nan", kl, NAN, 0.0, want={"value": NAN, "target": NAN})
special("0 log 0 = 0", kl, -INF, -INF, log_target=True, want={"value": 0.0, "input": -0.0, "target": 0.0})
special("0 against p", kl, -1.0, -INF, log_target=True, want={"value": 0.0, "target": 0.0})
special(
    "p below every float64 against 0 -> inf", kl, -INF, -2000.0, log_target=True, want={"value": INF, "target": INF}
)
special("nan input -> nan", kl, NAN, -INF, log_target=True, want={"value": NAN, "target": NAN})


@pytest.mark.parametrize(("truth", "want"), [(t, w) for _, t, w in SPECIAL], ids=[law for law, _, _ in SPECIAL])
def test_special_rows(truth: Truth, want: dict[str, float]) -> None:
    got = {name: truth.outputs()[name].exact[0] for name in want}
    assert got == pytest.approx(want, rel=1e-15, nan_ok=True)


ORDINARY: dict[Any, Callable[[np.random.Generator, int], Array]] = {
    real: lambda r, n: r.normal(0, 2, n),
    positive: lambda r, n: r.uniform(0.1, 3, n),
    nonnegative: lambda r, n: r.uniform(0.1, 3, n),
    count: lambda r, n: 1.0 + r.poisson(4.0, n).astype(np.float64),
    weight: lambda r, n: r.uniform(0.1, 3, n),
    moderate: lambda r, n: r.uniform(0.1, 3, n),
    probability: lambda r, n: r.uniform(0.01, 0.99, n),
    label: lambda r, n: r.uniform(0.01, 0.99, n),
    log_probability: lambda r, n: -r.uniform(0.1, 5, n),
    sign: sign,
    pair: lambda r, n: r.normal(0, 2, (n, 2)),
}


def ordinary(parameter: Any) -> bool:
    return isinstance(parameter, bool) or 1e-9 < parameter < 1e3


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if all(map(ordinary, c.parameters.values())) and "clamped_gradient" not in c.name],
    ids=lambda c: c.name,
)
def test_oracle_agrees_with_torch_on_ordinary_inputs(case: Case) -> None:
    import torch

    rng = np.random.default_rng(SEED)
    drawn = {name: ORDINARY[kind](rng, 50) for name, kind in case.arguments.items()}
    truth = case.oracle(**drawn, **case.parameters)
    name = case.oracle.__name__.removesuffix("_clamped").removeprefix("complex_")
    loss = getattr(torch.nn.functional, name)
    leaves = {k: torch.tensor(a, requires_grad=k in truth.gradients) for k, a in drawn.items()}
    if name == "soft_margin_loss":
        leaves["target"].requires_grad_(False)
    passed = {k: torch.view_as_complex(t) if t.ndim == 2 else t for k, t in leaves.items()}
    value = loss(**passed, **case.parameters, reduction="none")
    value.sum().backward()
    np.testing.assert_allclose(value.detach().numpy(), truth.value.exact, rtol=1e-9, atol=1e-12)
    for k, leaf in leaves.items():
        if leaf.requires_grad:
            assert leaf.grad is not None
            np.testing.assert_allclose(leaf.grad.numpy(), truth.gradients[k].exact, rtol=1e-8, atol=1e-12)
