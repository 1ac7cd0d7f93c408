"""Wrong sums: denominators, weights, ignored rows, lengths, accumulators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tests.controls.control import Call, Control, Edit, control

row = partial(control, "reduction")
BCE = "binary_cross_entropy_with_logits"
FLOAT64 = "float64"


def mean_by(denominator: Callable[[Call, Tensor], Tensor | float]) -> Edit:
    """torch's loss but for the mean, which is the sum over a denominator of one's own."""
    return lambda a: (v := a.rows()).sum() / denominator(a, v) if a.reduction == "mean" else a.torch()


def mean_of(mean: Callable[[Tensor], Tensor]) -> Edit:
    """torch's loss but for the mean."""
    return lambda a: mean(a.rows()) if a.reduction == "mean" else a.torch()


def sum_of(total: Callable[[Tensor], Tensor]) -> Edit:
    return lambda a: total(a.rows()) if a.reduction == "sum" else a.torch()


def one_by_one(v: Tensor) -> Tensor:
    """A sum in the dtype of its terms, one after another."""
    total = torch.zeros((), dtype=v.dtype)
    for part in v.reshape(-1).split(max(v.numel() // 64, 1)):
        total = total + part.sum()
    return total


def swapped(a: Call) -> Tensor:
    return a.torch(reduction={"mean": "sum", "sum": "mean"}.get(a.reduction, a.reduction))


def kept_dimension(a: Call) -> Tensor:
    return a.torch() if a.reduction == "none" else a.torch()[None]


class LegacySwapped(torch.nn.Module):
    """size_average and reduce, of which the first is taken the wrong way round."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = "none" if reduce is False else "mean" if size_average is False else "sum"
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(input, target, reduction=self.reduction)


class OnlyHalf(torch.nn.Module):
    """A Module with one fixed result, half the mean."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(input, target, reduction="mean") / 2


class PartialSum(torch.nn.Module):
    """A Module with one fixed result, the sum and an eighth of the last row."""

    def __init__(self, delta: float = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        rows = torch.nn.functional.huber_loss(input, target, "none", self.delta)
        return rows.sum() + rows[..., -1:].sum() / 8


CONTROLS: tuple[Control, ...] = (
    row(
        "mse_loss",
        "divides the mean by n - 1",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel() - 1 if a.weight is None else a.weight.sum()),
        FLOAT64,
    ),
    row(
        "mse_loss",
        "divides the weighted mean by the number of rows",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel()),
        FLOAT64,
    ),
    row(
        "mse_loss",
        "gives 0 for the mean of no rows",
        "reductions",
        "reduction",
        lambda a: a.torch().nan_to_num() if a.input.numel() == 0 else a.torch(),
    ),
    row(
        "mse_loss",
        "sums in float16 before it divides",
        "reductions",
        "overflow",
        lambda a: one_by_one(a.rows()) / a.input.numel() if a.reduction == "mean" and a.weight is None else a.torch(),
        "float16",
        reproduces=False,
    ),
    row(
        "mse_loss",
        "takes size_average the wrong way round",
        "reductions",
        "unstable",
        LegacySwapped,
        "float32",
        reproduces=False,
    ),
    row("mse_loss", "is half the mean and nothing else", "reductions", "reduction", OnlyHalf),
    row("huber_loss", "is the sum and an eighth of the last row", "reductions", "reduction", PartialSum),
    row(
        "huber_loss",
        "divides the weighted mean by the sum of the weights",
        "reductions",
        "unstable",
        lambda a: a.rows().sum() / a.weight.sum() if a.reduction == "mean" and a.weight is not None else a.torch(),
        FLOAT64,
    ),
    row("huber_loss", "exchanges mean and sum", "reductions", "unstable", swapped, FLOAT64),
    row("smooth_l1_loss", "keeps a dimension of the reduced loss", "reductions", "shape", kept_dimension),
    row(
        "smooth_l1_loss",
        "averages only the rows that are not 0",
        "reductions",
        "unstable",
        mean_by(lambda a, v: (v > a.beta).sum().clamp(min=1)),
        FLOAT64,
    ),
    row("l1_loss", "is the median under mean", "reductions", "unstable", mean_of(lambda v: v.median()), FLOAT64),
    row(
        "l1_loss",
        "divides the mean by the squared weights",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel() if a.weight is None else a.weight.square().sum()),
        FLOAT64,
    ),
    row(
        "l1_loss_complex",
        "divides the mean by the number of real numbers",
        "reductions",
        "unstable",
        lambda a: a.torch() / (2 if a.reduction == "mean" else 1),
        FLOAT64,
    ),
    row(
        BCE,
        "divides the mean by the sum of the weights",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel() if a.weight is None else a.weight.sum()),
        FLOAT64,
    ),
    row(
        BCE,
        "divides the mean by the number of positives",
        "reductions",
        "unstable",
        mean_by(lambda a, v: a.target.sum().clamp(min=1)),
        FLOAT64,
    ),
    row(
        "binary_cross_entropy",
        "weighs the mean but not the sum",
        "reductions",
        "unstable",
        lambda a: a.torch(weight=None if a.reduction == "sum" else a.weight),
        FLOAT64,
    ),
    row(
        "binary_cross_entropy",
        "drops the last row of a sum",
        "reductions",
        "unstable",
        sum_of(lambda v: v[:-1].sum()),
        FLOAT64,
    ),
    row("kl_div", "divides the mean by n - 1", "reductions", "unstable", mean_by(lambda a, v: v.numel() - 1), FLOAT64),
    row(
        "kl_div",
        "sums under batchmean",
        "reductions",
        "unstable",
        lambda a: a.torch(reduction="sum" if a.reduction == "batchmean" else a.reduction),
        FLOAT64,
    ),
    row(
        "kl_div_log_target",
        "means only the rows that are positive",
        "reductions",
        "unstable",
        mean_by(lambda a, v: (v > 0).sum().clamp(min=1)),
        FLOAT64,
    ),
    row(
        "poisson_nll_loss",
        "divides the mean by the sum of the counts",
        "reductions",
        "unstable",
        mean_by(lambda a, v: a.target.sum().clamp(min=1)),
        FLOAT64,
    ),
    row("poisson_nll_loss_rate", "exchanges mean and sum", "reductions", "unstable", swapped, FLOAT64),
    row(
        "gaussian_nll_loss",
        "averages with inverse variances",
        "reductions",
        "unstable",
        mean_of(lambda v: (v * v.detach().abs()).sum() / v.detach().abs().sum()),
        FLOAT64,
    ),
    row(
        "hinge_embedding_loss",
        "averages only the rows that cost something",
        "reductions",
        "unstable",
        mean_by(lambda a, v: (v != 0).sum().clamp(min=1)),
        FLOAT64,
    ),
    row(
        "hinge_embedding_loss",
        "averages both labels apart",
        "reductions",
        "unstable",
        lambda a: (
            a.torch()
            if a.reduction != "mean" or not (a.target > 0).any() or not (a.target < 0).any()
            else 0.5 * ((v := a.rows())[a.target > 0].mean() + v[a.target < 0].mean())
        ),
        FLOAT64,
    ),
    row(
        "margin_ranking_loss",
        "averages only the pairs in the wrong order",
        "reductions",
        "unstable",
        mean_by(lambda a, v: (v > 0).sum().clamp(min=1)),
        FLOAT64,
    ),
    row("soft_margin_loss", "exchanges mean and sum", "reductions", "unstable", swapped, FLOAT64),
)
