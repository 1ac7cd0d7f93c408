"""Prediction, target and mask, the target first and the mask by keyword."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor

from lossproof import Result, validate
from lossproof.inputs import mask, real


def masked_mse(target: Tensor, prediction: Tensor, *, mask: Tensor) -> Tensor:
    """Mean of the squares that count, for each row."""
    squares = (prediction - target).square() * mask
    return squares.sum(dim=1) / mask.sum(dim=1)


def validated(**options: Any) -> Result:
    """Against a formula in NumPy, which is nan for an empty mask as the loss is."""
    return validate(
        masked_mse,
        inputs={
            "target": real("N", "D", low=-8.0, high=8.0),
            "prediction": real("N", "D", low=-8.0, high=8.0),
            "mask": mask("N", "D"),
        },
        oracle=lambda target, prediction, mask: ((prediction - target) ** 2 * mask).sum(1) / mask.sum(1),
        **options,
    )


if __name__ == "__main__":
    sys.stdout.write(str(validated()) + "\n")
