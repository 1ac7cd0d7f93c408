"""Logits of (N, C, *) with integer targets, class weights, ignore_index, label smoothing: held to a contract."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from lossproof import Result, validate


class SmoothedCrossEntropy(nn.Module):
    """Cross-entropy of (N, C, *) as it is often written by hand: softmax first, then a logarithm."""

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.weight, self.ignore_index = weight, ignore_index
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight = input.new_ones(input.shape[1]) if self.weight is None else self.weight
        log_p = torch.log(torch.softmax(input, dim=1))
        kept = target != self.ignore_index
        own = torch.where(kept, target, 0)
        share = torch.where(kept, weight[own], 0.0)
        chosen = -log_p.gather(1, own.unsqueeze(1)).squeeze(1)
        spread = -torch.einsum("c,nc...->n...", weight, log_p) / len(weight)
        loss = (1 - self.label_smoothing) * share * chosen + self.label_smoothing * spread * kept
        if self.reduction == "none":
            return loss
        return loss.sum() / share.sum() if self.reduction == "mean" else loss.sum()


def validated(**options: Any) -> Result:
    """The log of a softmax is -inf where a logit is behind by 104, in float32; 0 times that is nan."""
    return validate(SmoothedCrossEntropy, like="CrossEntropyLoss", **options)


if __name__ == "__main__":
    sys.stdout.write(str(validated(dtype="float32")) + "\n")
