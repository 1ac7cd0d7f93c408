"""Losses over classes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from tests.losses import log1p_cross_entropy, reduced
from tests.sound.declare import TWO, Sound
from tests.sound.pieces import Tensor, in_float32, in_float64, mixed, rectified, softplus

# -- cross-entropy of class indices ------------------------------------------------------------------------------------


def _chosen(x: Tensor, target: Tensor, dim: int) -> Tensor:
    return x.gather(dim, target.unsqueeze(dim)).squeeze(dim)


def _classes(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _log_sum(input: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest score as a constant, and the logarithm of the sum of exponentials beside it."""
    top = input.detach().amax(dim=dim, keepdim=True)
    return top, torch.log(torch.exp(input - top).sum(dim=dim, keepdim=True))


@in_float32
def shifted_log_sum(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    dim = _classes(input)
    top, rest = _log_sum(input, dim)
    return reduced((rest - (_chosen(input, target, dim).unsqueeze(dim) - top)).squeeze(dim), reduction)


@in_float32
def gathered_log_softmax(
    input: Tensor, target: Tensor, reduction: str = "mean", ignore_index: int = -100, weight: Tensor | None = None
) -> Tensor:
    dim = _classes(input)
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    ones = torch.ones(input.shape[dim], dtype=input.dtype, device=input.device)
    w = torch.where(kept, (ones if weight is None else weight)[index], 0.0)
    counting = (w != 0).unsqueeze(dim)
    value = -w * _chosen(F.log_softmax(torch.where(counting, input, 0.0), dim=dim), index, dim)
    return value.sum() / w.sum() if reduction == "mean" else reduced(value, reduction)


@in_float32
def smoothed_in_float32(input: Tensor, target: Tensor, reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    dim = _classes(input)
    log = F.log_softmax(input, dim=dim)
    hard = -_chosen(log, target, dim)
    if not label_smoothing:
        return reduced(hard, reduction)
    return reduced((1 - label_smoothing) * hard - label_smoothing * log.mean(dim=dim), reduction)


@in_float32
def softplus_of_others(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """softplus of the lead of all others over the target: the logarithm of a sum is not subtracted from a score."""
    dim = _classes(input)
    index = target.unsqueeze(dim)
    others = input.scatter(dim, index, -torch.inf)
    top = others.detach().amax(dim=dim, keepdim=True)
    none = top == -torch.inf
    top = torch.where(none, 0.0, top)
    total = torch.exp(others - top).sum(dim=dim, keepdim=True)
    lead = (top - input.gather(dim, index)) + torch.log(torch.where(none, 1.0, total))
    return reduced(torch.where(none, 0.0, softplus(lead)).squeeze(dim), reduction)


@in_float32
def lead_in_float32(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return log1p_cross_entropy(input, target, reduction)


@in_float64
def lead_in_float64(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return log1p_cross_entropy(input, target, reduction)


def mean_lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Only the mean, as most losses of users: judged one row a call."""
    result: Tensor = lead_in_float32(logits, labels)
    return result


# -- cross-entropy of class probabilities ------------------------------------------------------------------------------


class _Expected(torch.autograd.Function):
    """sum of a_c (gap_c + log1p(tail)) with p_j sum(a_c, c != j) - a_j (1 - p_j), each from sums of the others."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        top = input.argmax(dim=-1, keepdim=True)
        half = 0.5 * input.gather(-1, top) - 0.5 * input
        e = torch.exp(-2 * half)
        tail = e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)
        p = e / (1 + tail)
        rest = (1 - p).scatter(-1, top, tail / (1 + tail))
        log = half + 0.5 * torch.log1p(tail)
        ctx.save_for_backward(target, p, rest, log)
        return torch.where(target == 0, 0.0, 2 * target * log).sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        target, p, rest, log = ctx.saved_tensors
        others = _sums_of_others(target)
        return (others * p - target * rest) * upstream[..., None], log * (2 * upstream[..., None])


def _sums_of_others(a: Tensor) -> Tensor:
    """The sum without each entry, added up from both ends and never subtracted."""
    none = torch.zeros_like(a[..., :1])
    before = torch.cat([none, a[..., :-1].cumsum(dim=-1)], dim=-1)
    after = torch.cat([a[..., 1:].flip(-1).cumsum(dim=-1).flip(-1), none], dim=-1)
    return before + after


@in_float64
def expected_lead(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    if input.ndim > 2:
        input, target = input.movedim(1, -1), target.movedim(1, -1)
    value = _Expected.apply(input, target)
    return value.sum() / value.numel() if reduction == "mean" else reduced(value, reduction)


@in_float32
def expected_log_softmax(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    dim = _classes(input)
    value = mixed(-F.log_softmax(input, dim=dim), target).sum(dim=dim)
    return value.sum() / value.numel() if reduction == "mean" else reduced(value, reduction)


# -- log-probabilities -------------------------------------------------------------------------------------------------


def gathered_likelihood(
    input: Tensor, target: Tensor, reduction: str = "mean", ignore_index: int = -100, weight: Tensor | None = None
) -> Tensor:
    dim = _classes(input)
    kept = target != ignore_index
    index = torch.where(kept, target, 0)
    ones = torch.ones(input.shape[dim], dtype=input.dtype, device=input.device)
    w = torch.where(kept, (ones if weight is None else weight)[index], 0.0)
    score = torch.where(w == 0, 0.0, _chosen(input, index, dim))
    value = -w * score
    return value.sum() / w.sum() if reduction == "mean" else reduced(value, reduction)


# -- margins -----------------------------------------------------------------------------------------------------------


def _hinges(margin: float, low: Tensor, high: Tensor) -> Tensor:
    """Half of max(0, margin - low + high)."""
    return rectified(0.5 * margin + (0.5 * high - 0.5 * low))


@in_float32
def pairs_with_target(input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0) -> Tensor:
    """Every class; that of the target under a mask, as a constant."""
    index = target.unsqueeze(-1)
    own = torch.zeros_like(input, dtype=torch.bool).scatter(-1, index, True)
    low, high = torch.where(own, torch.inf, input.gather(-1, index)), torch.where(own, 0.0, input)
    return reduced((_hinges(margin, low, high) * (2 / input.shape[-1])).sum(dim=-1), reduction)


@in_float64
def pairs_without_target(input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0) -> Tensor:
    """Every class but the target, cut out of the row."""
    classes = input.shape[-1]
    index = target.unsqueeze(-1)
    place = torch.arange(classes - 1, device=input.device).expand(*input.shape[:-1], classes - 1)
    half = _hinges(margin, input.gather(-1, index), input.gather(-1, place + (place >= index)))
    return reduced((half * (2 / classes)).sum(dim=-1), reduction)


@in_float64
def pairs_of_labels(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """All pairs of a label and a class that is none, under two masks."""
    front = (target >= 0).cumprod(dim=-1).bool()
    index = torch.where(front, target, 0)
    count = torch.zeros(input.shape, dtype=torch.int64, device=input.device)
    pairs = front.unsqueeze(-1) & (count.scatter_add(-1, index, front.long()) == 0).unsqueeze(-2)
    low = torch.where(pairs, input.gather(-1, index).unsqueeze(-1), torch.inf)
    high = torch.where(pairs, input.unsqueeze(-2), 0.0)
    return reduced((_hinges(1.0, low, high) * (2 / input.shape[-1])).sum(dim=(-1, -2)), reduction)


# -- logits that are a linear map of features --------------------------------------------------------------------------


@in_float64
def linear_then_lead(
    input: Tensor, linear_weight: Tensor, target: Tensor, reduction: str = "mean", linear_bias: Tensor | None = None
) -> Tensor:
    return softplus_of_others(F.linear(input, linear_weight, linear_bias), target, reduction)


INDEX, SOFT = "cross_entropy", "cross_entropy_soft"

SOUND = (
    Sound(name="shifted log-sum", like=INDEX, loss=shifted_log_sum, grade="absolute-only"),
    Sound(
        name="gathered log_softmax with weights",
        like=INDEX,
        loss=gathered_log_softmax,
        grade="absolute-only",
        dtypes=TWO,
    ),
    Sound(name="smoothed, halves in float32", like=INDEX, loss=smoothed_in_float32, grade="absolute-only", dtypes=TWO),
    Sound(name="softplus of the others", like=INDEX, loss=softplus_of_others, grade="reference", dtypes=TWO),
    Sound(name="the lead of the top class", like=INDEX, loss=lead_in_float32, grade="reference"),
    Sound(
        name="the lead of the top class, in float64", like=INDEX, loss=lead_in_float64, grade="reference", dtypes=TWO
    ),
    Sound(name="the mean lead alone", like=INDEX, loss=mean_lead, grade="reference", dtypes=("float32",)),
    Sound(name="expected lead", like=SOFT, loss=expected_lead, grade="reference"),
    Sound(name="expected log_softmax", like=SOFT, loss=expected_log_softmax, grade="absolute-only", dtypes=TWO),
    Sound(name="gathered log-probabilities", like="nll_loss", loss=gathered_likelihood, grade="few-ulp", dtypes=TWO),
    Sound(
        name="pairs with the target, masked",
        like="multi_margin_loss",
        loss=pairs_with_target,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="pairs without the target, cut out",
        like="multi_margin_loss",
        loss=pairs_without_target,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="pairs of labels under two masks",
        like="multilabel_margin_loss",
        loss=pairs_of_labels,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="a linear map, then the others",
        like="linear_cross_entropy",
        loss=linear_then_lead,
        grade="reference",
        dtypes=TWO,
    ),
)
