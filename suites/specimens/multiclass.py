"""Losses of logits and the index of a class that are functions of the probability of that class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from suites.specimens.specimen import Specimen, reduced

# -- the softmax from the target ---------------------------------------------------------------------------------------


class Picked(NamedTuple):
    """What the target sees of the softmax of its row; all but the slope have shape (N,)."""

    loss: Tensor
    """-log p_t as max(x) - x_t + log1p(sum of the others)."""
    probability: Tensor
    rest: Tensor
    """1 - p_t as the sum of the other probabilities."""
    slope: Tensor
    """d loss / d x, shape (N, C)."""
    half: Tensor
    """Half of max(x) - x_t, finite where the difference is not."""


def picked(input: Tensor, target: Tensor) -> Picked:
    index = target[:, None]
    top = input.argmax(dim=1, keepdim=True)
    gap = input.gather(1, top) - input
    e = torch.exp(-gap)
    tail = e.scatter(1, top, 0.0).sum(dim=1, keepdim=True)
    p = e / (1 + tail)
    probability = p.gather(1, index)
    rest = torch.where(index == top, tail / (1 + tail), 1 - probability)
    loss = gap.gather(1, index) + torch.log1p(tail)
    half = 0.5 * input.gather(1, top) - 0.5 * input.gather(1, index)
    columns = (loss, probability, rest)
    return Picked(*(c.squeeze(1) for c in columns), p.scatter(1, index, -rest), half.squeeze(1))


Formula = Callable[[Picked], tuple[Tensor, Tensor]]
"""The loss f(L, r) of L = -log p_t and r = 1 - p_t, and df/dL + p_t df/dr."""


class _OfTarget(torch.autograd.Function):
    """A loss of the probability of the target alone, with the closed form of its gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, formula: Formula) -> Tensor:
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        seen = picked(wide, target)
        value, factor = formula(seen)
        ctx.save_for_backward(factor[:, None] * seen.slope)
        ctx.narrow = input.dtype
        return value.to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return (upstream[:, None] * slope).to(ctx.narrow), None, None


def of_target(input: Tensor, target: Tensor, formula: Formula, reduction: str) -> Tensor:
    return reduced(_OfTarget.apply(input, target, formula), reduction)


# -- focal loss --------------------------------------------------------------------------------------------------------


def focal_of_exp(input: Tensor, target: Tensor, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    """p_t is got back from the cross-entropy, and 1 - p_t cancels where p_t is near 1."""
    ce = F.cross_entropy(input, target, reduction="none")
    pt = torch.exp(-ce)
    return reduced((1 - pt) ** gamma * ce, reduction)


def focal_of_softmax(
    input: Tensor, target: Tensor, gamma: float = 2.0, reduction: str = "mean", eps: float = 1e-8
) -> Tensor:
    """Softmax, then a logarithm that eps keeps from 0."""
    p = F.softmax(input, dim=1)
    pt = p.gather(1, target[:, None]).squeeze(1)
    return reduced(-((1 - pt) ** gamma) * torch.log(pt + eps), reduction)


def focal_of_rest(input: Tensor, target: Tensor, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    """1 - p_t as the sum of the others, so that an easy example keeps its digits."""

    def formula(t: Picked) -> tuple[Tensor, Tensor]:
        power = t.rest**gamma
        gone = t.rest == 0
        share = torch.where(gone, 1.0, torch.where(t.probability == 0, 0.0, t.probability * t.loss) / t.rest)
        return torch.where(gone, 0.0, power * t.loss), power * (1 + gamma * share)

    return of_target(input, target, formula, reduction)


# -- PolyLoss ----------------------------------------------------------------------------------------------------------


def poly1_of_softmax(input: Tensor, target: Tensor, epsilon: float = 1.0, reduction: str = "mean") -> Tensor:
    """As in the appendix of the paper, with the probability from a one-hot product."""
    one_hot = F.one_hot(target, input.shape[1]).to(input.dtype)
    pt = torch.sum(one_hot * F.softmax(input, dim=-1), dim=-1)
    ce = F.cross_entropy(input, target, reduction="none")
    return reduced(ce + epsilon * (1 - pt), reduction)


def _without_leading_term(t: Picked) -> Tensor:
    """-log(1 - r) - r as r s + 2 (s**3 / 3 + s**5 / 5 + ...) with s = r / (2 - r), where r is small."""
    r = t.rest.clamp(max=0.5)
    s = r / (2 - r)
    total = torch.zeros_like(s)
    for k in range(24, 0, -1):
        total = s * s * (1 / (2 * k + 1) + total)
    return torch.where(t.rest <= 0.5, t.rest * s + 2 * s * total, t.loss - t.rest)


def poly1_of_rest(input: Tensor, target: Tensor, epsilon: float = 1.0, reduction: str = "mean") -> Tensor:
    """The terms beyond the first, and the first with its own coefficient: none cancels another."""

    def formula(t: Picked) -> tuple[Tensor, Tensor]:
        return _without_leading_term(t) + (1 + epsilon) * t.rest, t.rest + (1 + epsilon) * t.probability

    return of_target(input, target, formula, reduction)


# -- losses for noisy labels -------------------------------------------------------------------------------------------


class GeneralizedCrossEntropy(torch.nn.Module):
    """A power of the softmax, whose slope is infinite at a probability that has underflowed."""

    def __init__(self, q: float = 0.7, reduction: str = "mean") -> None:
        super().__init__()
        self.q, self.reduction = q, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        p = F.softmax(input, dim=1)
        pt = torch.gather(p, 1, target.unsqueeze(1)).squeeze(1)
        return reduced((1 - pt**self.q) / self.q, self.reduction)


def generalised_by_expm1(input: Tensor, target: Tensor, q: float = 0.7, reduction: str = "mean") -> Tensor:
    """p_t**q is exp(-q L), and 1 less it is expm1."""
    return of_target(input, target, lambda t: (-torch.expm1(-q * t.loss) / q, torch.exp(-q * t.loss)), reduction)


class SCELoss(torch.nn.Module):
    """As in the authors' code: probabilities and labels clamped before their logarithms, log 0 as that of the clamp."""

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.beta, self.log_zero, self.reduction = alpha, beta, log_zero, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        ce = F.cross_entropy(input, target, reduction="none")
        p = F.softmax(input, dim=1).clamp(min=1e-7, max=1.0)
        one_hot = F.one_hot(target, input.shape[1]).to(p.dtype).clamp(min=math.exp(self.log_zero), max=1.0)
        rce = -torch.sum(p * torch.log(one_hot), dim=1)
        return reduced(self.alpha * ce + self.beta * rce, self.reduction)


def symmetric_of_rest(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    reduction: str = "mean",
) -> Tensor:
    """The reverse cross-entropy is -log 0 times the sum of the other probabilities."""
    slope = -log_zero * beta

    def formula(t: Picked) -> tuple[Tensor, Tensor]:
        forward = torch.where(t.loss.isinf(), 2 * (alpha * t.half), alpha * t.loss)
        return forward + slope * t.rest, alpha + slope * t.probability

    return of_target(input, target, formula, reduction)


# -- class-balanced cross-entropy --------------------------------------------------------------------------------------


def class_balanced_cross_entropy(
    input: Tensor, target: Tensor, samples_per_class: Tensor, beta: float = 0.999, reduction: str = "mean"
) -> Tensor:
    """The effective number as 1 - beta**n, which float32 has few digits of where beta**n is near 1."""
    effective = 1.0 - torch.pow(beta, samples_per_class)
    weight = ((1.0 - beta) / effective).to(input.dtype)
    return reduced(weight[target] * F.cross_entropy(input, target, reduction="none"), reduction)


def class_balanced_cross_entropy_of_expm1(
    input: Tensor, target: Tensor, samples_per_class: Tensor, beta: float = 0.999, reduction: str = "mean"
) -> Tensor:
    """The effective number by expm1, and log1p of the others."""
    rate = math.log(beta) if beta else -math.inf
    effective = -torch.expm1(samples_per_class[target].double() * rate)
    weight = ((1.0 - beta) / effective).to(torch.promote_types(input.dtype, torch.float32))

    def formula(t: Picked) -> tuple[Tensor, Tensor]:
        return torch.where(t.loss.isinf(), 2 * (weight * t.half), weight * t.loss), weight

    return of_target(input, target, formula, reduction)


SPECIMENS = (
    Specimen(
        loss=focal_of_exp,
        like="focal_loss",
        form="usual",
        source="(1 - exp(-ce))**gamma * ce, the form of most focal losses on the web",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "vanished"),
            "nonfinite": ("nan",),
            "special": ("absolute-only", "nan"),
        },
    ),
    Specimen(
        loss=focal_of_softmax,
        like="focal_loss",
        form="usual",
        source="log(softmax + eps), as in many ports from Keras",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "nonfinite": ("finite-for-inf", "nan", "partial-range", "unstable", "vanished"),
            "reductions": ("absolute-only", "nan", "overflow", "unstable"),
            "special": ("absolute-only", "finite-for-inf", "nan", "unstable", "vanished"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=focal_of_rest,
        like="focal_loss",
        form="sound",
        grade="reference",
        source="log1p and the sum of the other probabilities",
    ),
    Specimen(
        loss=poly1_of_softmax,
        like="poly1_cross_entropy",
        form="usual",
        source="Leng et al. (2022), listing of the appendix",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("vanished",),
            "reductions": ("absolute-only",),
            "special": ("absolute-only", "vanished"),
        },
    ),
    Specimen(
        loss=poly1_of_rest,
        like="poly1_cross_entropy",
        form="sound",
        grade="reference",
        source="the series without its first term",
    ),
    Specimen(
        loss=GeneralizedCrossEntropy,
        like="generalised_cross_entropy",
        form="usual",
        source="(1 - softmax**q) / q, as commonly published",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "overflow", "vanished"),
            "nonfinite": ("nan",),
            "reductions": ("nan",),
            "special": ("absolute-only", "nan"),
        },
    ),
    Specimen(
        loss=generalised_by_expm1,
        like="generalised_cross_entropy",
        form="sound",
        grade="reference",
        source="expm1 of the cross-entropy",
    ),
    Specimen(
        loss=SCELoss,
        like="symmetric_cross_entropy",
        form="usual",
        source="the authors' PyTorch code, with exp(log_zero) for 1e-4",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range", "vanished"),
            "reductions": ("absolute-only", "unstable"),
            "special": ("absolute-only", "unstable"),
            "laws": ("law",),
            "nonfinite": ("unstable",),
        },
    ),
    Specimen(
        loss=symmetric_of_rest,
        like="symmetric_cross_entropy",
        form="sound",
        grade="reference",
        source="the sum of the other probabilities",
    ),
    Specimen(
        loss=class_balanced_cross_entropy,
        like="class_balanced_cross_entropy",
        form="usual",
        source="Cui et al., Class-Balanced Loss Based on Effective Number of Samples (2019), in torch",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range", "vanished"),
            "nonfinite": ("absolute-only", "unstable"),
            "reductions": ("unstable",),
            "special": ("absolute-only", "overflow", "unstable"),
        },
    ),
    Specimen(
        loss=class_balanced_cross_entropy_of_expm1,
        like="class_balanced_cross_entropy",
        form="sound",
        grade="reference",
        source="expm1 of n log(beta), and log1p of the others",
    ),
)
