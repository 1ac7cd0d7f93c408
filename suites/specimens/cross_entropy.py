"""Cross-entropy by hand: of logits, or of probabilities, and the index of a class."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from suites.specimens.specimen import Specimen, reduced

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


class _OfShares(torch.autograd.Function):
    """Sum over c of a_c (max(x) - x_c + log1p(tail)); p_c sum of the other a less a_c (1 - p_c), over the last axis."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, a: Tensor) -> Tensor:
        top = input.argmax(dim=-1, keepdim=True)
        half = 0.5 * input.gather(-1, top) - 0.5 * input  # finite where the difference is not
        e = torch.exp(-2 * half)
        tail = e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)
        p = e / (1 + tail)
        rest = (1 - p).scatter(-1, top, tail / (1 + tail))
        none = a == 0
        slope = p * _sums_of_others(a) - torch.where(none, 0.0, a * rest)
        ctx.save_for_backward(torch.where(none.all(dim=-1, keepdim=True), 0.0, slope))
        return torch.where(none, 0.0, 2 * (a * (half + 0.5 * torch.log1p(tail)))).sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return upstream[..., None] * slope, None


def _sums_of_others(a: Tensor) -> Tensor:
    """The sum without each entry, added up from both ends and never subtracted."""
    zero = torch.zeros_like(a[..., :1])
    before = torch.cat([zero, a[..., :-1]], dim=-1).cumsum(dim=-1)
    after = torch.cat([a[..., 1:], zero], dim=-1).flip(-1).cumsum(dim=-1).flip(-1)
    return before + after


def cross_entropy_of_leads(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """What every class lacks to the largest logit, and log1p of the others, by the share that the labels give it."""
    x = input.to(torch.promote_types(input.dtype, torch.float32)).movedim(min(1, input.ndim - 1), -1)
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    w = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device) if weight is None else weight.to(x.dtype)
    one_hot = F.one_hot(index, x.shape[-1]).to(x.dtype)
    share = ((1 - label_smoothing) * one_hot + label_smoothing / x.shape[-1]) * kept[..., None]
    value = _OfShares.apply(x, torch.where(share == 0, 0.0, w * share))
    if reduction == "mean":
        return (value.sum() / torch.where(kept, w[index], 0.0).sum()).to(input.dtype)
    return reduced(value.to(input.dtype), reduction)


SPECIMENS = (
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
            "reductions": ("unstable",),
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
        loss=cross_entropy_of_leads,
        like="cross_entropy",
        form="sound",
        grade="reference",
        source="log1p and sums of the others, smoothed and weighted",
    ),
)
