"""Two views of a batch, whose elements are each other's negatives: one call is one value."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lossproof import Result, validate
from lossproof.inputs import embedding


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    """The loss of SimCLR, with norms that may be 0 and exponentials that may overflow."""
    z = torch.cat([first, second])
    z = z / z.norm(dim=1, keepdim=True)
    weights = torch.exp(z @ z.T / temperature)
    count = len(first)
    own = torch.cat([weights.diagonal(count), weights.diagonal(-count)])
    return -torch.log(own / (weights.sum(dim=1) - weights.diagonal())).mean()


def validated(**options: Any) -> Result:
    """Its dimensions have no N: the batch is B, and one call is one case."""
    return validate(
        nt_xent,
        inputs={"first": embedding("B", "D", zero=False), "second": embedding("B", "D", zero=False)},
        laws=["symmetric(first, second)"],
        **options,
    )


def simsiam(prediction: Tensor, projection: Tensor) -> Tensor:
    """The loss of SimSiam: without the stop-gradient its encoder collapses."""
    return -functional.cosine_similarity(prediction, projection.detach(), dim=-1).mean()


def simsiam_validated(**options: Any) -> Result:
    """The stop-gradient is declared: said once, and a gradient that flows after all would be a defect."""
    return validate(
        simsiam,
        inputs={n: embedding("N", "D", zero=False) for n in ("prediction", "projection")},
        stop_gradient="projection",
        **options,
    )


if __name__ == "__main__":
    sys.stdout.write(str(validated(dtype="float32")) + "\n")
