"""The definitions of the losses of generative models in mpmath, one row at a time, at the precision in force.

Floats and lists of floats in, the value and the gradients out; a kink gives its gradient as the pair (lowest, highest).
Transcribed from the papers; nothing is arranged against cancellation, so the precision must span the squares of the
inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

from reference.mp.exponential import exp

Real = Any
Definition = tuple[Real, dict[str, Any]]


def gaussian_kl_loss(mu: Sequence[float], log_var: Sequence[float]) -> Definition:
    """-1/2 sum of (1 + log(sigma**2) - mu**2 - sigma**2)."""
    means, logs = [mp.mpf(m) for m in mu], [mp.mpf(z) for z in log_var]
    variances = [exp(z) for z in logs]
    value = -mp.fsum(1 + z - m**2 - v for m, z, v in zip(means, logs, variances, strict=True)) / 2
    return value, {"mu": means, "log_var": [(v - 1) / 2 for v in variances]}


def discriminator(logit: float) -> tuple[Real, Real]:
    """(D, 1 - D) of a logit."""
    e = exp(-mp.mpf(logit))
    return 1 / (1 + e), e / (1 + e)


def gan_discriminator_loss(real: float, fake: float) -> Definition:
    """-log(D(x)) - log(1 - D(G(z)))."""
    (hit, miss), (taken, caught) = discriminator(real), discriminator(fake)
    return -mp.log(hit) - mp.log(caught), {"real": -miss, "fake": taken}


def gan_generator_minimax_loss(fake: float) -> Definition:
    """log(1 - D(G(z)))."""
    taken, caught = discriminator(fake)
    return mp.log(caught), {"fake": -taken}


def gan_generator_nonsaturating_loss(fake: float) -> Definition:
    """-log(D(G(z)))."""
    taken, caught = discriminator(fake)
    return -mp.log(taken), {"fake": -caught}


def lsgan_discriminator_loss(real: float, fake: float) -> Definition:
    """((D(x) - b)**2 + (D(G(z)) - a)**2) / 2 with a = 0 and b = 1."""
    x, y = mp.mpf(real) - 1, mp.mpf(fake)
    return (x**2 + y**2) / 2, {"real": x, "fake": y}


def lsgan_generator_loss(fake: float) -> Definition:
    """(D(G(z)) - c)**2 / 2 with c = 1."""
    y = mp.mpf(fake) - 1
    return y**2 / 2, {"fake": y}


def wasserstein_critic_loss(real: float, fake: float) -> Definition:
    """-(f(x) - f(g(z))), which the critic minimises."""
    return -(mp.mpf(real) - mp.mpf(fake)), {"real": -mp.one, "fake": mp.one}


def wasserstein_generator_loss(fake: float) -> Definition:
    """-f(g(z))."""
    return -mp.mpf(fake), {"fake": -mp.one}


def hinge_discriminator_loss(real: float, fake: float) -> Definition:
    """-min(0, -1 + D(x)) - min(0, -1 - D(G(z)))."""
    x, y = mp.mpf(real) - 1, -1 - mp.mpf(fake)
    falling = -mp.one if x < 0 else (-mp.one, mp.zero) if x == 0 else mp.zero
    rising = mp.one if y < 0 else (mp.zero, mp.one) if y == 0 else mp.zero
    return -min(mp.zero, x) - min(mp.zero, y), {"real": falling, "fake": rising}
