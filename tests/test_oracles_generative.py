"""The oracles of generative models at published figures, identities and the ends of the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mpmath import mp

from reference import generative
from reference.mp import generative as definitions
from reference.truth import Array, Truth

INF, NAN = np.inf, np.nan
LARGEST = float(np.finfo(np.float64).max)
SUBNORMAL = float(np.finfo(np.float64).smallest_subnormal)
LOG_2 = float(np.log(2.0))
SPECIAL: list[tuple[str, Truth, dict[str, Any]]] = []


def special(law: str, oracle: Callable[..., Truth], *row: Any, want: dict[str, Any]) -> None:
    """One row, whose outputs ``want`` names."""
    SPECIAL.append((f"{oracle.__name__}: {law}", oracle(*(np.array([a], np.float64) for a in row)), want))


kl = generative.gaussian_kl_loss
special("the standard normal -> 0", kl, [0.0, 0.0], [0.0, 0.0], want={"value": 0.0, "log_var": [0.0, 0.0]})
special("variance 1 -> half the squared mean", kl, [3.0, -4.0], [0.0, 0.0], want={"value": 12.5, "mu": [3.0, -4.0]})
special("log_var 1 -> e / 2 - 1", kl, [0.0], [1.0], want={"value": np.e / 2 - 1, "log_var": [(np.e - 1) / 2]})
special("log_var -1 -> 1 / (2 e)", kl, [0.0], [-1.0], want={"value": 0.5 / np.e})
special("log_var 1e-100 -> log_var**2 / 4", kl, [0.0], [1e-100], want={"value": 2.5e-201, "log_var": [5e-101]})
special("exp(710) is infinite, half of it is not", kl, [0.0], [710.0], want={"value": 1.1169973830808557e308})
special("a variance below every float64", kl, [0.0], [-1e308], want={"value": 5e307, "log_var": [-0.5]})
special("the square of 1.5e154 is infinite, half of it is not", kl, [1.5e154], [0.0], want={"value": 1.125e308})
special("infinite mean -> inf", kl, [-INF], [0.0], want={"value": INF, "mu": [-INF]})
special("a point mass -> inf", kl, [0.0], [-INF], want={"value": INF, "log_var": [-0.5]})
special("infinite variance -> inf", kl, [0.0], [INF], want={"value": INF, "log_var": [INF]})
special("nan in its own dimension only", kl, [NAN, 1.0], [0.5, 0.0], want={"value": NAN, "mu": [NAN, 1.0]})

discriminator = generative.gan_discriminator_loss
special("the equilibrium -> log 4", discriminator, 0.0, 0.0, want={"value": 2 * LOG_2, "real": -0.5, "fake": 0.5})
special("right at infinity -> 0", discriminator, INF, -INF, want={"value": 0.0, "real": 0.0, "fake": 0.0})
special("wrong at infinity -> inf", discriminator, -INF, INF, want={"value": INF, "real": -1.0, "fake": 1.0})
special("a tail", discriminator, 700.0, -700.0, want={"value": 2 * np.exp(-700.0), "fake": np.exp(-700.0)})
special("wrong by the largest number", discriminator, 1e3, LARGEST, want={"value": LARGEST, "fake": 1.0})
special("nan score -> nan", discriminator, NAN, 0.0, want={"value": NAN, "real": NAN, "fake": 0.5})

saturating, lively = generative.gan_generator_minimax_loss, generative.gan_generator_nonsaturating_loss
special("undecided -> -log 2", saturating, 0.0, want={"value": -LOG_2, "fake": -0.5})
special("caught: no gradient left", saturating, -1000.0, want={"value": 0.0, "fake": 0.0})
special("taken for real by 1000", saturating, 1000.0, want={"value": -1000.0, "fake": -1.0})
special("undecided -> log 2", lively, 0.0, want={"value": LOG_2, "fake": -0.5})
special("caught by 1000: all of the gradient", lively, -1000.0, want={"value": 1000.0, "fake": -1.0})
special("nan -> nan", lively, NAN, want={"value": NAN, "fake": NAN})

squares, square = generative.lsgan_discriminator_loss, generative.lsgan_generator_loss
special("at the labels -> 0", squares, 1.0, 0.0, want={"value": 0.0, "real": 0.0, "fake": 0.0})
special("the optimum against equal densities", squares, 0.5, 0.5, want={"value": 0.25, "real": -0.5, "fake": 0.5})
special("a half of squares that are infinite", squares, 0.0, 1.5e154, want={"value": 1.125e308, "fake": 1.5e154})
special("an infinite score -> inf", squares, -INF, 0.0, want={"value": INF, "real": -INF})
special("one ulp from the label", square, 1.0 - 2.0**-53, want={"value": 2.0**-107, "fake": -(2.0**-53)})
special("nan -> nan", square, NAN, want={"value": NAN, "fake": NAN})

critic, generator = generative.wasserstein_critic_loss, generative.wasserstein_generator_loss
special("a difference", critic, 3.0, -1.0, want={"value": -4.0, "real": -1.0, "fake": 1.0})
special("of subnormal scores", critic, SUBNORMAL, 2 * SUBNORMAL, want={"value": SUBNORMAL})
special("inf - inf -> nan, its slopes 1", critic, INF, INF, want={"value": NAN, "real": -1.0, "fake": 1.0})
special("the sign turned", generator, -LARGEST, want={"value": LARGEST, "fake": -1.0})

hinge = generative.hinge_discriminator_loss
special("undecided -> 2", hinge, 0.0, 0.0, want={"value": 2.0, "real": -1.0, "fake": 1.0})
special("beyond the margin -> 0", hinge, 1.5, -INF, want={"value": 0.0, "real": 0.0, "fake": 0.0})
special("one ulp inside", hinge, 1.0 - 2.0**-53, -1.0, want={"value": 2.0**-53, "real": -1.0})
special("nan score -> nan", hinge, NAN, 0.0, want={"value": NAN, "real": NAN, "fake": 1.0})


@pytest.mark.parametrize(("truth", "want"), [(t, w) for _, t, w in SPECIAL], ids=[law for law, _, _ in SPECIAL])
def test_special_rows(truth: Truth, want: dict[str, Any]) -> None:
    for name, expected in want.items():
        got = truth.outputs()[name].exact[0]
        assert got == pytest.approx(np.array(expected), rel=4e-16, abs=0.0, nan_ok=True), name


def test_kinks_of_the_hinge_give_both_slopes() -> None:
    truth = hinge(np.array([1.0]), np.array([-1.0]))
    ends = {name: gradient.interval for name, gradient in truth.gradients.items()}
    assert ends == {"real": (-1.0, 0.0), "fake": (0.0, 1.0)}


def excess_of(z: Array) -> Array:
    with mp.workprec(300):
        return np.array([float((mp.exp(mp.mpf(float(e))) - 1 - mp.mpf(float(e))) / 2) for e in z])


def test_the_excess_keeps_its_digits_where_it_cancels_and_at_the_seams() -> None:
    z = np.concatenate([np.linspace(-2.0, 2.0, 401), [1e-9, -1e-9, 1e-5, 700.0, np.nextafter(700.0, 701.0), 709.5]])
    np.testing.assert_allclose(generative.half_excess(z), excess_of(z), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_is_the_integral_that_defines_it(seed: int) -> None:
    """E[log q - log p] under q by Gauss-Hermite quadrature, which is exact for the quadratic log q - log p."""
    rng = np.random.default_rng(seed)
    mu, log_var = rng.standard_normal((2, 5))
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    x = mu[:, None] + np.exp(0.5 * log_var)[:, None] * nodes
    apart = 0.5 * (x**2 - nodes**2 - log_var[:, None])
    want = float((apart @ weights).sum() / np.sqrt(2 * np.pi))
    assert kl(mu[None], log_var[None]).value.exact[0] == pytest.approx(want, rel=1e-13)


def test_a_minimax_generator_and_its_discriminator_share_the_term_of_generated_samples() -> None:
    real, fake = np.random.default_rng(0).normal(0.0, 10.0, (2, 50))
    both = discriminator(real, fake).value.exact
    assert both == pytest.approx(lively(real).value.exact - saturating(fake).value.exact, rel=1e-15)


def test_the_definition_of_the_hinge_gives_its_kinks_as_pairs() -> None:
    value, gradients = definitions.hinge_discriminator_loss(1.0, -1.0)
    assert (value, gradients) == (0, {"real": (-1, 0), "fake": (0, 1)})
