"""Oracles of the losses of generative models: variational autoencoders and adversarial networks.

A critic's scores of real and of generated samples are elementwise, of shape (R,); a latent has shape (R, D).
"""

from __future__ import annotations

import numpy as np

from reference.numerics import sigmoid, softplus
from reference.truth import Array, Truth, output

TERMS = 20
"""Terms of the Taylor series of exp(z) - 1 - z; for abs(z) < 1 the next is below 2**-60 of the sum."""


def half_exponential(z: Array) -> Array:
    """exp(z) / 2, which may be in the range where exp(z) is not."""
    root = np.exp(0.5 * z)
    return np.where(z > 700.0, root * (0.5 * root), 0.5 * np.exp(z))


def half_expm1(z: Array) -> Array:
    """(exp(z) - 1) / 2."""
    return np.where(z > 700.0, half_exponential(z), 0.5 * np.expm1(z))


def half_excess(z: Array) -> Array:
    """(exp(z) - 1 - z) / 2, not negative, by its Taylor series where the difference cancels."""
    near = np.abs(z) < 1.0
    u = np.where(near, z, 0.0)
    series = np.zeros_like(u)
    for n in range(TERMS, 2, -1):
        series = (series + 1.0) * (u / n)
    far = np.where(z > 700.0, half_exponential(z), 0.5 * (np.expm1(z) - z))
    return np.where(near, 0.25 * u * u * (1.0 + series), far)


def gaussian_kl_loss(mu: Array, log_var: Array) -> Truth:
    """sum of (mu**2 + exp(log_var) - 1 - log_var) / 2, of N(mu, exp(log_var)) from N(0, 1) in D dimensions.

    Source: D. Kingma and M. Welling, Auto-Encoding Variational Bayes (2014), appendix B. Both mu**2 and
    exp(log_var) - 1 - log_var are not negative, so that nothing cancels once the latter does not.
    """
    z = log_var
    with np.errstate(all="ignore"):
        value = (mu * (0.5 * mu) + half_excess(z)).sum(axis=-1)
        slope, spread = half_expm1(z), half_exponential(z)
        terms = (mu * (0.5 * mu) + spread + 0.5 * (1.0 + np.abs(z))).sum(axis=-1)
        whole = 2.0 * terms  # as it is written: a sum, and then a half of it
        return Truth(
            value=output(
                value,
                accumulation=value,
                absolute=terms,
                underflow=1.0 + mu.shape[-1],
                partial=(np.zeros_like(whole), whole),
            ),
            gradients={
                "mu": output(mu, absolute=np.abs(mu)),
                "log_var": output(slope, absolute=0.5 + spread, partial=(np.zeros_like(z), 2.0 * spread)),
            },
        )


def gan_discriminator_loss(real: Array, fake: Array) -> Truth:
    """-log(sigmoid(real)) - log(1 - sigmoid(fake)), as softplus(-real) + softplus(fake), both positive.

    Source: I. Goodfellow et al., Generative Adversarial Nets (2014), equation 1, of the logits of the discriminator.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return Truth(
            value=output(softplus(-real) + softplus(fake), absolute=2.0 + np.abs(real) + np.abs(fake), underflow=2.0),
            gradients={
                "real": output(-sigmoid(-real), absolute=1.0),
                "fake": output(sigmoid(fake), absolute=1.0),
            },
        )


def gan_generator_minimax_loss(fake: Array) -> Truth:
    """log(1 - sigmoid(fake)) = -softplus(fake). Source: I. Goodfellow et al. (2014), equation 1."""
    with np.errstate(under="ignore", invalid="ignore"):
        return Truth(
            value=output(-softplus(fake), absolute=1.0 + np.abs(fake)),
            gradients={"fake": output(-sigmoid(fake), absolute=1.0)},
        )


def gan_generator_nonsaturating_loss(fake: Array) -> Truth:
    """-log(sigmoid(fake)) = softplus(-fake). Source: I. Goodfellow et al. (2014), section 3."""
    with np.errstate(under="ignore", invalid="ignore"):
        return Truth(
            value=output(softplus(-fake), absolute=1.0 + np.abs(fake)),
            gradients={"fake": output(-sigmoid(-fake), absolute=1.0)},
        )


def lsgan_discriminator_loss(real: Array, fake: Array) -> Truth:
    """((real - 1)**2 + fake**2) / 2. Source: X. Mao et al., Least Squares GAN (2017), equation 2, a = 0 and b = 1.

    After the one difference all are products and a sum of squares; each is halved before it can leave the range.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, size = real - 1.0, np.abs(real) + 1.0
        parts = np.fmax(d * d, fake * fake) + np.fmin(d * d, fake * fake)
        return Truth(
            value=output(
                (0.5 * d) * d + (0.5 * fake) * fake,
                absolute=0.5 * (size * size + fake * fake),
                underflow=2.0,
                partial=(np.zeros_like(parts), parts),
            ),
            gradients={
                "real": output(d, absolute=size, partial=(np.zeros_like(d), 2.0 * np.abs(d))),
                "fake": output(fake, absolute=np.abs(fake), partial=(np.zeros_like(fake), 2.0 * np.abs(fake))),
            },
        )


def lsgan_generator_loss(fake: Array) -> Truth:
    """(fake - 1)**2 / 2. Source: X. Mao et al., Least Squares GAN (2017), equation 2, c = 1."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, size = fake - 1.0, np.abs(fake) + 1.0
        return Truth(
            value=output((0.5 * d) * d, absolute=0.5 * size * size, partial=(np.zeros_like(d), d * d)),
            gradients={"fake": output(d, absolute=size, partial=(np.zeros_like(d), 2.0 * np.abs(d)))},
        )


def wasserstein_critic_loss(real: Array, fake: Array) -> Truth:
    """fake - real, one rounding. Source: M. Arjovsky et al., Wasserstein GAN (2017), algorithm 1, to be minimised."""
    with np.errstate(over="ignore", invalid="ignore"):
        value, one = fake - real, np.ones_like(fake)
        return Truth(
            value=output(value, absolute=np.abs(real) + np.abs(fake)),
            gradients={"real": output(-one, absolute=1.0), "fake": output(one, absolute=1.0)},
        )


def wasserstein_generator_loss(fake: Array) -> Truth:
    """-fake, exact. Source: M. Arjovsky et al., Wasserstein GAN (2017), algorithm 1."""
    return Truth(
        value=output(-fake, absolute=np.abs(fake)),
        gradients={"fake": output(-np.ones_like(fake), absolute=1.0)},
    )


def hinge_discriminator_loss(real: Array, fake: Array) -> Truth:
    """max(0, 1 - real) + max(0, 1 + fake), with kinks at real = 1 and fake = -1, where the rounded sums are 0 too.

    Source: J. Lim and J. Ye, Geometric GAN (2017); T. Miyato et al., Spectral Normalization for GANs (2018), eq. 16.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        short, over = 1.0 - real, 1.0 + fake

        def slope(gap: Array, sign: float) -> tuple[Array, tuple[Array, Array]]:
            exact = np.where(np.isnan(gap), np.nan, np.where(gap > 0.0, sign, 0.0))
            end = np.where(gap == 0.0, sign, exact)
            return exact, (np.minimum(exact, end), np.maximum(exact, end))

        (rising, rising_ends), (falling, falling_ends) = slope(over, 1.0), slope(short, -1.0)
        return Truth(
            value=output(np.maximum(short, 0.0) + np.maximum(over, 0.0), absolute=2.0 + np.abs(real) + np.abs(fake)),
            gradients={
                "real": output(falling, absolute=1.0, interval=falling_ends),
                "fake": output(rising, absolute=1.0, interval=rising_ends),
            },
        )
