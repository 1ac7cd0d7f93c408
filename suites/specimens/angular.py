"""ArcFace: embeddings (N, D) and class weights (C, D), an angular margin at the own class."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from suites.specimens.specimen import Specimen, reduced


def _cosines(embeddings: Tensor, weight: Tensor) -> Tensor:
    return F.linear(F.normalize(embeddings), F.normalize(weight))


def _own(weight: Tensor, labels: Tensor) -> Tensor:
    return F.one_hot(labels, len(weight)).bool()


def arcface_loss(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """The sine as the root of 1 - cosine**2, whose slope at 0 is infinite."""
    cosine = _cosines(embeddings, weight)
    sine = torch.sqrt((1.0 - cosine.pow(2)).clamp(0, 1))
    phi = cosine * math.cos(margin) - sine * math.sin(margin)
    phi = torch.where(cosine > math.cos(math.pi - margin), phi, cosine - math.sin(math.pi - margin) * margin)
    logits = scale * torch.where(_own(weight, labels), phi, cosine)
    return F.cross_entropy(logits, labels, reduction=reduction)


def arcface_loss_of_acos(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """The cosine of the angle and the margin, whose angle is acos of a clamped cosine."""
    cosine = _cosines(embeddings, weight)
    theta = torch.acos(cosine.clamp(-1.0, 1.0))
    phi = torch.where(theta <= math.pi - margin, torch.cos(theta + margin), cosine - margin * math.sin(margin))
    logits = scale * torch.where(_own(weight, labels), phi, cosine)
    return F.cross_entropy(logits, labels, reduction=reduction)


def arcface_loss_of_rejection(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """The sine as the length of what the own weight has across the embedding, and log1p of the rivals; in float64."""
    x, w = (v / torch.linalg.vector_norm(v, dim=1, keepdim=True) for v in (embeddings.double(), weight.double()))
    cosine, mine = x @ w.mT, w[labels]
    own = (x * mine).sum(dim=1, keepdim=True)
    sine = torch.linalg.vector_norm(mine - own * x, dim=1, keepdim=True)
    near, far = math.cos(margin), math.sin(margin)
    phi = torch.where(own >= -near, own * near - sine * far, own - margin * far)
    behind = scale * cosine.masked_fill(_own(weight, labels), -torch.inf) - scale * phi
    top = behind.detach().amax(dim=1, keepdim=True).clamp(min=0.0)
    value = top + torch.log1p(torch.exp(behind - top).sum(dim=1, keepdim=True) + torch.expm1(-top))
    return reduced(value.squeeze(1).to(embeddings.dtype), reduction)


SHOWN = {
    "value": ("absolute-only",),
    "gradient": ("absolute-only", "unstable"),
    "range": ("nan", "vanished"),
    "special": ("absolute-only", "nan", "unstable", "vanished"),
}

SPECIMENS = (
    Specimen(
        loss=arcface_loss,
        like="arcface_loss",
        form="usual",
        source="https://github.com/ronghuaiyang/arcface-pytorch, without easy_margin",
        shows=SHOWN,
    ),
    Specimen(
        loss=arcface_loss_of_acos,
        like="arcface_loss",
        form="usual",
        source="pytorch_metric_learning.losses.ArcFaceLoss, its clamp at just 1",
        shows=SHOWN,
    ),
    Specimen(
        loss=arcface_loss_of_rejection,
        like="arcface_loss",
        form="sound",
        grade="reference",
        source="the rejection of the own weight from the embedding, in float64",
    ),
)
