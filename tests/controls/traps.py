"""Right forward, nan in the gradient: where-traps, roots and powers at 0."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tests.controls.control import Control, control

trap = partial(control, "unstable gradient")
BCE = "binary_cross_entropy_with_logits"
CE = "cross_entropy"


def branches(x: Tensor) -> Tensor:
    """softplus by branches, each of which is evaluated everywhere."""
    return torch.where(x > 0, x + torch.log1p(torch.exp(-x)), torch.log1p(torch.exp(x)))


CONTROLS: tuple[Control, ...] = (
    trap(
        BCE,
        "chooses between two branches that are both evaluated",
        "range",
        "nan",
        lambda a: a.weighted(
            (1 - a.target) * branches(a.input)
            + (1 if a.pos_weight is None else a.pos_weight) * a.target * branches(-a.input)
        ),
        "float32",
    ),
    trap(
        "soft_margin_loss",
        "chooses between two branches that are both evaluated",
        "range",
        "nan",
        lambda a: a.reduced(branches(-a.target * a.input)),
        "float32",
    ),
    trap(
        "l1_loss",
        "is the root of the square, at a tie",
        "special",
        "nan",
        lambda a: a.weighted((a.input - a.target).square().sqrt()),
        "float64",
    ),
    trap(
        "smooth_l1_loss",
        "divides by beta in a branch not taken",
        "special",
        "nan",
        lambda a: a.reduced(
            torch.where((d := (a.input - a.target).abs()) < a.beta, 0.5 * d * d / a.beta, d - 0.5 * a.beta)
        ),
        "float32",
    ),
    trap(
        "huber_loss",
        "takes a root in a branch not taken",
        "range",
        "nan",
        lambda a: a.weighted(
            torch.where(
                (d := a.input - a.target).abs() <= a.delta, 0.5 * d * d, a.delta * (d.square().sqrt() - 0.5 * a.delta)
            )
        ),
        "float32",
    ),
    trap(
        "pairwise_distance",
        "is a root without care for 0",
        "special",
        "nan",
        lambda a: (a.x1 - a.x2 + a.eps).square().sum(-1).sqrt() if a.p == 2.0 else a.torch(),
        "float32",
    ),
    trap(
        "cosine_similarity",
        "divides by the norms of zero vectors in a branch not taken",
        "special",
        "nan",
        lambda a: torch.where(
            (n := a.x1.norm(dim=-1) * a.x2.norm(dim=-1)) > a.eps,
            (a.x1 * a.x2).sum(-1) / n,
            (a.x1 * a.x2).sum(-1) / a.eps,
        ),
        "float64",
    ),
    trap(
        "gaussian_nll_loss",
        "takes the logarithm of a variance of 0 in a branch not taken",
        "special",
        "nan",
        lambda a: a.reduced(a.rows() + 0 * torch.where(a.var > a.eps, a.var.log(), a.var)),
        "float32",
    ),
    trap(
        "poisson_nll_loss_rate",
        "takes the logarithm of a rate of 0 in a branch not taken",
        "special",
        "nan",
        lambda a: a.reduced(a.rows() + 0 * torch.where(a.input > 0, a.input.log(), a.input)),
        "float32",
    ),
    trap(
        CE,
        "multiplies masked classes by 0",
        "special",
        "nan",
        lambda a: a.torch(input=a.input + 0 * a.input),
        "float32",
    ),
)
