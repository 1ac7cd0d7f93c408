"""Losses of a difference: log-cosh, quantile, root mean square, and the short forms of l1 and mse."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from suites.specimens.specimen import Specimen, reduced

Tensor = torch.Tensor
NEAR = 3.0
TINY = 1e-12


def log_cosh_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The formula as it stands."""
    return reduced(torch.log(torch.cosh(input - target)), reduction)


class LogCoshLoss(torch.nn.Module):
    """With a small number inside the hyperbolic cosine."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return reduced(torch.log(torch.cosh(input - target + TINY)), self.reduction)


def softplus_log_cosh_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """d + softplus(-2 d) - log(2), which does not overflow but loses every digit near 0."""
    d = input - target
    return reduced(d + F.softplus(-2.0 * d) - math.log(2.0), reduction)


def log1p_log_cosh_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """log1p(2 sinh(d / 2)**2) near 0, abs(d) - log(2) + log1p(exp(-2 abs(d))) far from it."""
    d = input - target
    gap = torch.where(d < 0, -d, d)
    near = gap < NEAR
    sinh = torch.sinh(0.5 * torch.where(near, d, 0.0))
    far = torch.where(near, NEAR, gap)
    outer = (far - math.log(2.0)) + torch.log1p(torch.exp(-2.0 * far))
    return reduced(torch.where(near, torch.log1p(sinh * (2.0 * sinh)), outer), reduction)


def quantile_loss(input: Tensor, target: Tensor, quantile: float = 0.5, reduction: str = "mean") -> Tensor:
    """The larger of two products."""
    error = target - input
    return reduced(torch.max(quantile * error, (quantile - 1.0) * error), reduction)


class PinballLoss(torch.nn.Module):
    """Written into a result by two masks."""

    def __init__(self, quantile: float = 0.5, reduction: str = "mean") -> None:
        super().__init__()
        self.quantile, self.reduction = quantile, reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        loss = torch.zeros_like(target, dtype=output.dtype)
        error = output - target
        smaller, bigger = error < 0, error > 0
        loss[smaller] = self.quantile * abs(error)[smaller]
        loss[bigger] = (1.0 - self.quantile) * abs(error)[bigger]
        return reduced(loss, self.reduction)


def signed_quantile_loss(input: Tensor, target: Tensor, quantile: float = 0.5, reduction: str = "mean") -> Tensor:
    """The difference times the constant slope of its side; nan stays nan, in the gradient too."""
    d = target - input
    slope = torch.where(d > 0, quantile, torch.where(d < 0, quantile - 1.0, 0.0 * d)).detach()
    # A difference that overflows is taken in parts, which a quantile may bring back into the range.
    product = torch.where(d.isinf(), slope * target - slope * input, slope * torch.where(d.isinf(), 0.0, d))
    return reduced(torch.where(d == 0, 0.0, product), reduction)


def rmse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The root of the mean squared error; its gradient is 0 / 0 where there is no error."""
    return reduced(torch.sqrt(F.mse_loss(input, target, reduction="none").mean(dim=-1)), reduction)


class RMSELoss(torch.nn.Module):
    """The usual remedy: a small number under the root, which is all that is left of a small error."""

    def __init__(self, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__()
        self.mse, self.eps, self.reduction = torch.nn.MSELoss(reduction="none"), eps, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return reduced(torch.sqrt(self.mse(input, target).mean(dim=-1) + self.eps), self.reduction)


class _RootMeanSquare(torch.autograd.Function):
    """Differences at a power of two near the largest, so that no square leaves the range; the slope at 0 is 0."""

    @staticmethod
    def forward(ctx: Any, d: Tensor) -> Tensor:
        exponent = torch.frexp(d.abs().amax(dim=-1, keepdim=True))[1]
        part = _scaled(d, -exponent)
        part = torch.where(d.isinf().any(dim=-1, keepdim=True) & ~d.isnan(), d, part)
        root = part.square().mean(dim=-1, keepdim=True).sqrt()
        ctx.save_for_backward(part / torch.where(root == 0, 1.0, root))
        return _scaled(root, exponent).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (unit,) = ctx.saved_tensors
        return unit / unit.shape[-1] * upstream.unsqueeze(-1)


def _scaled(x: Tensor, exponent: Tensor) -> Tensor:
    """x * 2**exponent by three factors in the range, of which one alone may leave it."""
    third = torch.div(exponent, 3, rounding_mode="trunc")
    two = torch.tensor(2.0, dtype=x.dtype, device=x.device)
    for part in (third, third, exponent - 2 * third):
        x = x * torch.pow(two, part)
    return x


def scaled_rmse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The root mean square of every row, at its own scale."""
    return reduced(_RootMeanSquare.apply(input - target), reduction)


def mean_absolute_error(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The absolute difference."""
    return reduced((input - target).abs(), reduction)


def absolute_error_of_slope(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The difference times the constant slope of its side; nan stays nan, in the gradient too."""
    d = input - target
    slope = torch.where(d > 0, 1.0, torch.where(d < 0, -1.0, 0.0 * d)).detach()
    return reduced(slope * d, reduction)


def squared_error(input: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """The squared difference, summed unless told otherwise."""
    return reduced((input - target) ** 2, reduction)


def squared_error_of_product(input: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """The difference times itself."""
    d = input - target
    return reduced(d * d, reduction)


SPECIMENS = (
    Specimen(
        loss=log_cosh_loss,
        like="log_cosh_loss",
        form="usual",
        source="the formula as it stands",
        shows={
            "value": ("absolute-only",),
            "range": ("nan", "overflow", "vanished"),
            "reductions": ("absolute-only", "unstable", "vanished"),
            "special": ("nan", "overflow"),
        },
    ),
    Specimen(
        loss=LogCoshLoss,
        like="log_cosh_loss",
        form="usual",
        source="the module of many collections, with 1e-12 inside",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "nonfinite": ("unstable",),
            "reductions": ("absolute-only", "unstable", "vanished"),
            "special": ("absolute-only", "nan", "overflow", "unstable"),
        },
    ),
    Specimen(
        loss=softplus_log_cosh_loss,
        like="log_cosh_loss",
        form="usual",
        source="the form of keras.losses.log_cosh and torchmetrics",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "special": ("absolute-only", "nan", "vanished"),
        },
    ),
    Specimen(
        loss=log1p_log_cosh_loss,
        like="log_cosh_loss",
        form="sound",
        grade="few-ulp",
        source="cosh(d) = 1 + 2 sinh(d / 2)**2, log1p near 0",
    ),
    Specimen(
        loss=quantile_loss,
        like="quantile_loss",
        form="usual",
        source="the larger of two products",
        shows={"range": ("partial-range",), "nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=PinballLoss,
        like="quantile_loss",
        form="usual",
        source="two masks, written in place",
        shows={"range": ("partial-range",), "nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=signed_quantile_loss,
        like="quantile_loss",
        form="sound",
        grade="few-ulp",
        source="a difference times the slope of its side",
    ),
    Specimen(
        loss=rmse_loss,
        like="rmse_loss",
        form="usual",
        source="torch.sqrt(F.mse_loss(input, target)) of rows",
        shows={
            "range": ("nan", "overflow", "partial-range"),
            "special": ("nan", "partial-range"),
        },
    ),
    Specimen(
        loss=RMSELoss,
        like="rmse_loss",
        form="usual",
        source="the answer most often copied: sqrt(mse + eps)",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range",),
            "laws": ("law",),
            "nonfinite": ("unstable",),
            "reductions": ("unstable",),
            "special": ("absolute-only", "partial-range", "unstable"),
        },
    ),
    Specimen(
        loss=scaled_rmse_loss,
        like="rmse_loss",
        form="sound",
        grade="reference",
        source="the norm at a power of two near its largest entry",
    ),
    Specimen(
        loss=mean_absolute_error,
        like="l1_loss",
        form="usual",
        source="(input - target).abs().mean()",
        shows={"nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=absolute_error_of_slope,
        like="l1_loss",
        form="sound",
        grade="few-ulp",
        source="a difference times the slope of its side",
    ),
    Specimen(loss=squared_error, like="mse_loss", form="usual", source="((input - target) ** 2).sum()"),
    Specimen(
        loss=squared_error_of_product,
        like="mse_loss",
        form="sound",
        grade="few-ulp",
        source="a difference times itself, which has nothing to lose",
    ),
)
