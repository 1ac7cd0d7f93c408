"""Forms found in the wild, wrong on purpose of nobody, and the usual remedies for nan, with what each costs.

What narrows float64 or draws random numbers has no row of its own: the first shows in float64 alone, which the suites
leave to a thorough run, and of the second every run shows something else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from suites.specimens.specimen import Specimen

# -- wrong -------------------------------------------------------------------------------------------------------------


def iou_of_raw_coordinates(input: Tensor, target: Tensor) -> Tensor:
    """``max`` where ``min`` is needed, and areas that are products of coordinates: 0 / 0 of a box at 0 and itself."""
    both = torch.max(input, target).prod(dim=1)
    return 1 - both / (input.prod(dim=1) + target.prod(dim=1) - both)


def dice_of_floats(input: Tensor, target: Tensor) -> Tensor:
    """No smoothing, and a conversion that narrows float64."""
    p, g = input.float(), target.float()
    return 1 - 2 * (p * g).sum(dim=1) / (p.sum(dim=1) + g.sum(dim=1))


def cross_entropy_after_softmax(input: Tensor, target: Tensor) -> Tensor:
    """Two softmaxes."""
    return F.cross_entropy(input.softmax(dim=1), target, reduction="none")


def triplet_without_hinge(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Far below 0 for easy triplets."""
    return F.pairwise_distance(anchor, positive) - F.pairwise_distance(anchor, negative) + margin


def squeezed(input: Tensor, target: Tensor, reduction: str = "none") -> Tensor:
    """A batch of one loses its dimension."""
    loss = (input - target).square().squeeze()
    return loss if reduction == "none" else getattr(loss, reduction)()


def of_integer_one_hot(input: Tensor, target: Tensor) -> Tensor:
    """Labels as integers of a distribution."""
    return F.cross_entropy(input, F.one_hot(target, input.shape[1]), reduction="none")


def ctc_batch_first(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0
) -> Tensor:
    """(N, T, C) where (T, N, C) is meant."""
    return F.ctc_loss(log_probs.transpose(0, 1), targets, input_lengths, target_lengths, blank, reduction="none")


class OtherInTraining(nn.Module):
    """Dropout inside a loss."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction, self.dropout = reduction, nn.Dropout(0.5)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(self.dropout(input), target, reduction=self.reduction)


# -- remedies ----------------------------------------------------------------------------------------------------------


def log_of_clamped(input: Tensor, target: Tensor) -> Tensor:
    p = input.clamp(1e-7, 1 - 1e-7)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p))


def nan_to_0(input: Tensor, target: Tensor) -> Tensor:
    naive = torch.log(1 + torch.exp(-target * input))
    return torch.nan_to_num(naive, nan=0.0, posinf=0.0)


SPECIMENS = (
    Specimen(
        loss=iou_of_raw_coordinates,
        like="box_iou_loss",
        form="wild",
        source="max for min, products of coordinates",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "mistakes": ("mistake",),
            "nonfinite": ("absolute-only", "nan", "overflow", "unstable", "vanished"),
            "special": ("nan", "overflow", "unstable", "vanished"),
            "gradcheck": ("gradcheck",),
            "gradgradcheck": ("gradgradcheck",),
            "forward-mode": ("forward-mode",),
        },
    ),
    Specimen(
        loss=cross_entropy_after_softmax,
        like="cross_entropy",
        form="wild",
        source="a model that ends in a softmax",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("vanished",),
            "laws": ("law",),
            "mistakes": ("mistake",),
            "nonfinite": ("absolute-only", "finite-for-inf", "unstable", "vanished"),
            "reductions": ("layout",),
            "special": ("absolute-only", "finite-for-inf", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=triplet_without_hinge,
        like="triplet_margin_loss",
        form="wild",
        source="a difference of distances that is not clamped",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range",),
            "laws": ("law",),
            "nonfinite": ("finite-for-nan",),
            "special": ("absolute-only", "finite-for-nan", "partial-range", "unstable"),
        },
    ),
    Specimen(
        loss=squeezed,
        like="mse_loss",
        form="wild",
        source="squeeze() where squeeze(1) is meant",
        shows={"form": ("shape",)},
    ),
    Specimen(
        loss=of_integer_one_hot,
        like="cross_entropy",
        form="wild",
        source="F.one_hot without a conversion",
        shows={
            "value": ("raised",),
            "gradient": ("raised",),
            "range": ("raised",),
            "form": ("raised",),
            "laws": ("raised",),
            "mistakes": ("raised",),
            "reductions": ("raised",),
            "special": ("raised",),
            "gradcheck": ("raised",),
        },
    ),
    Specimen(
        loss=ctc_batch_first,
        like="ctc_loss",
        form="wild",
        source="the layout of a model whose batch is first",
        shows={
            "value": ("raised",),
            "gradient": ("raised",),
            "range": ("raised",),
            "form": ("raised",),
            "laws": ("raised",),
            "reductions": ("raised",),
            "special": ("raised",),
            "mistakes": ("mistake",),
        },
    ),
    Specimen(
        loss=log_of_clamped,
        like="binary_cross_entropy",
        form="wild",
        source="clamp(p, eps, 1 - eps) against log(0)",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf", "nan", "vanished"),
            "laws": ("law",),
            "nonfinite": ("finite-for-nan",),
            "special": ("absolute-only", "finite-for-inf", "nan", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=nan_to_0,
        like="soft_margin_loss",
        form="wild",
        source="nan_to_num of the naive formula",
        shows={
            "value": ("absolute-only",),
            "range": ("nan", "vanished"),
            "laws": ("law",),
            "nonfinite": ("finite-for-nan",),
            "special": ("finite-for-inf", "finite-for-nan", "nan", "vanished"),
        },
    ),
)
