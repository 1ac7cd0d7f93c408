"""Logits of C classes with integer targets, ignore_index, label smoothing and a reduction: held to a contract."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from lossproof import Result, validate


class SmoothedCrossEntropy(nn.Module):
    """Cross-entropy as it is often written by hand: softmax first, then a logarithm."""

    def __init__(self, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean") -> None:
        super().__init__()
        self.ignore_index, self.label_smoothing, self.reduction = ignore_index, label_smoothing, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        log_p = torch.log(torch.softmax(input, dim=1))
        kept = target != self.ignore_index
        chosen = -log_p.gather(1, torch.where(kept, target, 0).unsqueeze(1)).squeeze(1)
        loss = (1 - self.label_smoothing) * chosen + self.label_smoothing * -log_p.mean(dim=1)
        loss = torch.where(kept, loss, 0.0)
        if self.reduction == "none":
            return loss
        return loss.sum() / kept.sum() if self.reduction == "mean" else loss.sum()


def validated(**options: Any) -> Result:
    """The log of a softmax is -inf where a logit is behind by 104, in float32."""
    return validate(SmoothedCrossEntropy, like="CrossEntropyLoss", **options)


if __name__ == "__main__":
    sys.stdout.write(str(validated(dtype="float32")) + "\n")
