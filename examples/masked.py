"""Prediction, target and mask: the target first and the mask by keyword, or in the order of the signature."""

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


def masked_mae(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of the differences that count, for each row; 0 where none does."""
    return ((prediction - target).abs() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


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


def in_order_validated(**options: Any) -> Result:
    """Declarations without names are those of the signature, in order; what is masked out must not matter."""
    return validate(
        masked_mae,
        inputs=[real("N", "D", low=-8.0, high=8.0), real("N", "D", low=-8.0, high=8.0), mask("N", "D")],
        **options,
    )


if __name__ == "__main__":
    for judged in (validated, in_order_validated):
        sys.stdout.write(str(judged()) + "\n")
