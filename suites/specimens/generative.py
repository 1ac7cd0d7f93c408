"""Losses of generative models: variational autoencoders, adversarial networks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from suites.specimens.specimen import Specimen, reduced

Tensor = torch.Tensor
LOG_2 = math.log(2.0)


# -- variational autoencoders ------------------------------------------------------------------------------------------


def vae_kl(mu: Tensor, log_var: Tensor, reduction: str = "mean") -> Tensor:
    """As in pytorch/examples, vae/main.py, one value a row."""
    return reduced(-0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1), reduction)


def vae_kl_of_std(mu: Tensor, log_var: Tensor, reduction: str = "mean") -> Tensor:
    """By way of the standard deviation, as probabilistic encoders often have it."""
    std = torch.exp(0.5 * log_var)
    return reduced((0.5 * (mu**2 + std**2 - 1) - torch.log(std)).sum(dim=-1), reduction)


def half_excess(z: Tensor) -> Tensor:
    """(exp(z) - 1 - z) / 2: its Taylor series where the difference cancels, exp(z - log 2) where exp(z) is large."""
    near, far = z.abs() < 1, z > 8
    u = torch.where(near, z, 0.0)
    series = torch.zeros_like(u)
    for n in range(20, 2, -1):
        series = (series + 1) * (u / n)
    between, above = torch.where(far, 0.0, z), torch.where(far, z, 0.0)
    rest = torch.where(far, torch.exp(above - LOG_2) - 0.5 * (1 + above), 0.5 * (torch.expm1(between) - between))
    return torch.where(near, u * (0.25 * u) * (1 + series), rest)


def stable_vae_kl(mu: Tensor, log_var: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((mu * (0.5 * mu) + half_excess(log_var)).sum(dim=-1), reduction)


# -- adversarial networks ----------------------------------------------------------------------------------------------


def gan_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    """The objective of the paper as it is written, a sigmoid inside each logarithm."""
    return reduced(-torch.log(torch.sigmoid(real)) - torch.log(1 - torch.sigmoid(fake)), reduction)


def gan_discriminator_of_probabilities(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of a discriminator that ends in a sigmoid."""
    right = F.binary_cross_entropy(torch.sigmoid(real), torch.ones_like(real), reduction="none")
    wrong = F.binary_cross_entropy(torch.sigmoid(fake), torch.zeros_like(fake), reduction="none")
    return reduced(right + wrong, reduction)


def stable_gan_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-F.logsigmoid(real) - F.logsigmoid(-fake), reduction)


def gan_generator_minimax(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(torch.log(1 - torch.sigmoid(fake)), reduction)


def stable_gan_generator_minimax(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(F.logsigmoid(-fake), reduction)


def gan_generator_nonsaturating(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-torch.log(torch.sigmoid(fake) + 1e-8), reduction)


def gan_generator_of_probabilities(fake: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of a discriminator that ends in a sigmoid, with the labels of real samples."""
    return F.binary_cross_entropy(torch.sigmoid(fake), torch.ones_like(fake), reduction=reduction)


def stable_gan_generator_nonsaturating(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-F.logsigmoid(fake), reduction)


def lsgan_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    """Half of two mean squared errors, against ones and zeros."""
    right = F.mse_loss(real, torch.ones_like(real), reduction=reduction)
    return 0.5 * (right + F.mse_loss(fake, torch.zeros_like(fake), reduction=reduction))


def stable_lsgan_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    d = real - 1
    return reduced(0.5 * d * d + 0.5 * fake * fake, reduction)


def lsgan_generator(fake: Tensor, reduction: str = "mean") -> Tensor:
    return 0.5 * F.mse_loss(fake, torch.ones_like(fake), reduction=reduction)


def stable_lsgan_generator(fake: Tensor, reduction: str = "mean") -> Tensor:
    d = fake - 1
    return reduced(0.5 * d * d, reduction)


def wgan_critic(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    """As in eriklindernoren/PyTorch-GAN, wgan.py: a mean of each batch of scores, then their difference."""
    return -reduced(real, reduction) + reduced(fake, reduction)


def stable_wgan_critic(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(fake - real, reduction)


def wgan_generator(fake: Tensor) -> Tensor:
    """As in eriklindernoren/PyTorch-GAN, wgan.py."""
    return -torch.mean(fake)


def stable_wgan_generator(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-fake, reduction)


def hinge_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    """As in ajbrock/BigGAN-PyTorch, losses.py: a mean of each batch of scores, then their sum."""
    return reduced(F.relu(1.0 - real), reduction) + reduced(F.relu(1.0 + fake), reduction)


def rectified(gap: Tensor) -> Tensor:
    """max(gap, 0), whose gradient is nan where the gap is."""
    live = torch.where(gap.isnan(), gap, 1.0).detach()
    return torch.where(gap <= 0, 0.0, gap * live)


def stable_hinge_discriminator(real: Tensor, fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(rectified(1 - real) + rectified(1 + fake), reduction)


def hinge_generator(fake: Tensor) -> Tensor:
    """As in ajbrock/BigGAN-PyTorch, losses.py."""
    return -torch.mean(fake)


def stable_hinge_generator(fake: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-fake, reduction)


SPECIMENS = (
    Specimen(
        loss=vae_kl,
        like="gaussian_kl_loss",
        form="usual",
        source="pytorch/examples, vae/main.py",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("vanished", "partial-range"),
            "special": ("absolute-only", "vanished"),
            "reductions": ("absolute-only",),
        },
    ),
    Specimen(
        loss=vae_kl_of_std,
        like="gaussian_kl_loss",
        form="usual",
        source="encoders that give the standard deviation",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("absolute-only",),
            "range": ("overflow", "nan", "vanished", "partial-range"),
            "special": ("overflow", "nan", "absolute-only", "vanished", "partial-range"),
            "reductions": ("absolute-only",),
        },
    ),
    Specimen(
        loss=stable_vae_kl,
        like="gaussian_kl_loss",
        form="sound",
        source="Taylor series of exp(z) - 1 - z",
        grade="mixed-stable",
    ),
    Specimen(
        loss=gan_discriminator,
        like="gan_discriminator_loss",
        form="usual",
        source="Goodfellow et al. (2014) as it is written",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("absolute-only",),
            "range": ("overflow", "nan", "vanished"),
            "special": ("overflow", "nan"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=gan_discriminator_of_probabilities,
        like="gan_discriminator_loss",
        form="usual",
        source="the PyTorch tutorial on DCGAN",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("unstable", "absolute-only"),
            "range": ("overflow", "nan", "finite-for-inf", "vanished"),
            "special": ("unstable", "nan", "finite-for-inf", "raised", "vanished"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=stable_gan_discriminator,
        like="gan_discriminator_loss",
        form="sound",
        source="logsigmoid form",
        grade="reference",
    ),
    Specimen(
        loss=gan_generator_minimax,
        like="gan_generator_minimax_loss",
        form="usual",
        source="Goodfellow et al. (2014) as it is written",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("absolute-only",),
            "range": ("overflow", "nan", "vanished"),
            "special": ("overflow", "nan"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=stable_gan_generator_minimax,
        like="gan_generator_minimax_loss",
        form="sound",
        source="logsigmoid form",
        grade="reference",
    ),
    Specimen(
        loss=gan_generator_nonsaturating,
        like="gan_generator_nonsaturating_loss",
        form="usual",
        source="log(D(G(z)) + eps), as implementations of GANs have it",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("unstable", "absolute-only"),
            "range": ("overflow", "nan", "vanished"),
            "special": ("unstable", "overflow", "nan", "finite-for-inf", "absolute-only", "vanished"),
            "nonfinite": ("unstable",),
            "reductions": ("unstable", "absolute-only"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=gan_generator_of_probabilities,
        like="gan_generator_nonsaturating_loss",
        form="usual",
        source="the PyTorch tutorial on DCGAN",
        shows={
            "value": ("unstable", "absolute-only"),
            "gradient": ("unstable", "absolute-only"),
            "range": ("overflow", "nan", "vanished"),
            "special": ("unstable", "nan", "finite-for-inf", "raised", "vanished"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=stable_gan_generator_nonsaturating,
        like="gan_generator_nonsaturating_loss",
        form="sound",
        source="logsigmoid form",
        grade="reference",
    ),
    Specimen(
        loss=lsgan_discriminator,
        like="lsgan_discriminator_loss",
        form="usual",
        source="eriklindernoren/PyTorch-GAN, lsgan.py",
        grade="few-ulp",
        shows={"range": ("partial-range",)},
    ),
    Specimen(
        loss=stable_lsgan_discriminator,
        like="lsgan_discriminator_loss",
        form="sound",
        source="each square halved on the way",
        grade="few-ulp",
    ),
    Specimen(
        loss=lsgan_generator,
        like="lsgan_generator_loss",
        form="usual",
        source="mse_loss against ones, halved",
        grade="few-ulp",
        shows={"range": ("partial-range",)},
    ),
    Specimen(
        loss=stable_lsgan_generator,
        like="lsgan_generator_loss",
        form="sound",
        source="the square halved on the way",
        grade="few-ulp",
    ),
    Specimen(
        loss=wgan_critic,
        like="wasserstein_critic_loss",
        form="usual",
        source="eriklindernoren/PyTorch-GAN, wgan.py",
        grade="few-ulp",
    ),
    Specimen(
        loss=stable_wgan_critic,
        like="wasserstein_critic_loss",
        form="sound",
        source="the difference before the mean",
        grade="few-ulp",
    ),
    Specimen(
        loss=wgan_generator,
        like="wasserstein_generator_loss",
        form="usual",
        source="eriklindernoren/PyTorch-GAN, wgan.py",
        grade="few-ulp",
    ),
    Specimen(
        loss=stable_wgan_generator,
        like="wasserstein_generator_loss",
        form="sound",
        source="the sign turned",
        grade="few-ulp",
    ),
    Specimen(
        loss=hinge_discriminator,
        like="hinge_discriminator_loss",
        form="usual",
        source="ajbrock/BigGAN-PyTorch, losses.py",
        grade="few-ulp",
        shows={
            "special": ("finite-for-nan",),
            "nonfinite": ("finite-for-nan",),
        },
    ),
    Specimen(
        loss=stable_hinge_discriminator,
        like="hinge_discriminator_loss",
        form="sound",
        source="one subtraction and one addition, rectified",
        grade="few-ulp",
    ),
    Specimen(
        loss=hinge_generator,
        like="hinge_generator_loss",
        form="usual",
        source="ajbrock/BigGAN-PyTorch, losses.py",
        grade="few-ulp",
    ),
    Specimen(
        loss=stable_hinge_generator,
        like="hinge_generator_loss",
        form="sound",
        source="the sign turned",
        grade="few-ulp",
    ),
)
