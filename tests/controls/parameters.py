"""Parameters that are ignored, swapped, on the wrong term or combined wrongly; edges of branches and ties."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from tests.controls.control import Control, Edit, control

row = partial(control, "parameters")
edge = partial(control, "boundary and ties")
BCE = "binary_cross_entropy_with_logits"
FLOAT32 = "float32"


def without(**values: Any) -> Edit:
    """torch's loss with a parameter that is always the same."""
    return lambda a: a.torch(**values)


CONTROLS: tuple[Control, ...] = (
    row(
        "cross_entropy",
        "takes the softmax twice",
        "mistakes",
        "mistake",
        lambda a: a.torch(input=a.input.softmax(1)),
        FLOAT32,
    ),
    row(
        BCE,
        "has input and target in each other's place",
        "mistakes",
        "mistake",
        lambda a: a.torch(input=a.target, target=a.input),
        FLOAT32,
    ),
    row(
        BCE,
        "puts pos_weight on both terms",
        "laws",
        "law",
        lambda a: a.torch() if a.pos_weight is None else a.reduced(a.pos_weight * a.rows(pos_weight=None)),
        FLOAT32,
    ),
    row(
        BCE,
        "adds weight and pos_weight",
        "value",
        "unstable",
        lambda a: (
            a.torch()
            if a.weight is None or a.pos_weight is None
            else a.torch(weight=None, pos_weight=a.weight + a.pos_weight)
        ),
        FLOAT32,
    ),
    row(
        BCE,
        "squares the weight",
        "laws",
        "law",
        lambda a: a.torch(weight=None if a.weight is None else a.weight**2),
        FLOAT32,
    ),
    row("binary_cross_entropy", "ignores the weight", "laws", "law", without(weight=None), FLOAT32),
    row(
        "mse_loss",
        "weighs the difference before the square",
        "value",
        "unstable",
        lambda a: (
            a.torch()
            if a.weight is None
            else a.torch(input=a.weight * a.input, target=a.weight * a.target, weight=None)
        ),
        FLOAT32,
    ),
    row(
        "mse_loss",
        "ignores the weight under sum",
        "laws",
        "law",
        lambda a: a.torch(weight=None if a.reduction == "sum" else a.weight),
        FLOAT32,
    ),
    row(
        "l1_loss",
        "takes the root of the weight",
        "value",
        "unstable",
        lambda a: a.torch(weight=None if a.weight is None else a.weight.sqrt()),
        FLOAT32,
    ),
    row(
        "huber_loss",
        "lacks the factor delta, like smooth_l1_loss",
        "value",
        "unstable",
        lambda a: a.weighted(F.smooth_l1_loss(a.input, a.target, reduction="none", beta=a.delta)),
        FLOAT32,
    ),
    row(
        "huber_loss",
        "subtracts delta and not its half",
        "value",
        "unstable",
        lambda a: a.weighted(
            torch.where((d := (a.input - a.target).abs()) <= a.delta, 0.5 * d * d, a.delta * (d - a.delta))
        ),
        FLOAT32,
    ),
    row("huber_loss", "ignores delta", "value", "unstable", without(delta=1.0), FLOAT32),
    row(
        "smooth_l1_loss",
        "lacks the division by beta, like huber_loss",
        "value",
        "unstable",
        lambda a: a.torch() if not a.beta else F.huber_loss(a.input, a.target, a.reduction, a.beta),
        FLOAT32,
    ),
    row("smooth_l1_loss", "ignores beta", "laws", "law", without(beta=1.0), FLOAT32),
    row(
        "kl_div",
        "is the cross-entropy without the entropy",
        "value",
        "unstable",
        lambda a: a.reduced(-a.target * a.input),
        FLOAT32,
    ),
    row(
        "kl_div_log_target",
        "takes the logarithms for probabilities",
        "range",
        "nan",
        without(log_target=False),
        FLOAT32,
    ),
    row(
        "kl_div_log_target",
        "takes the absolute difference",
        "value",
        "unstable",
        lambda a: a.reduced(a.target.exp() * (a.target - a.input).abs()),
        FLOAT32,
    ),
    row("poisson_nll_loss", "ignores full", "value", "unstable", without(full=False), FLOAT32),
    edge(
        "poisson_nll_loss",
        "adds the Stirling term for a count of 1 too",
        "laws",
        "law",
        lambda a: a.reduced(
            a.rows() + (torch.where(a.target == 1, 0.5 * math.log(2 * math.pi) - 1, 0) if a.full else 0)
        ),
        FLOAT32,
    ),
    row("poisson_nll_loss_rate", "ignores eps", "value", "unstable", without(eps=1e-8), FLOAT32),
    row(
        "poisson_nll_loss_rate",
        "adds eps to the rate in both terms",
        "value",
        "unstable",
        lambda a: a.reduced(a.rows() + a.eps),
        FLOAT32,
    ),
    edge("gaussian_nll_loss", "has no floor under the variance", "laws", "law", without(eps=0.0), FLOAT32),
    row("hinge_embedding_loss", "ignores the margin", "laws", "law", without(margin=1.0), FLOAT32),
    edge(
        "hinge_embedding_loss",
        "goes on below 0 beyond the margin",
        "laws",
        "law",
        lambda a: a.reduced(torch.where(a.target > 0, a.input, a.margin - a.input)),
        FLOAT32,
    ),
    row(
        "hinge_embedding_loss",
        "exchanges the labels",
        "value",
        "unstable",
        lambda a: a.torch(target=-a.target),
        FLOAT32,
    ),
    row(
        "margin_ranking_loss", "subtracts the margin", "value", "unstable", lambda a: a.torch(margin=-a.margin), FLOAT32
    ),
    edge(
        "margin_ranking_loss",
        "lets a tie cost nothing",
        "range",
        "vanished",
        lambda a: a.reduced(torch.where(a.input1 == a.input2, 0 * a.rows(), a.rows())),
        FLOAT32,
    ),
    row("soft_margin_loss", "exchanges the labels", "laws", "law", lambda a: a.torch(target=-a.target), FLOAT32),
    row(
        "soft_margin_loss",
        "takes labels 0 and 1 for -1 and 1",
        "value",
        "unstable",
        lambda a: a.torch(target=a.target.clamp(min=0)),
        FLOAT32,
    ),
)
