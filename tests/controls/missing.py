"""nan and infinity that are swallowed or spread, and rows that are to be ignored."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tests.controls.control import Call, Control, Edit, control

missing = partial(control, "nan handling")
ignored = partial(control, "ignore_index")

BCE, CE, SOFT = "binary_cross_entropy_with_logits", "cross_entropy", "cross_entropy_soft"
FLOAT32 = "float32"


def cleaned(*names: str) -> Edit:
    """torch's loss of arguments without nan."""
    return lambda a: a.torch(**{n: getattr(a, n).nan_to_num(posinf=torch.inf, neginf=-torch.inf) for n in names})


def without_nan(a: Call) -> Tensor:
    return a.torch().nan_to_num(posinf=torch.inf, neginf=-torch.inf)


def nan_mean(a: Call) -> Tensor:
    """torch's loss but for rows that are nan, which the sums leave out."""
    value = a.rows()
    if a.reduction == "none" or not value.isnan().any():
        return a.torch()
    return value.nanmean() if a.reduction == "mean" else value.nansum()


def spread(name: str) -> Edit:
    """torch's loss, and a regulariser of weight 0 on a whole argument."""
    return lambda a: a.torch() + 0 * getattr(a, name).sum()


def positive(a: Call, value: Tensor) -> Tensor:
    """The positive part by a comparison, of which nan is no part."""
    return a.reduced(torch.where(value > 0, value, torch.zeros_like(value)))


def classes_of(a: Call) -> int:
    return a.input.shape[1 if a.input.ndim > 1 else 0]


def masked_by_product(a: Call) -> Tensor:
    """Ignored rows are multiplied by 0, not left out; nan and inf stay nan."""
    kept = a.target != a.ignore_index
    whole = a.rows(target=torch.where(kept, a.target, (a.ignore_index + 1) % classes_of(a))) * kept
    if a.reduction != "mean":
        return a.reduced(whole)
    weights = torch.ones_like(whole) if a.weight is None else a.weight[torch.where(kept, a.target, 0)]
    return whole.sum() / (weights * kept).sum()


def negative_is_ignored(a: Call) -> Tensor:
    """Any negative target is ignored, the index that is asked for is not."""
    return a.torch(ignore_index=-100)


def counted_last(a: Call) -> Tensor:
    """An ignored target counts as the last class."""
    return a.torch(target=torch.where(a.target == a.ignore_index, classes_of(a) - 1, a.target), ignore_index=-101)


CONTROLS: tuple[Control, ...] = (
    missing("mse_loss", "replaces nan in its input", "nonfinite", "finite-for-nan", cleaned("input"), FLOAT32),
    missing("mse_loss", "replaces nan in its result", "nonfinite", "finite-for-nan", without_nan, FLOAT32),
    missing("mse_loss", "leaves nan out of its sums", "nonfinite", "finite-for-nan", nan_mean, FLOAT32),
    missing(
        "mse_loss",
        "spreads nan by a regulariser of weight 0",
        "nonfinite",
        "nan",
        spread("input"),
        FLOAT32,
        reproduces=False,
    ),
    missing(BCE, "replaces nan in its result", "nonfinite", "finite-for-nan", without_nan, FLOAT32),
    missing(
        BCE,
        "replaces nan in its weight",
        "nonfinite",
        "finite-for-nan",
        lambda a: a.torch(weight=None if a.weight is None else a.weight.nan_to_num(1.0)),
        FLOAT32,
    ),
    missing(
        "binary_cross_entropy", "replaces nan in the target", "nonfinite", "finite-for-nan", cleaned("target"), FLOAT32
    ),
    missing(CE, "replaces nan in the logits", "nonfinite", "finite-for-nan", cleaned("input"), FLOAT32),
    missing(
        CE,
        "spreads nan over the batch",
        "nonfinite",
        "nan",
        lambda a: a.torch(input=a.input - a.input.detach().mean()),
        FLOAT32,
        reproduces=False,
    ),
    missing(SOFT, "replaces nan in the probabilities", "nonfinite", "finite-for-nan", cleaned("target"), FLOAT32),
    missing("nll_loss", "leaves nan out of its sums", "nonfinite", "finite-for-nan", nan_mean, FLOAT32),
    missing("kl_div", "replaces nan in its result", "nonfinite", "finite-for-nan", without_nan, FLOAT32),
    missing(
        "kl_div",
        "spreads nan by a regulariser of weight 0",
        "nonfinite",
        "nan",
        spread("target"),
        FLOAT32,
        reproduces=False,
    ),
    missing(
        "kl_div_log_target", "replaces nan in the target", "nonfinite", "finite-for-nan", cleaned("target"), FLOAT32
    ),
    missing("poisson_nll_loss", "replaces nan in its input", "special", "finite-for-nan", cleaned("input"), FLOAT32),
    missing(
        "poisson_nll_loss_rate", "replaces nan in the count", "nonfinite", "finite-for-nan", cleaned("target"), FLOAT32
    ),
    missing(
        "gaussian_nll_loss", "replaces nan in the variance", "nonfinite", "finite-for-nan", cleaned("var"), FLOAT32
    ),
    missing("gaussian_nll_loss", "leaves nan out of its sums", "nonfinite", "finite-for-nan", nan_mean, FLOAT32),
    missing("l1_loss", "replaces nan in its result", "nonfinite", "finite-for-nan", without_nan, FLOAT32),
    missing("l1_loss_complex", "replaces nan in one part", "nonfinite", "finite-for-nan", cleaned("target"), FLOAT32),
    missing(
        "huber_loss",
        "spreads nan by a regulariser of weight 0",
        "nonfinite",
        "nan",
        spread("input"),
        FLOAT32,
        reproduces=False,
    ),
    missing("smooth_l1_loss", "replaces nan in the target", "special", "finite-for-nan", cleaned("target"), FLOAT32),
    missing(
        "hinge_embedding_loss",
        "compares with the margin, of which nan is no part",
        "special",
        "finite-for-nan",
        lambda a: (
            a.torch()
            if a.input.isnan().sum() == 0
            else a.reduced(torch.where(a.target > 0, a.input, torch.where(a.input < a.margin, a.margin - a.input, 0.0)))
        ),
        FLOAT32,
    ),
    missing(
        "margin_ranking_loss",
        "compares with 0, of which nan is no part",
        "nonfinite",
        "finite-for-nan",
        lambda a: positive(a, a.margin - a.target * (a.input1 - a.input2)),
        FLOAT32,
    ),
    missing("soft_margin_loss", "replaces nan in its input", "nonfinite", "finite-for-nan", cleaned("input"), FLOAT32),
    missing(
        "multi_margin_loss",
        "spreads nan over the batch",
        "nonfinite",
        "nan",
        spread("input"),
        FLOAT32,
        reproduces=False,
    ),
    missing(
        "multilabel_margin_loss",
        "spreads nan over the batch",
        "nonfinite",
        "nan",
        spread("input"),
        FLOAT32,
        reproduces=False,
    ),
    missing(
        "multilabel_soft_margin_loss",
        "leaves nan out of the mean over classes",
        "nonfinite",
        "finite-for-nan",
        cleaned("input"),
        FLOAT32,
    ),
    missing("cosine_similarity", "replaces nan in its result", "nonfinite", "finite-for-nan", without_nan, FLOAT32),
    missing(
        "cosine_embedding_loss", "replaces nan in a vector", "nonfinite", "finite-for-nan", cleaned("input1"), FLOAT32
    ),
    missing("pairwise_distance", "replaces nan in its result", "special", "finite-for-nan", without_nan, FLOAT32),
    missing(
        "ctc_loss",
        "replaces nan in the log-probabilities",
        "nonfinite",
        "finite-for-nan",
        cleaned("log_probs"),
        FLOAT32,
    ),
    missing(
        "linear_cross_entropy",
        "replaces nan in the matrix",
        "nonfinite",
        "finite-for-nan",
        cleaned("linear_weight"),
        FLOAT32,
    ),
    missing(
        "linear_cross_entropy_soft",
        "spreads nan over the batch",
        "nonfinite",
        "nan",
        spread("input"),
        FLOAT32,
        reproduces=False,
    ),
    missing(
        "adaptive_log_softmax_with_loss",
        "replaces nan in its result",
        "nonfinite",
        "finite-for-nan",
        without_nan,
        FLOAT32,
        reproduces=False,
    ),
    missing(
        "adaptive_log_softmax_with_loss_predict",
        "replaces nan in its result",
        "nonfinite",
        "finite-for-nan",
        without_nan,
        FLOAT32,
    ),
    ignored(CE, "multiplies ignored rows by 0", "laws", "ignored", masked_by_product, FLOAT32),
    ignored(CE, "counts ignored rows as the last class", "laws", "ignored", counted_last, FLOAT32),
    ignored("nll_loss", "multiplies ignored rows by 0", "laws", "ignored", masked_by_product, FLOAT32),
    ignored("nll_loss", "ignores -100 whatever is asked for", "laws", "law", negative_is_ignored, FLOAT32),
    ignored(
        "linear_cross_entropy",
        "does not know ignore_index 0",
        "laws",
        "ignored",
        lambda a: a.torch(ignore_index=None),
        FLOAT32,
    ),
    ignored(
        "linear_cross_entropy",
        "touches ignored rows with a regulariser of weight 0",
        "laws",
        "ignored",
        spread("input"),
        FLOAT32,
    ),
)
