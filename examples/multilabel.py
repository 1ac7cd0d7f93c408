"""Multi-hot and soft targets of the shape of the input, logits or probabilities by a flag of the constructor."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from lossproof import Result, validate
from lossproof.inputs import binary, logits, probability, soft_label


class MultiLabelLoss(nn.Module):
    """Binary cross-entropy of C labels, whose probabilities are clamped lest a logarithm be infinite."""

    def __init__(self, from_logits: bool = True, eps: float = 1e-7) -> None:
        super().__init__()
        self.from_logits, self.eps = from_logits, eps

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        p = torch.sigmoid(output) if self.from_logits else output
        p = p.clamp(self.eps, 1 - self.eps)
        return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).sum(dim=1)


def value(output: Any, target: Any) -> Any:
    """Of logits, in NumPy, without a clamp."""
    import numpy as np

    return (target * np.logaddexp(0, -output) + (1 - target) * np.logaddexp(0, output)).sum(axis=1)


def multi_hot_validated(**options: Any) -> Result:
    """Any number of the C labels is 1; against the formula the clamp shows."""
    return validate(
        MultiLabelLoss, inputs={"output": logits("N", "C"), "target": binary("N", "C")}, oracle=value, **options
    )


def soft_validated(**options: Any) -> Result:
    """Targets are shares from 0 to 1."""
    return validate(
        MultiLabelLoss, inputs={"output": logits("N", "C"), "target": soft_label("N", "C")}, oracle=value, **options
    )


def probabilities_validated(**options: Any) -> Result:
    """The other side of the flag: where it is clamped a wrong label has no gradient any more."""
    return validate(
        MultiLabelLoss,
        inputs={"output": probability("N", "C"), "target": binary("N", "C")},
        init={"from_logits": False},
        **options,
    )


if __name__ == "__main__":
    for validated in (multi_hot_validated, soft_validated, probabilities_validated):
        sys.stdout.write(str(validated(dtype="float32")) + "\n")
