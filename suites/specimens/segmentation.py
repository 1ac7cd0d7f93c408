"""Losses of two soft sets: Dice, Dice with squares, Tversky and focal Tversky."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from suites.specimens.specimen import Specimen, reduced

Tensor = torch.Tensor


# -- as they are published ---------------------------------------------------------------------------------------------


def dice_loss(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """1 less the smoothed coefficient."""
    intersection = (input * target).sum(dim=-1)
    dice = (2.0 * intersection + smooth) / (input.sum(dim=-1) + target.sum(dim=-1) + smooth)
    return reduced(1 - dice, reduction)


def dice_loss_squared(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """1 less the coefficient with squares below the fraction."""
    intersection = (input * target).sum(dim=-1)
    dice = (2.0 * intersection + smooth) / (input.pow(2).sum(dim=-1) + target.pow(2).sum(dim=-1) + smooth)
    return reduced(1 - dice, reduction)


def _tversky_index(input: Tensor, target: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
    """``alpha`` weighs the false positives."""
    true_positives = (input * target).sum(dim=-1)
    false_positives = ((1 - target) * input).sum(dim=-1)
    false_negatives = (target * (1 - input)).sum(dim=-1)
    return (true_positives + smooth) / (true_positives + alpha * false_positives + beta * false_negatives + smooth)


def tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """1 less the smoothed index."""
    return reduced(1 - _tversky_index(input, target, alpha, beta, smooth), reduction)


def focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 0.75,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """The power of 1 less the index, whose false negatives weigh more."""
    return reduced((1 - _tversky_index(input, target, beta, alpha, smooth)) ** gamma, reduction)


# -- without cancellation ----------------------------------------------------------------------------------------------

Scalars = tuple[float, float, float]


class _Sums(NamedTuple):
    """TP + smooth, alpha FP + beta FN and both together, over a power of two near the largest membership."""

    both: Tensor
    alone: Tensor
    total: Tensor
    unit: Tensor

    @classmethod
    def of(cls, p: Tensor, g: Tensor, weights: Scalars) -> _Sums:
        alpha, beta, smooth = weights
        largest = torch.maximum(p.detach(), g.detach()).amax(dim=-1, keepdim=True).clamp(min=smooth)
        mantissa, _ = torch.frexp(largest)
        unit = torch.where(largest > 0, largest / (2.0 * mantissa), 1.0)
        both = (p / unit * g).sum(dim=-1, keepdim=True) + smooth / unit
        false_positives = (p / unit * (1 - g)).sum(dim=-1, keepdim=True)
        false_negatives = ((1 - p) * (g / unit)).sum(dim=-1, keepdim=True)
        alone = alpha * false_positives + beta * false_negatives
        return cls(both, alone, both + alone, unit)


class _ShortOfOne(torch.autograd.Function):
    """What is in one set alone, as a share of all: 1 less the index, with the slopes of which little cancels."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
        ctx.save_for_backward(input, target)
        ctx.weights = alpha, beta, smooth
        at = _Sums.of(input.double(), target.double(), ctx.weights)
        return (at.alone / at.total).squeeze(-1).to(input.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, target = ctx.saved_tensors
        alpha, beta, _ = ctx.weights
        p, g = input.double(), target.double()
        at = _Sums.of(p, g, ctx.weights)

        def slope(other: Tensor, here: float, missed: float) -> Tensor:
            up = here * (1 - other) * (at.both / at.total) / at.total
            down = other * ((missed * at.both + at.alone) / at.total) / at.total
            return ((up - down) / at.unit * grad.double().unsqueeze(-1)).to(input.dtype)

        return slope(g, alpha, beta), slope(p, beta, alpha), None, None, None


class _SquaredShortOfOne(torch.autograd.Function):
    """sum of (p - g)**2 over the squares, with the slope of which less cancels."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, smooth: float) -> Tensor:
        ctx.save_for_backward(input, target)
        ctx.smooth = smooth
        p, g = input.double(), target.double()
        total = (p.square() + g.square()).sum(dim=-1) + smooth
        return ((p - g).square().sum(dim=-1) / total).to(input.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, target = ctx.saved_tensors
        p, g = input.double(), target.double()
        total = (p.square() + g.square()).sum(dim=-1, keepdim=True) + ctx.smooth
        value = (p - g).square().sum(dim=-1, keepdim=True) / total
        overlap = (2.0 * (p * g).sum(dim=-1, keepdim=True) + ctx.smooth) / total

        def slope(mine: Tensor, other: Tensor) -> Tensor:
            near = (mine - other).abs() + value * mine <= overlap * mine + other
            best = torch.where(near, (mine - other) - value * mine, overlap * mine - other)
            return (2.0 * best / total * grad.double().unsqueeze(-1)).to(input.dtype)

        return slope(p, g), slope(g, p), None


def sound_dice_loss(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """The Tversky loss with halves for weights and for the smoothing."""
    return reduced(_ShortOfOne.apply(input, target, 0.5, 0.5, 0.5 * smooth), reduction)


def sound_dice_loss_squared(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """sum of (p - g)**2 over the denominator."""
    return reduced(_SquaredShortOfOne.apply(input, target, smooth), reduction)


def sound_tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """alpha FP + beta FN over the denominator."""
    return reduced(_ShortOfOne.apply(input, target, alpha, beta, smooth), reduction)


def sound_focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 0.75,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> Tensor:
    """The power in float64 and of what is not 0, whose slope at 0 may be infinite."""
    short = _ShortOfOne.apply(input.double(), target.double(), beta, alpha, smooth)
    perfect = short == 0
    power = torch.where(perfect, 1.0, short) ** gamma
    return reduced(torch.where(perfect, 0.0, power).to(input.dtype), reduction)


SPECIMENS = (
    Specimen(
        loss=dice_loss,
        like="dice_loss",
        form="usual",
        source="1 - (2 sum p g + smooth) / (sum p + sum g + smooth)",
        shows={"value": ("absolute-only",), "range": ("nan", "vanished")},
    ),
    Specimen(loss=sound_dice_loss, like="dice_loss", form="sound", grade="reference", source="what one set has alone"),
    Specimen(
        loss=dice_loss_squared,
        like="dice_loss_squared",
        form="usual",
        source="V-Net, as it is copied",
        shows={"value": ("absolute-only",), "range": ("vanished",)},
    ),
    Specimen(
        loss=sound_dice_loss_squared,
        like="dice_loss_squared",
        form="sound",
        grade="reference",
        source="the squared difference",
    ),
    Specimen(
        loss=tversky_loss,
        like="tversky_loss",
        form="usual",
        source="1 - (TP + smooth) / (TP + ... + smooth)",
        shows={"value": ("absolute-only",), "range": ("nan", "vanished")},
    ),
    Specimen(
        loss=sound_tversky_loss,
        like="tversky_loss",
        form="sound",
        grade="reference",
        source="what one set has alone",
    ),
    Specimen(
        loss=sound_focal_tversky_loss,
        like="focal_tversky_loss",
        form="sound",
        grade="reference",
        gradient="mixed-stable",
        source="a power of what one set has alone",
    ),
    Specimen(
        loss=focal_tversky_loss,
        like="focal_tversky_loss",
        form="usual",
        source="(1 - index)**gamma",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "vanished"),
            "special": ("nan",),
        },
    ),
)
