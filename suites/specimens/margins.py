"""Losses of logits that ask the class of the target for a margin over the others."""

from __future__ import annotations

import torch
from torch import Tensor

from suites.specimens.specimen import Specimen, reduced


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


SPECIMENS = (
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
)
