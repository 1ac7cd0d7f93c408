"""Unstable forward of losses of classes, vectors and sequences."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.controls.control import Call, Control, control

row = partial(control, "unstable forward")
CE = "cross_entropy"
SOFT = "cross_entropy_soft"


def likelihood(a: Call, log_p: Tensor) -> Tensor:
    """cross_entropy by way of nll_loss; the smoothing is torch's own."""
    if a.label_smoothing:
        return a.torch()
    return F.nll_loss(log_p, a.target, a.weight, ignore_index=a.ignore_index, reduction=a.reduction)


def soft_likelihood(a: Call, log_p: Tensor) -> Tensor:
    if a.label_smoothing:
        return a.torch()
    terms = a.target * log_p
    return a.reduced(-(terms if a.weight is None else terms * a.weight).sum(-1))


def there_and_back(a: Call) -> Tensor:
    """A negative log-likelihood by way of the likelihood."""
    return a.reduced(-torch.log(torch.exp(-a.rows())))


def expanded_distance(x: Tensor, y: Tensor) -> Tensor:
    """The Gram form of a Euclidean distance."""
    return (x.square().sum(-1) - 2 * (x * y).sum(-1) + y.square().sum(-1)).clamp(min=0).sqrt()


CONTROLS: tuple[Control, ...] = (
    row(
        CE,
        "takes the logarithm of the softmax",
        "range",
        "overflow",
        lambda a: likelihood(a, torch.softmax(a.input, 1).log()),
        "float32",
    ),
    row(
        CE,
        "sums the exponentials without a shift",
        "range",
        "overflow",
        lambda a: likelihood(a, a.input - a.input.exp().sum(1, keepdim=True).log()),
        "float32",
    ),
    row(
        CE,
        "floors the log-probabilities at -50",
        "value",
        "unstable",
        lambda a: likelihood(a, torch.log_softmax(a.input, 1).clamp(min=-50)),
        "float32",
    ),
    row(
        CE,
        "replaces the infinite loss of a masked target by 1e4",
        "special",
        "finite-for-inf",
        lambda a: likelihood(a, torch.log_softmax(a.input, 1).nan_to_num(nan=math.nan, neginf=-1e4)),
        "float32",
    ),
    row(
        SOFT,
        "takes the logarithm of the softmax",
        "range",
        "overflow",
        lambda a: soft_likelihood(a, torch.softmax(a.input, 1).log()),
        "float32",
    ),
    row(
        "nll_loss",
        "floors the log-probabilities at -100",
        "value",
        "unstable",
        lambda a: a.torch(input=a.input.clamp(min=-100)),
        "float32",
    ),
    row(
        "nll_loss",
        "goes by way of the probabilities",
        "range",
        "overflow",
        lambda a: a.torch(input=a.input.exp().log()),
        "float32",
    ),
    row(
        "nll_loss",
        "adds 1e-6 to the probabilities",
        "special",
        "unstable",
        lambda a: a.torch(input=(a.input.exp() + 1e-6).log()),
        "float32",
    ),
    row(
        "cosine_similarity",
        "has no eps for a zero vector",
        "special",
        "nan",
        lambda a: (a.x1 * a.x2).sum(-1) / (a.x1.norm(dim=-1) * a.x2.norm(dim=-1)),
        "float32",
    ),
    row(
        "pairwise_distance",
        "is expanded into products",
        "value",
        "unstable",
        lambda a: expanded_distance(a.x1 + a.eps, a.x2) if a.p == 2.0 else a.torch(),
        "float32",
    ),
    row(
        "adaptive_log_softmax_with_loss_predict",
        "goes by way of the likelihood",
        "value",
        "absolute-only",
        there_and_back,
        "float32",
    ),
)
