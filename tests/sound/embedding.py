"""Losses of embeddings: cosines, distances, triplets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.losses import reduced
from tests.sound.declare import TWO, Sound
from tests.sound.pieces import Tensor, absolute, cosine, cosine_gap, in_float32, in_float64, length, rectified

Measure = Callable[[Tensor, Tensor], Tensor]


# -- cosines -----------------------------------------------------------------------------------------------------------


@in_float64
def product_of_units(x1: Tensor, x2: Tensor, eps: float = 1e-8) -> Tensor:
    return cosine(x1, x2, eps)


@in_float32
def product_in_float32(x1: Tensor, x2: Tensor, eps: float = 1e-8) -> Tensor:
    return cosine(x1, x2, eps)


@in_float64
def half_squared_chord(
    input1: Tensor, input2: Tensor, target: Tensor, reduction: str = "mean", margin: float = 0.0
) -> Tensor:
    lack = cosine_gap(input1, input2, 0.0)
    near, far = cosine(input1, input2, 0.0), cosine_gap(input1, -input2, 0.0)
    # 1 + cos of vectors nearly opposite is a squared chord too.
    gap = torch.where(near < -0.5, far - (1.0 + margin), near - margin)
    apart = rectified(torch.where(target == -1, gap, 0.0))
    return reduced(torch.where(target == 1, lack, torch.where(target == -1, apart, torch.nan)), reduction)


# -- distances ---------------------------------------------------------------------------------------------------------


def _room(*vectors: Tensor) -> Tensor:
    """1, or in rows that come near the largest float64 an eighth: a norm of up to 16 such differences stays finite."""
    largest = torch.stack([v.detach().abs().amax(dim=-1) for v in vectors]).amax(dim=0)
    return torch.where(largest > 2.0**1000, 0.125, 1.0).to(vectors[0].dtype)


def _euclidean(x: Tensor, y: Tensor, unit: Tensor, eps: float) -> Tensor:
    u = unit.unsqueeze(-1)
    return length((u * x - u * y) + eps * u)


@in_float64
def scaled_distance(x1: Tensor, x2: Tensor, eps: float = 1e-6) -> Tensor:
    unit = _room(x1, x2)
    return _euclidean(x1, x2, unit, eps) / unit


def scaled_distance_of_own_dtype(x1: Tensor, x2: Tensor, eps: float = 1e-6) -> Tensor:
    """Halves in float32, the others in what they are; every row at half scale."""
    wide = torch.promote_types(x1.dtype, torch.float32)
    half = torch.full(x1.shape[:-1], 0.5, dtype=wide, device=x1.device)
    return (2 * _euclidean(x1.to(wide), x2.to(wide), half, eps)).to(x1.dtype)


# -- triplets ----------------------------------------------------------------------------------------------------------


def _triplet(measure: Measure, anchor: Tensor, positive: Tensor, negative: Tensor, margin: Any, swap: bool) -> Tensor:
    far = measure(anchor, negative)
    if swap:
        other = measure(positive, negative)
        far = torch.where(other < far, other, far)
    return rectified((measure(anchor, positive) - far) + margin)


@in_float64
def scaled_triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    reduction: str = "mean",
    margin: float = 1.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Tensor:
    unit = _room(anchor, positive, negative)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return _euclidean(x, y, unit, eps)

    return reduced(_triplet(measure, anchor, positive, negative, margin * unit, swap) / unit, reduction)


@in_float64
def triplet_of_cosines(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    reduction: str = "mean",
    margin: float = 1.0,
    swap: bool = False,
) -> Tensor:
    def measure(x: Tensor, y: Tensor) -> Tensor:
        return cosine_gap(x, y, 1e-8)

    return reduced(_triplet(measure, anchor, positive, negative, margin, swap), reduction)


@in_float64
def triplet_of_largest(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    reduction: str = "mean",
    margin: float = 1.0,
    swap: bool = False,
) -> Tensor:
    unit = _room(anchor, positive, negative)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        u = unit.unsqueeze(-1)
        return absolute(u * x - u * y).amax(dim=-1)

    return reduced(_triplet(measure, anchor, positive, negative, margin * unit, swap) / unit, reduction)


TRIPLET = "triplet_margin_with_distance_loss"

SOUND = (
    Sound(
        name="product of unit vectors, in float64",
        like="cosine_similarity",
        loss=product_of_units,
        grade="reference",
        gradient="mixed-stable",  # in float64 itself there is no wider dtype to work in
        dtypes=TWO,
    ),
    Sound(
        name="product of unit vectors, halves in float32",
        like="cosine_similarity",
        loss=product_in_float32,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="half a squared chord",
        like="cosine_embedding_loss",
        loss=half_squared_chord,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="scaled norm in float64",
        like="pairwise_distance",
        loss=scaled_distance,
        grade="reference",
        gradient="mixed-stable",
    ),
    Sound(
        name="scaled norm",
        like="pairwise_distance",
        loss=scaled_distance_of_own_dtype,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="scaled norms",
        like="triplet_margin_loss",
        loss=scaled_triplet,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="scaled norms, a distance given",
        like=TRIPLET,
        loss=scaled_triplet,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="half squared chords",
        like=f"{TRIPLET}_cosine",
        loss=triplet_of_cosines,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
    Sound(
        name="largest differences",
        like=f"{TRIPLET}_maximum",
        loss=triplet_of_largest,
        grade="reference",
        gradient="mixed-stable",
        dtypes=TWO,
    ),
)
