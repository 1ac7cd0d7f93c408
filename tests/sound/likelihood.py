"""Negative log-likelihoods of counts and of a Gaussian, and the divergence of probabilities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from tests.losses import reduced
from tests.sound.declare import Sound
from tests.sound.pieces import Tensor, in_float32, in_float64

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# -- probabilities -----------------------------------------------------------------------------------------------------


def guarded_divergence(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log t - x); an absent element is a constant in x, and has its infinite slope in t by a straight line."""
    absent = (target == 0) & ~input.isnan()
    t, x = torch.where(absent, 1.0, target), torch.where(absent, 0.0, input)
    line = _Line.apply(target, (torch.log(target) + 1 - input).detach())
    return _batchmean(torch.where(absent, line, t * (torch.log(t) - x)), reduction)


class _Line(torch.autograd.Function):
    """0 with a given gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return torch.zeros_like(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return torch.where(upstream == 0, 0.0, slope * upstream), None


def _batchmean(value: Tensor, reduction: str) -> Tensor:
    return value.sum() / value.shape[0] if reduction == "batchmean" else reduced(value, reduction)


class _Divergence(torch.autograd.Function):
    """t (log t - x) with -t and log t + 1 - x; 0 log 0 is 0 and goes with any x but nan."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        gap = torch.log(target) - input
        ctx.save_for_backward(input, target)
        return torch.where((target == 0) & ~input.isnan(), 0.0, target * gap)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        input, target = ctx.saved_tensors
        return -target * upstream, (torch.log(target) + 1 - input) * upstream


@in_float32
def fused_divergence(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return _batchmean(_Divergence.apply(input, target), reduction)


class _LogDivergence(torch.autograd.Function):
    """exp(t) (t - x), by halves of the exponential where the gap overflows beside it."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(input, target)
        return _grown(target, target - input, input)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        input, target = ctx.saved_tensors
        return -torch.exp(target) * upstream, _grown(target, target - input + 1, input) * upstream


def _grown(log: Tensor, factor: Tensor, beside: Tensor) -> Tensor:
    """exp(log) * factor; exp(-inf) removes what is beside it, unless that is nan."""
    half = torch.exp(0.5 * log)
    product = half * (half * factor)
    return torch.where((log == -torch.inf) & ~beside.isnan(), 0.0, product)


@in_float64
def log_divergence(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return _batchmean(_LogDivergence.apply(input, target), reduction)


# -- counts ------------------------------------------------------------------------------------------------------------


def _excess(d: Tensor) -> Tensor:
    """exp(d) - 1 - d, by its Taylor series where the difference would cancel."""
    series = torch.zeros_like(d)
    for n in range(22, 2, -1):
        series = (series + 1 / math.factorial(n)) * d
    return torch.where(d.abs() < 1, (series + 0.5) * d * d, torch.expm1(d) - d)


class _Deviance(torch.autograd.Function):
    """t (exp(d) - 1 - d) with d = x - log t; slopes t (exp(d) - 1) and -d; if far, t exp(d) is taken as exp(x)."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        d = input - torch.log(target)
        near = d.abs() < 1
        ctx.save_for_backward(d, near, input, target)
        return torch.where(near, target * _excess(d), _count(input, target, 1 + d))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        d, near, input, target = ctx.saved_tensors
        slope = torch.where(near, target * torch.expm1(d), _count(input, target, torch.ones_like(input)))
        return slope * upstream, -d * upstream


HIGH = 80.0
"""From here on exp(x) - y is taken as r (r - y / r) with r = exp(x / 2), which overflows no earlier than it."""


def _count(x: Tensor, t: Tensor, factor: Tensor) -> Tensor:
    """exp(x) - t * factor, where a count of 0 removes a factor of any size."""
    root = torch.exp(0.5 * x)
    high = root * (root - (t / root) * factor.clamp(max=1e4))
    return torch.where(x > HIGH, high, torch.exp(x) - torch.where((t == 0) & ~x.isnan(), 0.0, t * factor))


@in_float64
def counts_by_deviance(
    input: Tensor, target: Tensor, reduction: str = "mean", log_input: bool = True, full: bool = False
) -> Tensor:
    """exp(x) - t x; full: the deviance and log(2 pi t) / 2 in place of the sum of Stirling's terms."""
    plain = _Count.apply(input, target)
    if not full:
        return reduced(plain, reduction)
    many = ~(target <= 1)
    t, x = torch.where(many, target, 2.0), torch.where(many, input, 0.0)
    whole = _Deviance.apply(x, t) + (HALF_LOG_2PI + 0.5 * torch.log(t))
    few = _Count.apply(torch.where(many, 0.0, input), torch.where(many, 0.0, target))
    return reduced(torch.where(many, whole, few), reduction)


class _Count(torch.autograd.Function):
    """exp(x) - t x with exp(x) - t and -x."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(input, target)
        return _count(input, target, input)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        input, target = ctx.saved_tensors
        none = torch.where(upstream == 0, 0.0, -input * upstream)
        return _count(input, target, torch.ones_like(input)) * upstream, none


@in_float32
def fused_count(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_Count.apply(input, target), reduction)


def _log_of_rate(rate: Tensor, eps: float) -> Tensor:
    """log(x + eps), by log1p where x is near 1 and the sum would round."""
    return torch.where((rate - 1).abs() <= 0.5, torch.log1p((rate - 1) + eps), torch.log(rate + eps))


class _Rate(torch.autograd.Function):
    """x - t log(x + eps) with (x + eps - t) / (x + eps); beside an infinite rate its logarithm is nothing.

    By quarters: t log(x + eps) may be twice the largest number where the difference is not.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, eps: float) -> Tensor:
        log = _log_of_rate(input, eps)
        ctx.save_for_backward(input, target, log)
        ctx.eps = eps
        return torch.where(input == torch.inf, input, 4 * (0.25 * input - 0.25 * target * log))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        input, target, log = ctx.saved_tensors
        slope = ((input - target) + ctx.eps) / (input + ctx.eps)
        return torch.where(input == torch.inf, 1.0, slope) * upstream, -log * upstream, None


@in_float64
def rate_by_log1p(
    input: Tensor, target: Tensor, reduction: str = "mean", log_input: bool = False, eps: float = 1e-8
) -> Tensor:
    return reduced(_Rate.apply(input, target, eps), reduction)


# -- a Gaussian --------------------------------------------------------------------------------------------------------


class _Gaussian(torch.autograd.Function):
    """Half of log(m) and of the squared standard score z = d / sqrt(m)."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor, var: Tensor, eps: float) -> Tensor:
        m = var.clamp(min=eps)
        half = 0.5 * input - 0.5 * target
        z = half / m.sqrt() * 2
        ctx.save_for_backward(half, m)
        return 0.5 * torch.log(m) + 0.5 * z * z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        half, m = ctx.saved_tensors
        slope = half / m * 2
        return slope * upstream, -slope * upstream, (0.5 / m - 0.5 * slope * slope) * upstream, None


@in_float64
def standard_score(
    input: Tensor, target: Tensor, var: Tensor, reduction: str = "mean", full: bool = False, eps: float = 1e-6
) -> Tensor:
    value = _Gaussian.apply(input, target, var, eps)
    return reduced(value + HALF_LOG_2PI if full else value, reduction)


@in_float32
def score_in_float32(input: Tensor, target: Tensor, var: Tensor, reduction: str = "mean", eps: float = 1e-6) -> Tensor:
    return reduced(_Gaussian.apply(input, target, var, eps), reduction)


SOUND = (
    Sound(name="absent elements guarded", like="kl_div", loss=guarded_divergence, grade="reference"),
    Sound(name="fused divergence", like="kl_div", loss=fused_divergence, grade="reference"),
    Sound(name="exponential by halves", like="kl_div_log_target", loss=log_divergence, grade="mixed-stable"),
    Sound(name="deviance", like="poisson_nll_loss", loss=counts_by_deviance, grade="mixed-stable"),
    Sound(name="fused count", like="poisson_nll_loss", loss=fused_count, grade="reference"),
    Sound(name="log1p of the rate", like="poisson_nll_loss_rate", loss=rate_by_log1p, grade="mixed-stable"),
    Sound(name="the standard score", like="gaussian_nll_loss", loss=standard_score, grade="mixed-stable"),
    Sound(
        name="the standard score, halves in float32",
        like="gaussian_nll_loss",
        loss=score_in_float32,
        grade="mixed-stable",
    ),
)
