"""Losses of one decision."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from tests.losses import reduced
from tests.sound.declare import Sound
from tests.sound.pieces import Tensor, in_float32, in_float64, mixed, rectified, scaled_product, softplus

# -- logits ------------------------------------------------------------------------------------------------------------


def softplus_form(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((1 - target) * softplus(input) + target * softplus(-input), reduction)


def logsigmoid_form(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((target - 1) * F.logsigmoid(-input) - target * F.logsigmoid(input), reduction)


def log1p_form(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Both signs of the logit apart, each exponential taken of what is not positive."""
    up = input > 0
    above, below = torch.where(up, input, 0.0), torch.where(up, 0.0, input)
    high = (1 - target) * above + torch.log1p(torch.exp(-above))
    low = torch.log1p(torch.exp(below)) - target * below
    return reduced(torch.where(up, high, low), reduction)


class _Bernoulli(torch.autograd.Function):
    """The value and (1 - y) sigmoid(x) - y sigmoid(-x), in which a hard label leaves one term."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        e = torch.exp(-input.abs())
        tail = torch.log1p(e)
        up = torch.where(input > 0, input, 0.0) + tail
        down = torch.where(input < 0, -input, 0.0) + tail
        known = torch.where(input.isnan(), input, 0.0)
        ctx.save_for_backward(input, target, e)
        return (1 - target) * up + target * down + known

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        input, target, e = ctx.saved_tensors
        right, left = torch.where(input < 0, e, 1.0) / (1 + e), torch.where(input > 0, e, 1.0) / (1 + e)
        return ((1 - target) * right - target * left) * upstream, -input * upstream


def fused_bernoulli(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Bernoulli.apply(input, target), reduction)


@in_float32
def bernoulli_in_float32(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Bernoulli.apply(input, target), reduction)


@in_float64
def logaddexp_form(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    none = torch.zeros_like(input)
    return reduced((1 - target) * torch.logaddexp(input, none) + target * torch.logaddexp(-input, none), reduction)


class _WeightedBernoulli(torch.autograd.Function):
    """Weights, labels and both softplus by their exponents; nothing overflows before the loss does."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, weight: Tensor, pos_weight: Tensor) -> Tensor:
        up, down = softplus(input), softplus(-input)
        ctx.save_for_backward(input, target, weight, pos_weight, up, down)
        return _weighed(weight, 1 - target, up) + _weighed(weight, pos_weight, target, down)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        input, target, weight, pos_weight, up, down = ctx.saved_tensors
        g, e = upstream.expand(input.shape), torch.exp(-input.abs())
        right, left = torch.where(input < 0, e, 1.0) / (1 + e), torch.where(input > 0, e, 1.0) / (1 + e)
        slope = _weighed(weight, 1 - target, right, g) - _weighed(weight, pos_weight, target, left, g)
        apart = _weighed(weight, pos_weight, down, g) - _weighed(weight, up, g)
        whole = weight * (pos_weight * down - up) * g
        return slope, torch.where(apart.isnan(), whole, apart), None, None


def _weighed(*factors: Tensor) -> Tensor:
    """The product; a factor of 0 wins over an infinite one."""
    gone = torch.stack([f == 0 for f in factors]).any(dim=0) & ~torch.stack([f.isnan() for f in factors]).any(dim=0)
    return torch.where(gone, 0.0, scaled_product(*factors))


@in_float64
def weighted_bernoulli(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
) -> Tensor:
    ones = torch.ones_like(input)
    w, p = (ones if t is None else t.expand(input.shape) for t in (weight, pos_weight))
    return reduced(_WeightedBernoulli.apply(input, target, w, p), reduction)


# -- probabilities -----------------------------------------------------------------------------------------------------


def guarded_logarithms(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Each logarithm of a constant where its coefficient is 0, so that no gradient is 0 times an infinite one."""
    x, fixed = input + 0.0, input.detach() + 0.0
    hit = -torch.log(torch.where(target == 0, fixed, x))
    miss = -torch.log1p(-torch.where(target == 1, fixed, x))
    return reduced(mixed(hit, target) + mixed(miss, 1 - target), reduction)


class _Likelihood(torch.autograd.Function):
    """The loss of a probability with its closed gradient (x - y) / (x (1 - x)), a hard label apart."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        x, y = input + 0.0, target
        hit, miss = -torch.log(x), -torch.log1p(-x)
        ctx.save_for_backward(x, y, miss - hit)
        rest = 1 - y
        return torch.where(y == 0, 0.0, y * hit) + torch.where(rest == 0, 0.0, rest * miss)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        x, y, odds = ctx.saved_tensors
        soft = (x - y) / x / (1 - x)
        slope = torch.where(y == 1, -1 / x, torch.where(y == 0, 1 / (1 - x), soft))
        return slope * upstream, -odds * upstream


@in_float32
def fused_likelihood(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Likelihood.apply(input, target), reduction)


# -- signs -------------------------------------------------------------------------------------------------------------


def softplus_of_margin(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(softplus(-target * input), reduction)


def logsigmoid_of_margin(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(-F.logsigmoid(target * input), reduction)


class _Logistic(torch.autograd.Function):
    """log1p(exp(-z)) and -z beside it where that is positive, with -y exp(min(-z, 0)) / (1 + exp(-abs(z)))."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        z = input * target
        e = torch.exp(-z.abs())
        ctx.save_for_backward(torch.where(z > 0, e, 1.0) / (1 + e) * -target)
        return torch.where(z < 0, -z, 0.0) + torch.log1p(e)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * upstream, None


@in_float32
def fused_logistic(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Logistic.apply(input, target), reduction)


def hinge_by_branches(input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0) -> Tensor:
    apart = rectified(margin - torch.where(target == -1, input, 0.0))
    return reduced(torch.where(target == 1, input, torch.where(target == -1, apart, torch.nan)), reduction)


@in_float32
def hinge_by_labels(input: Tensor, target: Tensor, reduction: str = "mean", margin: float = 1.0) -> Tensor:
    similar = target == 1
    near, far = torch.where(similar, input, 0.0), torch.where(similar, margin, input)
    value = near + rectified(margin - far)
    return reduced(torch.where(target.abs() == 1, value, torch.nan), reduction)


def _ranked(lead: Tensor, target: Tensor, margin: float) -> Tensor:
    """max(0, margin - y d), whose factors are constants where it is closed: 0 times an infinite one is nan."""
    closed = margin - target * lead <= 0
    live = torch.where(lead.isnan(), lead, 1.0).detach()
    return torch.where(closed, 0.0, (margin - target * torch.where(closed, 0.0, lead)) * live)


def ranking_by_margin(
    input1: Tensor, input2: Tensor, target: Tensor, reduction: str = "mean", margin: float = 0.0
) -> Tensor:
    return reduced(_ranked(input1 - input2, target, margin), reduction)


@in_float32
def ranking_by_sides(
    input1: Tensor, input2: Tensor, target: Tensor, reduction: str = "mean", margin: float = 0.0
) -> Tensor:
    return reduced(_ranked(input1 * 0.5 - input2 * 0.5, target, 0.5 * margin) * 2, reduction)


# -- many labels -------------------------------------------------------------------------------------------------------


def mean_of_softplus(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    each = (1 - target) * softplus(input) + target * softplus(-input)
    return reduced((each / input.shape[-1]).sum(dim=-1), reduction)


@in_float64
def weighted_labels(input: Tensor, target: Tensor, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    part = torch.full_like(input, 1 / input.shape[-1]) if weight is None else weight / input.shape[-1]
    up, down = softplus(input), softplus(-input)
    each = mixed(up, part * (1 - target)) + mixed(down, part * target)
    return reduced(each.sum(dim=-1), reduction)


LOGITS, PROBABILITY, MARGIN = "binary_cross_entropy_with_logits", "binary_cross_entropy", "soft_margin_loss"

SOUND = (
    Sound(name="two softplus", like=LOGITS, loss=softplus_form, grade="reference"),
    Sound(name="two logsigmoid", like=LOGITS, loss=logsigmoid_form, grade="reference"),
    Sound(name="log1p on either side of zero, guarded", like=LOGITS, loss=log1p_form, grade="reference"),
    Sound(name="fused Bernoulli", like=LOGITS, loss=fused_bernoulli, grade="reference"),
    Sound(name="fused Bernoulli, halves in float32", like=LOGITS, loss=bernoulli_in_float32, grade="reference"),
    Sound(name="logaddexp in float64", like=LOGITS, loss=logaddexp_form, grade="reference", gradient="absolute-only"),
    Sound(name="all weights by exponents", like=LOGITS, loss=weighted_bernoulli, grade="reference"),
    Sound(name="logarithms guarded at 0 and 1", like=PROBABILITY, loss=guarded_logarithms, grade="mixed-stable"),
    Sound(name="fused likelihood", like=PROBABILITY, loss=fused_likelihood, grade="mixed-stable"),
    Sound(name="softplus of the margin", like=MARGIN, loss=softplus_of_margin, grade="reference"),
    Sound(name="logsigmoid of the margin", like=MARGIN, loss=logsigmoid_of_margin, grade="reference"),
    Sound(name="fused logistic loss", like=MARGIN, loss=fused_logistic, grade="reference"),
    Sound(name="a branch a label", like="hinge_embedding_loss", loss=hinge_by_branches, grade="mixed-stable"),
    Sound(
        name="labels that move the operands", like="hinge_embedding_loss", loss=hinge_by_labels, grade="mixed-stable"
    ),
    Sound(name="margin less the lead", like="margin_ranking_loss", loss=ranking_by_margin, grade="mixed-stable"),
    Sound(
        name="margin less the lead, at half scale",
        like="margin_ranking_loss",
        loss=ranking_by_sides,
        grade="mixed-stable",
    ),
    Sound(
        name="the mean of two softplus", like="multilabel_soft_margin_loss", loss=mean_of_softplus, grade="reference"
    ),
    Sound(name="weights before softplus", like="multilabel_soft_margin_loss", loss=weighted_labels, grade="reference"),
)
