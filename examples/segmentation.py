"""Masks of the shape of the input, logits or probabilities by a flag of the constructor: Dice over an image."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from lossproof import Result, validate
from lossproof.inputs import binary, logits, probability


class DiceLoss(nn.Module):
    """Soft Dice without smoothing."""

    def __init__(self, from_logits: bool = False) -> None:
        super().__init__()
        self.from_logits = from_logits

    def forward(self, output: Tensor, mask: Tensor) -> Tensor:
        p = torch.sigmoid(output) if self.from_logits else output
        both, all_of_both = (p * mask).sum(dim=(1, 2, 3)), (p + mask).sum(dim=(1, 2, 3))
        return 1 - 2 * both / all_of_both


def validated(**options: Any) -> Result:
    """A value a row; nothing in half precision keeps 0 / 0 away from empty masks."""
    return validate(
        DiceLoss,
        inputs={"output": logits("N", 1, "H", "W"), "mask": binary("N", 1, "H", "W")},
        init={"from_logits": True},
        laws=["non_negative"],
        **options,
    )


def probabilities_validated(**options: Any) -> Result:
    """The other side of the flag: 0 / 0 for an empty mask and probabilities of just 0."""
    return validate(
        DiceLoss,
        inputs={"output": probability("N", 1, "H", "W"), "mask": binary("N", 1, "H", "W")},
        init={"from_logits": False},
        laws=["non_negative"],
        **options,
    )


if __name__ == "__main__":
    for judged in (validated, probabilities_validated):
        sys.stdout.write(str(judged()) + "\n")
