"""Losses of the sparse transforms sparsemax and entmax-1.5."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from suites.specimens.specimen import Specimen, reduced


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


SPECIMENS = (
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
)
