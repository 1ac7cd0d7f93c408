"""Two views of a batch, a query with its positive and negatives, a memory: what is contrasted with what."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lossproof import Result, validate
from lossproof.inputs import embedding, real


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


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.1) -> Tensor:
    """Every query has K negatives of its own, so a row is a loss."""
    own = (query * positive).sum(dim=1, keepdim=True)
    others = torch.einsum("nd,nkd->nk", query, negatives)
    scores = torch.cat([own, others], dim=1) / temperature
    return functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.int64), reduction="none")


def info_nce_validated(**options: Any) -> Result:
    """The negatives have a dimension more."""
    unit = {"low": -1.0, "high": 1.0}
    return validate(
        info_nce,
        inputs={
            "query": real("N", "D", **unit),
            "positive": real("N", "D", **unit),
            "negatives": real("N", "K", "D", **unit),
        },
        laws=["non_negative"],
        **options,
    )


class Memory(nn.Module):
    """The loss of MoCo, whose negatives are the keys of earlier batches in a buffer."""

    def __init__(self, size: int = 12, width: int = 4, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("queue", torch.eye(width).repeat(size // width, 1))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        queue = self.queue.to(query.dtype)
        q, k = functional.normalize(query), functional.normalize(key).detach()
        scores = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ queue.T], dim=1) / self.temperature
        self.queue = torch.cat([k, queue])[: len(queue)]
        return functional.cross_entropy(scores, torch.zeros(len(q), dtype=torch.int64))


def memory_validated(**options: Any) -> Result:
    """Every call finds the memory that the loss was made with; the keys have no gradient on purpose."""
    return validate(
        Memory,
        inputs={n: embedding("B", 4, zero=False) for n in ("query", "key")},
        stop_gradient="key",
        **options,
    )


if __name__ == "__main__":
    for judged in (validated, simsiam_validated, info_nce_validated, memory_validated):
        sys.stdout.write(str(judged(dtype="float32")) + "\n")
