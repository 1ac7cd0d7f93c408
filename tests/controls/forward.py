"""Unstable forward: the textbook formula, the epsilon, the clamp, the missing shift."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.controls.control import Call, Control, control

row = partial(control, "unstable forward")
BCE = "binary_cross_entropy_with_logits"


def logistic(a: Call, positive: Tensor, negative: Tensor) -> Tensor:
    """-(t log p + (1 - t) log q), weighted as torch does."""
    factor = 1.0 if a.pos_weight is None else a.pos_weight
    return a.weighted(-(factor * a.target * positive + (1 - a.target) * negative))


def expanded(x: Tensor, y: Tensor) -> Tensor:
    return x.square() - 2 * x * y + y.square()


CONTROLS: tuple[Control, ...] = (
    row(
        BCE,
        "takes the logarithm of the sigmoid",
        "range",
        "overflow",
        lambda a: logistic(a, torch.sigmoid(a.input).log(), (1 - torch.sigmoid(a.input)).log()),
        "float32",
    ),
    row(
        BCE,
        "takes log1p(exp(x)) without a shift",
        "range",
        "overflow",
        lambda a: logistic(a, a.input - torch.log1p(torch.exp(a.input)), -torch.log1p(torch.exp(a.input))),
        "float32",
    ),
    row(
        BCE,
        "takes log1p(exp(x)) without a shift, at the largest logit",
        "special",
        "nan",
        lambda a: logistic(a, a.input - torch.log1p(torch.exp(a.input)), -torch.log1p(torch.exp(a.input))),
        "float32",
    ),
    row(
        BCE,
        "adds 1e-7 inside the logarithms of the sigmoid",
        "value",
        "unstable",
        lambda a: logistic(a, (torch.sigmoid(a.input) + 1e-7).log(), (1 - torch.sigmoid(a.input) + 1e-7).log()),
        "float32",
    ),
    row(
        BCE,
        "clamps the sigmoid to [1e-6, 1 - 1e-6]",
        "value",
        "unstable",
        lambda a: logistic(
            a,
            torch.sigmoid(a.input).clamp(1e-6, 1 - 1e-6).log(),
            (1 - torch.sigmoid(a.input)).clamp(1e-6, 1 - 1e-6).log(),
        ),
        "float32",
    ),
    row(
        BCE,
        "has a softplus that is linear from 20 on, in float64",
        "value",
        "absolute-only",
        lambda a: logistic(a, -F.softplus(-a.input), -F.softplus(a.input)),
        "float64",
    ),
    row(
        BCE,
        "has a softplus that is linear from 10 on",
        "value",
        "unstable",
        lambda a: logistic(a, -F.softplus(-a.input, threshold=10), -F.softplus(a.input, threshold=10)),
        "float32",
    ),
    row(
        BCE,
        "clamps the logits to [-30, 30]",
        "value",
        "unstable",
        lambda a: a.torch(input=a.input.clamp(-30, 30)),
        "float32",
    ),
    row(
        "binary_cross_entropy",
        "takes log(1 - x) for log1p(-x)",
        "value",
        "absolute-only",
        lambda a: a.weighted(
            -(a.target * a.input.log().clamp(min=-100) + (1 - a.target) * (1 - a.input).log().clamp(min=-100))
        ),
        "float32",
    ),
    row(
        "binary_cross_entropy",
        "has no clamp",
        "special",
        "nan",
        lambda a: a.weighted(-(a.target * a.input.log() + (1 - a.target) * torch.log1p(-a.input))),
        "float32",
    ),
    row(
        "kl_div",
        "takes t log t without care for 0",
        "special",
        "nan",
        lambda a: a.reduced(a.target * (a.target.log() - a.input)),
        "float32",
    ),
    row(
        "kl_div",
        "adds 1e-8 to the target inside the logarithm",
        "value",
        "unstable",
        lambda a: a.reduced(torch.special.xlogy(a.target, a.target + 1e-8) - a.target * a.input),
        "float32",
    ),
    row(
        "kl_div",
        "floors the predicted log-probability at -100",
        "value",
        "unstable",
        lambda a: a.torch(input=a.input.clamp(min=-100)),
        "float32",
    ),
    row(
        "kl_div_log_target",
        "takes the logarithm of the probability again",
        "range",
        "nan",
        lambda a: a.reduced(a.target.exp() * (a.target.exp().log() - a.input)),
        "float32",
    ),
    row(
        "kl_div_log_target",
        "floors the target probability at 1e-8",
        "value",
        "unstable",
        lambda a: a.reduced(a.target.exp().clamp(min=1e-8) * (a.target - a.input)),
        "float32",
    ),
    row(
        "poisson_nll_loss",
        "clamps the logarithm of the rate at 20",
        "value",
        "unstable",
        lambda a: a.torch(input=a.input.clamp(max=20)),
        "float32",
    ),
    row(
        "poisson_nll_loss",
        "uses lgamma where Stirling is documented",
        "value",
        "unstable",
        lambda a: a.reduced(
            a.rows(full=False) + (torch.where(a.target > 1, torch.lgamma(a.target + 1), 0) if a.full else 0.0)
        ),
        "float32",
    ),
    row(
        "poisson_nll_loss_rate",
        "has no eps inside the logarithm",
        "special",
        "overflow",
        lambda a: a.torch(eps=0.0),
        "float32",
    ),
    row(
        "poisson_nll_loss_rate",
        "floors the rate at eps instead of adding it",
        "value",
        "absolute-only",
        lambda a: a.reduced(a.rows(eps=0.0) - a.target * (a.input.clamp(min=a.eps).log() - a.input.log())),
        "float64",
    ),
    row(
        "gaussian_nll_loss",
        "adds eps to the variance instead of a floor",
        "value",
        "unstable",
        lambda a: a.torch(var=a.var + a.eps),
        "float32",
    ),
    row(
        "mse_loss",
        "expands the square",
        "value",
        "absolute-only",
        lambda a: a.weighted(expanded(a.input, a.target)),
        "float32",
    ),
    row(
        "l1_loss",
        "is the root of the square",
        "range",
        "overflow",
        lambda a: a.weighted((a.input - a.target).square().sqrt()),
        "float32",
    ),
    row(
        "l1_loss",
        "is the root of the square and 1e-12",
        "value",
        "unstable",
        lambda a: a.weighted(((a.input - a.target).square() + 1e-12).sqrt()),
        "float64",
    ),
    row("smooth_l1_loss", "adds 1e-4 to beta", "value", "unstable", lambda a: a.torch(beta=a.beta + 1e-4), "float32"),
    row(
        "soft_margin_loss",
        "takes log(1 + exp) for log1p(exp)",
        "value",
        "absolute-only",
        lambda a: a.reduced((1 + (-a.target * a.input).exp()).log()),
        "float32",
    ),
    row(
        "soft_margin_loss",
        "takes the logarithm of the sigmoid",
        "range",
        "vanished",
        lambda a: a.reduced(-torch.sigmoid(a.target * a.input).log()),
        "float32",
    ),
)
