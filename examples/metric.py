"""Embeddings with labels: a matrix of class centres that is learned, and reference embeddings that are optional."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from lossproof import Result, validate
from lossproof.inputs import class_index, embedding

CLASSES, WIDTH = 3, 4


class AngularMargin(nn.Module):
    """ArcFace with acos, whose slope is infinite at a cosine of 1."""

    def __init__(self, margin: float = 0.5, scale: float = 16.0) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale
        self.centres = nn.Parameter(torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0)))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosine = normalize(embeddings) @ normalize(self.centres).T
        own = nn.functional.one_hot(labels, CLASSES).bool()
        angle = torch.acos(cosine.clamp(-1, 1))
        return cross_entropy(self.scale * torch.where(own, torch.cos(angle + self.margin), cosine), labels)


def validated(**options: Any) -> Result:
    """The gradients of the centres are judged too."""
    return validate(
        AngularMargin,
        inputs={"embeddings": embedding("N", WIDTH, zero=False), "labels": class_index("N", classes=CLASSES)},
        **options,
    )


def pair_loss(
    embeddings: Tensor,
    labels: Tensor,
    ref_emb: Tensor | None = None,
    ref_labels: Tensor | None = None,
    margin: float = 1.0,
) -> Tensor:
    """Contrastive over all pairs with the references, or with the batch itself; an embedding is no pair with itself."""
    others = embeddings if ref_emb is None else ref_emb
    of_others = labels if ref_labels is None else ref_labels
    distance = (embeddings.unsqueeze(1) - others).norm(dim=2)
    same = labels.unsqueeze(1) == of_others
    loss = torch.where(same, distance.square(), (margin - distance).clamp(min=0).square())
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=loss.device)
    return loss.mean() if ref_emb is not None else loss.masked_fill(itself, 0.0).mean()


BATCH = {"embeddings": embedding("B", "D"), "labels": class_index("B", classes=CLASSES)}


def pairs_validated(**options: Any) -> Result:
    """What is optional is left out; B, not N, since every pair of the batch counts."""
    return validate(pair_loss, inputs=BATCH, **options)


def references_validated(**options: Any) -> Result:
    """With M references, whose gradients are judged too."""
    references = {"ref_emb": embedding("M", "D"), "ref_labels": class_index("M", classes=CLASSES)}
    return validate(pair_loss, inputs={**BATCH, **references}, **options)


if __name__ == "__main__":
    for judged in (validated, pairs_validated, references_validated):
        sys.stdout.write(str(judged(dtype="float32")) + "\n")
