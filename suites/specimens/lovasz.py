"""The Lovasz hinge of images: logits and labels of shape (N, P), one loss an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from suites.specimens.specimen import Specimen, reduced


def lovasz_grad(gt_sorted: Tensor) -> Tensor:
    """Growth of the Jaccard error, as differences of its values."""
    gts = gt_sorted.sum(dim=-1, keepdim=True)
    intersection = gts - gt_sorted.cumsum(dim=-1)
    union = gts + (1 - gt_sorted).cumsum(dim=-1)
    jaccard = 1.0 - intersection / union
    return torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], dim=-1)


def lovasz_hinge(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Everything in the dtype of the logits, errors in order of their rounded values."""
    signs = 2.0 * target - 1.0
    errors = 1.0 - input * signs
    errors_sorted, perm = torch.sort(errors, dim=-1, descending=True)
    grad = lovasz_grad(target.gather(-1, perm))
    return reduced((F.relu(errors_sorted) * grad).sum(dim=-1), reduction)


def lovasz_hinge_of_counts(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Growths by whole numbers, pixels in order of (2 y - 1) x, in float64."""
    signs = 2.0 * target.double() - 1.0
    agreement = input.double() * signs
    order = agreement.detach().argsort(dim=-1)
    positive = target.double().gather(-1, order)
    total, negative = positive.sum(dim=-1, keepdim=True), 1.0 - positive
    union = total + negative.cumsum(dim=-1) - negative
    missed = total - positive.cumsum(dim=-1)
    growth = torch.where(union > 0, missed / (union * (union + 1.0)), 1.0)
    growth = torch.where(positive == 1, 1.0 / union, growth)
    value = (F.relu(1.0 - agreement.gather(-1, order)) * growth).sum(dim=-1)
    # An image with a nan has no order, and no gradient.
    unknown = input.isnan().any(dim=-1, keepdim=True)
    lost = torch.where(unknown, input.double(), 0.0) * torch.where(unknown, torch.nan, 0.0)
    return reduced((value + lost.sum(dim=-1)).to(input.dtype), reduction)


SPECIMENS = (
    Specimen(
        loss=lovasz_hinge,
        like="lovasz_hinge_loss",
        form="usual",
        source="https://github.com/bermanmaxim/LovaszSoftmax, lovasz_hinge of every image",
        # Errors that round to one number are put in the order of the pixels: the slopes are those of another point.
        shows={
            "gradient": ("absolute-only", "unstable"),
            "range": ("vanished",),
            "nonfinite": ("finite-for-nan",),
            "reductions": ("absolute-only",),
            "special": ("finite-for-nan",),
        },
    ),
    Specimen(
        loss=lovasz_hinge_of_counts,
        like="lovasz_hinge_loss",
        form="sound",
        grade="reference",
        source="growths by counts",
    ),
)
