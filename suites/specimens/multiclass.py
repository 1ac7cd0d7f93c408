"""Losses of logits, or of probabilities, and the index of a class."""

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


# -- given probabilities -----------------------------------------------------------------------------------------------


def keras_categorical(input: Tensor, target: Tensor, reduction: str = "mean", eps: float = 1e-7) -> Tensor:
    """Probabilities scaled to sum 1 and clipped: a target of probability 0 costs -log(eps) and learns nothing."""
    p = input / input.sum(dim=1, keepdim=True)
    p = p.clamp(eps, 1 - eps)
    return reduced(-torch.log(p.gather(1, target[:, None]).squeeze(1)), reduction)


def log_of_shifted(input: Tensor, target: Tensor, reduction: str = "mean", eps: float = 1e-8) -> Tensor:
    """eps inside the logarithm."""
    return reduced(-torch.log(input.gather(1, target[:, None]).squeeze(1) + eps), reduction)


def log_of_picked(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The logarithm of the target's probability alone."""
    return reduced(-torch.log(input.gather(1, target[:, None]).squeeze(1)), reduction)


# -- margins -----------------------------------------------------------------------------------------------------------


def hinge_of_margins(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """All margins at once, that of the target put to 0 afterwards."""
    index = target[:, None]
    margins = torch.clamp(input - input.gather(1, index) + margin, min=0)
    return reduced(margins.scatter(1, index, 0.0).sum(dim=1), reduction)


def _half_hinge(margin: float, low: Tensor, high: Tensor) -> Tensor:
    """Half of max(0, margin - low + high), in the range wherever the whole is; its gradient is nan where it is."""
    gap = 0.5 * margin + (0.5 * high - 0.5 * low)
    return torch.where(gap <= 0, 0.0, gap * torch.where(gap.isnan(), gap, 1.0).detach())


def hinge_of_pairs(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """The pairs without that of the target and itself, by halves."""
    wide = input.to(torch.promote_types(input.dtype, torch.float32))
    index = target[:, None]
    own = torch.zeros_like(input, dtype=torch.bool).scatter(1, index, True)
    low, high = torch.where(own, torch.inf, wide.gather(1, index)), torch.where(own, 0.0, wide)
    return reduced((2 * _half_hinge(margin, low, high)).sum(dim=1).to(input.dtype), reduction)


def crammer_singer_of_margins(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """The largest of all margins, where the target's own is 0; scores that differ may be tied once the margin is on."""
    index = target[:, None]
    margins = torch.full_like(input, margin).scatter(1, index, 0.0) + input - input.gather(1, index)
    return reduced(margins.max(dim=1).values, reduction)


def crammer_singer_of_scores(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """The largest of the other scores, then its margin."""
    wide = input.to(torch.promote_types(input.dtype, torch.float32))
    index = target[:, None]
    top = wide.scatter(1, index, -torch.inf).max(dim=1).values
    alone = top == -torch.inf
    hinge = _half_hinge(margin, wide.gather(1, index).squeeze(1), torch.where(alone, 0.0, top))
    return reduced(torch.where(alone, 0.0, 2 * hinge).to(input.dtype), reduction)


# -- sparse transforms -------------------------------------------------------------------------------------------------


class _Sparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        x = input - input.max(dim=1, keepdim=True).values
        z, _ = torch.sort(x, dim=1, descending=True)
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
        total = z.cumsum(dim=1) - 1
        size = (count * z > total).sum(dim=1, keepdim=True)
        p = torch.clamp(x - total.gather(1, size - 1) / size.to(x.dtype), min=0)
        omega = (1 - (p**2).sum(dim=1)) / 2
        p.scatter_add_(1, target[:, None], torch.full_like(p[:, :1], -1))
        ctx.save_for_backward(p)
        return omega + torch.einsum("ij,ij->i", p, input)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream[:, None] * slope, None


class _Entmax15(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        x = (input - input.max(dim=1, keepdim=True).values) / 2
        z, _ = torch.sort(x, dim=1, descending=True)
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
        mean = z.cumsum(dim=1) / count
        spread = count * ((z**2).cumsum(dim=1) / count - mean**2)
        tau = mean - torch.sqrt(torch.clamp((1 - spread) / count, min=0))
        size = (tau <= z).sum(dim=1, keepdim=True)
        p = torch.clamp(x - tau.gather(1, size - 1), min=0) ** 2
        omega = (1 - (p * torch.sqrt(p)).sum(dim=1)) / 0.75
        p.scatter_add_(1, target[:, None], torch.full_like(p[:, :1], -1))
        ctx.save_for_backward(p)
        return omega + torch.einsum("ij,ij->i", p, input)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream[:, None] * slope, None


class SparsemaxLoss(torch.nn.Module):
    """As in the entmax package: a difference of the entropy and of the expected score, which cancel."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return reduced(_Sparsemax.apply(input, target), self.reduction)


class Entmax15Loss(torch.nn.Module):
    """The same of 1.5-entmax."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return reduced(_Entmax15.apply(input, target), self.reduction)


class _Sparse(torch.autograd.Function):
    """A Fenchel-Young loss by the distances from the threshold, with the transform less the target as its gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, power: int) -> Tensor:
        x = input.to(torch.promote_types(input.dtype, torch.float32)) / power
        gap = x.max(dim=1, keepdim=True).values - x
        near = torch.sort(gap, dim=1).values.clamp(max=2.0)
        count = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
        mean = near.cumsum(dim=1) / count
        if power == 1:
            size = (1 / count + mean > near).sum(dim=1, keepdim=True).clamp(min=1)
            threshold = (1 / count + mean).gather(1, size - 1)
        else:
            root = torch.sqrt((1 / count - ((near**2).cumsum(dim=1) / count - mean**2)).clamp(min=0))
            size = (mean + root > near).sum(dim=1, keepdim=True).clamp(min=1)
            mean = mean.gather(1, size - 1)
            squares = torch.where(count <= size, (near - mean) ** 2, 0.0).sum(dim=1, keepdim=True)
            threshold = mean + torch.sqrt((1 - squares) / size)
        distance = torch.where(gap < threshold, threshold - gap, 0.0)
        index = target[:, None]
        p = distance**power
        others = p.scatter(1, index, 0.0)
        missing = others.sum(dim=1, keepdim=True)
        below = torch.clamp(gap.gather(1, index) - threshold, min=0)
        if power == 1:
            value = 0.5 * (missing**2 + (others**2).sum(dim=1, keepdim=True)) + below
        else:
            own = distance.gather(1, index)
            short = missing / (1 + own)
            cubes = (others * distance).sum(dim=1, keepdim=True)
            value = 2 / 3 * (cubes + short**2 * (2 + own)) + 2 * below
        unknown = torch.where(gap.isnan().any(dim=1, keepdim=True), torch.nan, 0.0)
        ctx.save_for_backward(p.scatter(1, index, -missing) + unknown)
        ctx.narrow = input.dtype
        return (value + unknown).squeeze(1).to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return (upstream[:, None] * slope).to(ctx.narrow), None, None


def sparsemax_of_distances(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """norm(p - onehot)**2 / 2 and what the target lacks to the threshold."""
    return reduced(_Sparse.apply(input, target, 1), reduction)


def entmax15_of_distances(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The same of the roots of 1.5-entmax."""
    return reduced(_Sparse.apply(input, target, 2), reduction)


# -- cross-entropy by hand ---------------------------------------------------------------------------------------------


def log_of_shifted_softmax(input: Tensor, target: Tensor, reduction: str = "mean", eps: float = 1e-8) -> Tensor:
    """Softmax first, eps inside the logarithm: a class the model rules out costs -log(eps) and learns nothing."""
    p = torch.softmax(input, dim=1)
    return reduced(-torch.log(p.gather(1, target.unsqueeze(1)).squeeze(1) + eps), reduction)


def log_of_softmax(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Softmax, then its logarithm: infinite once the probability has underflowed."""
    return F.nll_loss(torch.log(torch.softmax(input, dim=1)), target, reduction=reduction)


def nll_of_log_softmax(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean", ignore_index: int = -100
) -> Tensor:
    """What torch.nn.CrossEntropyLoss is documented to be."""
    log_p = F.log_softmax(input, dim=1)
    return F.nll_loss(log_p, target, weight=weight, reduction=reduction, ignore_index=ignore_index)


class LabelSmoothingCrossEntropy(torch.nn.Module):
    """As in timm: the share of the target, and that of all classes."""

    def __init__(self, label_smoothing: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(input, dim=1)
        nll = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
        smooth = -log_p.mean(dim=1)
        return reduced((1 - self.label_smoothing) * nll + self.label_smoothing * smooth, self.reduction)


def class_balanced_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """``weight`` is (1 - beta) / (1 - beta**n) of classes of n samples; the mean is over samples, not over weights."""
    ce = F.cross_entropy(input, target, reduction="none")
    return reduced(ce if weight is None else weight[target] * ce, reduction)


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
        loss=keras_categorical,
        like="categorical_cross_entropy",
        form="usual",
        source="tf.keras.backend.categorical_crossentropy",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf", "nan", "overflow", "vanished"),
            "laws": ("law",),
            "mistakes": ("mistake",),
            "nonfinite": ("absolute-only", "nan", "unstable"),
            "reductions": ("absolute-only", "unstable"),
            "special": ("finite-for-inf", "nan", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=log_of_shifted,
        like="categorical_cross_entropy",
        form="usual",
        source="log(p + 1e-8), as commonly published",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf",),
            "laws": ("law",),
            "reductions": ("unstable",),
            "special": ("finite-for-inf", "unstable", "wrong-inf"),
            "nonfinite": ("unstable",),
        },
    ),
    Specimen(
        loss=log_of_picked, like="categorical_cross_entropy", form="sound", grade="few-ulp", source="the definition"
    ),
    Specimen(
        loss=hinge_of_margins,
        like="multiclass_hinge_loss",
        form="usual",
        source="the multiclass SVM loss of CS231n, vectorised",
        shows={"nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=hinge_of_pairs, like="multiclass_hinge_loss", form="sound", grade="reference", source="pairs by halves"
    ),
    Specimen(
        loss=crammer_singer_of_margins,
        like="crammer_singer_loss",
        form="usual",
        source="loss-augmented maximum, as commonly published",
        shows={
            "gradient": ("unstable",),
            "range": ("vanished",),
            "nonfinite": ("finite-for-nan", "unstable"),
            "special": ("finite-for-nan", "nan", "vanished"),
        },
    ),
    Specimen(
        loss=crammer_singer_of_scores,
        like="crammer_singer_loss",
        form="sound",
        grade="reference",
        source="the maximum before the margin",
    ),
    Specimen(
        loss=SparsemaxLoss,
        like="sparsemax_loss",
        form="usual",
        source="entmax.losses.SparsemaxLoss",
        shows={"value": ("absolute-only",), "range": ("nan",), "laws": ("law",), "special": ("nan", "raised")},
    ),
    Specimen(
        loss=sparsemax_of_distances,
        like="sparsemax_loss",
        form="sound",
        grade="reference",
        source="distances from the threshold",
    ),
    Specimen(
        loss=Entmax15Loss,
        like="entmax15_loss",
        form="usual",
        source="entmax.losses.Entmax15Loss",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan",),
            "laws": ("law",),
            "special": ("nan", "raised"),
            "gradgradcheck": ("gradgradcheck",),
        },
    ),
    Specimen(
        loss=entmax15_of_distances,
        like="entmax15_loss",
        form="sound",
        grade="reference",
        source="distances from the threshold",
    ),
    Specimen(
        loss=log_of_shifted_softmax,
        like="cross_entropy",
        form="usual",
        source="log(softmax + 1e-8), as commonly published",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "nonfinite": ("finite-for-inf", "nan", "partial-range", "unstable", "vanished"),
            "reductions": ("absolute-only", "nan", "overflow", "unstable"),
            "special": ("absolute-only", "finite-for-inf", "nan", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=log_of_softmax,
        like="cross_entropy",
        form="usual",
        source="torch.log after torch.softmax",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only",),
            "range": ("nan", "overflow", "vanished"),
            "nonfinite": ("nan",),
            "special": ("absolute-only", "nan", "overflow"),
            "reductions": ("nan",),
        },
    ),
    Specimen(
        loss=nll_of_log_softmax,
        like="cross_entropy",
        form="usual",
        source="torch.nn.NLLLoss after torch.nn.LogSoftmax",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "partial-range", "vanished"),
            "laws": ("ignored",),
            "special": ("absolute-only", "nan"),
            "reductions": ("absolute-only", "layout"),
        },
    ),
    Specimen(
        loss=LabelSmoothingCrossEntropy,
        like="cross_entropy",
        form="usual",
        source="timm.loss.LabelSmoothingCrossEntropy",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "partial-range", "vanished"),
            "laws": ("law",),
            "nonfinite": ("nan", "partial-range"),
            "special": ("absolute-only", "nan"),
        },
    ),
    Specimen(
        loss=class_balanced_cross_entropy,
        like="cross_entropy",
        form="usual",
        source="Cui et al., Class-Balanced Loss Based on Effective Number of Samples (2019)",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("partial-range", "vanished"),
            "nonfinite": ("absolute-only", "unstable"),
            "reductions": ("absolute-only", "unstable"),
            "special": ("absolute-only",),
        },
    ),
)
