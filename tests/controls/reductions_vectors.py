"""Wrong sums of losses of classes, vectors and sequences."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tests.controls.control import Call, Control, control
from tests.controls.reductions import mean_by, mean_of

row = partial(control, "reduction")
CE = "cross_entropy"
SOFT = "cross_entropy_soft"
FLOAT64 = "float64"


def counted(a: Call) -> Tensor:
    return a.target != (-100 if a.ignore_index is None else a.ignore_index)


def weights_of(a: Call) -> Tensor:
    """The class weights of the targets; 0 for ignored ones."""
    kept = counted(a)
    weight = torch.ones(a.input.shape[1], dtype=a.input.dtype) if a.weight is None else a.weight
    return weight[torch.where(kept, a.target, 0)] * kept


CONTROLS: tuple[Control, ...] = (
    row(
        CE,
        "divides the mean by all rows, ignored ones too",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel() if a.weight is None else weights_of(a).sum()),
        FLOAT64,
        reproduces=False,
    ),
    row(
        CE,
        "divides the weighted mean by the rows that count",
        "reductions",
        "unstable",
        mean_by(lambda a, v: counted(a).sum()),
        FLOAT64,
    ),
    row(
        CE,
        "gives 0 for a mean of ignored rows only",
        "reductions",
        "finite-for-nan",
        lambda a: a.torch().nan_to_num() if a.reduction == "mean" and not counted(a).any() else a.torch(),
        FLOAT64,
    ),
    row(
        CE,
        "adds 1e-3 to the denominator of the mean",
        "reductions",
        "unstable",
        mean_by(lambda a, v: weights_of(a).sum() + 1e-3),
        FLOAT64,
    ),
    row(
        CE,
        "divides the mean by the weights of all classes",
        "reductions",
        "unstable",
        mean_by(lambda a, v: weights_of(a).sum() if a.weight is None else a.weight.sum() * len(v)),
        FLOAT64,
    ),
    row(
        SOFT,
        "divides the mean by rows and classes",
        "reductions",
        "unstable",
        mean_by(lambda a, v: a.input.numel()),
        FLOAT64,
    ),
    row(
        "nll_loss",
        "divides the weighted mean by the number of rows",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel()),
        FLOAT64,
        reproduces=False,
    ),
    row(
        "nll_loss",
        "gives 0 for a mean of ignored rows only",
        "reductions",
        "finite-for-nan",
        lambda a: a.torch().nan_to_num() if a.reduction == "mean" and not counted(a).any() else a.torch(),
        FLOAT64,
    ),
    row(
        "multi_margin_loss",
        "divides the mean by the sum of the weights",
        "reductions",
        "unstable",
        mean_by(lambda a, v: len(v) if a.weight is None else a.weight[a.target].sum()),
        FLOAT64,
    ),
    row(
        "multilabel_margin_loss",
        "divides the mean by the number of labels",
        "reductions",
        "unstable",
        mean_by(lambda a, v: (a.target >= 0).sum().clamp(min=1)),
        FLOAT64,
    ),
    row(
        "multilabel_soft_margin_loss", "sums under mean", "reductions", "unstable", mean_of(lambda v: v.sum()), FLOAT64
    ),
    row(
        "linear_cross_entropy",
        "divides the mean by all rows, ignored ones too",
        "reductions",
        "unstable",
        mean_by(lambda a, v: len(v) if a.weight is None else weights_of(a).sum()),
        FLOAT64,
    ),
    row(
        "adaptive_log_softmax_with_loss_predict",
        "divides the mean by n - 1",
        "reductions",
        "unstable",
        mean_by(lambda a, v: v.numel() - 1),
        FLOAT64,
        reproduces=False,
    ),
)
