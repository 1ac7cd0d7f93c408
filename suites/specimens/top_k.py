"""Cross-entropy over the k largest logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from suites.specimens.specimen import Specimen, reduced


def top_k_cross_entropy(input: Tensor, target: Tensor, k: int = 10, reduction: str = "mean") -> Tensor:
    """logsumexp of the k largest less the logit of the target."""
    positive = input.gather(1, target[:, None]).squeeze(1)
    largest = input.topk(min(k, input.shape[1]), dim=1).values
    return reduced(largest.logsumexp(dim=1) - positive, reduction)


class _OfLargest(torch.autograd.Function):
    """max(x) - x_y + log1p(sum of the others of the k), with the closed form of its gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, k: int) -> Tensor:
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        at = target[:, None]
        largest, places = x.topk(min(k, x.shape[1]), dim=1)
        e = torch.exp(largest - largest[:, :1])
        tail = e[:, 1:].sum(dim=1, keepdim=True)
        p = e / (1 + tail)
        value = largest[:, :1] - x.gather(1, at) + torch.log1p(tail)
        rest = torch.where(places == at, 1 - p, 0.0)
        rest[:, :1] = torch.where(places[:, :1] == at, tail / (1 + tail), 0.0)
        inside = (places == at).any(dim=1, keepdim=True)
        slope = torch.zeros_like(x).scatter(1, places, p)
        slope = slope.scatter(1, at, -torch.where(inside, rest.sum(dim=1, keepdim=True), 1.0))
        ctx.save_for_backward(torch.where(value.isnan(), torch.nan, slope))
        ctx.narrow = input.dtype
        return value.squeeze(1).to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return (upstream[:, None] * slope).to(ctx.narrow), None, None


def top_k_cross_entropy_of_gaps(input: Tensor, target: Tensor, k: int = 10, reduction: str = "mean") -> Tensor:
    """The gap to the largest logit, and log1p of the rest."""
    return reduced(_OfLargest.apply(input, target, k), reduction)


SPECIMENS = (
    Specimen(
        loss=top_k_cross_entropy,
        like="top_k_cross_entropy",
        form="usual",
        source="logsumexp of torch.topk, as sparse-softmax is published",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only", "unstable"),
            "range": ("vanished",),
            "nonfinite": ("finite-for-nan",),
            "special": ("absolute-only",),
        },
    ),
    Specimen(
        loss=top_k_cross_entropy_of_gaps,
        like="top_k_cross_entropy",
        form="sound",
        grade="reference",
        source="the gap to the largest logit, and log1p",
    ),
)
