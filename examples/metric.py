"""Embeddings with labels, and a matrix of class centres that is learned: an angular margin."""

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


if __name__ == "__main__":
    sys.stdout.write(str(validated(dtype="float32")) + "\n")
