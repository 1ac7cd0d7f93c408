"""What a loss owes its caller beside the number: dtype, shape, purity, layout."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.controls.control import Call, Control, Edit, control

kind = partial(control, "dtype")
shape = partial(control, "shape and broadcast")
pure = partial(control, "purity")
layout = partial(control, "dimensions and layout")

BCE, CE, SOFT = "binary_cross_entropy_with_logits", "cross_entropy", "cross_entropy_soft"
FLOAT32 = "float32"


def through(dtype: torch.dtype) -> Edit:
    """torch's loss computed in another dtype, the result cast back."""

    def edit(a: Call) -> Tensor:
        own = next(iter(a.real().values())).dtype
        return a.torch(**{n: t.to(dtype) for n, t in a.real().items()}).to(own)

    return edit


def left_in(dtype: torch.dtype) -> Edit:
    """torch's loss computed in another dtype and left there."""
    return lambda a: a.torch(**{n: t.to(dtype) for n, t in a.real().items()})


def column(a: Call) -> Tensor:
    """A prediction of shape (N, 1) against a target of shape (N,)."""
    difference = a.input[..., None] - a.target if a.input.ndim == 1 else a.input - a.target
    return a.reduced(difference.square())


def scribbled(a: Call, *names: str) -> Tensor:
    """torch's loss, which leaves other numbers in its inputs."""
    result = a.torch()
    for name in names:
        getattr(a, name).data.clamp_(-0.5, 0.5)
    return result


def incremented(a: Call) -> Tensor:
    result = a.torch()
    a.target.detach().add_(1)
    return result


class Remembering(torch.nn.Module):
    """An object whose results depend on how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, input: Tensor, target: Tensor, delta: float = 1.0, reduction: str = "mean") -> Tensor:
        self.scale = self.scale * 0.999
        return F.huber_loss(input, target, reduction, delta) * self.scale.to(input.dtype)


class Dropping(torch.nn.Module):
    """A class with dropout on the prediction, in training as it comes."""

    def __init__(self, beta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.beta, self.reduction, self.dropout = beta, reduction, torch.nn.Dropout(0.1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(self.dropout(input), target, reduction=self.reduction, beta=self.beta)


def reseeded(a: Call) -> Tensor:
    torch.manual_seed(0)
    return a.torch()


def in_default_dtype(a: Call) -> Tensor:
    """torch's loss, after which new tensors are float64."""
    torch.set_default_dtype(torch.float64)
    return a.torch()


def without_gradients(a: Call) -> Tensor:
    """torch's loss, after which nothing records gradients."""
    result = a.torch()
    torch.set_grad_enabled(False)
    return result


def patched(a: Call) -> Tensor:
    """torch's loss, after which the logarithm of torch is another function."""
    torch.log = torch.log1p  # type: ignore[assignment]
    return a.torch()


def jittered(a: Call) -> Tensor:
    return a.torch(input=a.input + 1e-6 * torch.randn_like(a.input))


def standardised(a: Call) -> Tensor:
    """torch's loss of scores that are scaled by the spread of the batch."""
    return a.torch(input=a.input / (1 + 1e-2 * torch.tanh(a.input.detach().abs().mean())))


def with_neighbours(a: Call) -> Tensor:
    value = a.rows()
    return a.reduced(value + 1e-2 * (value - value.roll(1)) if value.ndim else value)


def flattened(a: Call) -> Tensor:
    """(N, C, d) reshaped to (N d, C) without moving the classes."""
    if a.input.ndim != 3 or a.weight is not None or a.label_smoothing:
        return a.torch()
    rows = F.cross_entropy(
        a.input.reshape(-1, a.input.shape[1]), a.target.reshape(-1), reduction="none", ignore_index=a.ignore_index
    )
    return rows.reshape(a.target.shape) if a.reduction == "none" else a.torch()


def by_stride(a: Call) -> Tensor:
    """Takes the memory of a tensor for its rows."""
    shape, strides = a.input.shape, torch.empty(a.input.shape, device="meta").stride()
    return a.torch() if a.input.is_meta else a.torch(input=torch.as_strided(a.input, shape, strides))


CONTROLS: tuple[Control, ...] = (
    *(
        kind(like, "computes in float32", "value", "unstable", through(torch.float32), "float64")
        for like in ("smooth_l1_loss", "l1_loss", "hinge_embedding_loss", "kl_div")
    ),
    *(
        kind(like, "computes in float32", "special", "unstable", through(torch.float32), "float64")
        for like in (
            BCE,
            CE,
            SOFT,
            "binary_cross_entropy",
            "multilabel_margin_loss",
            "soft_margin_loss",
            "multi_margin_loss",
            "multilabel_soft_margin_loss",
            "pairwise_distance",
            "gaussian_nll_loss",
            "margin_ranking_loss",
            "kl_div_log_target",
            "cosine_similarity",
            "l1_loss_complex",
            "poisson_nll_loss",
            "poisson_nll_loss_rate",
            "linear_cross_entropy",
            "linear_cross_entropy_soft",
        )
    ),
    kind(BCE, "computes bfloat16 in float16", "range", "overflow", through(torch.float16), "bfloat16"),
    kind("mse_loss", "computes bfloat16 in float16", "range", "overflow", through(torch.float16), "bfloat16"),
    kind("mse_loss", "computes float16 in bfloat16", "value", "absolute-only", through(torch.bfloat16), "float16"),
    *(
        kind(like, "computes in float32", "special", "vanished", through(torch.float32), "float64")
        for like in ("nll_loss", "mse_loss", "huber_loss")
    ),
    kind("poisson_nll_loss", "computes bfloat16 in float16", "range", "overflow", through(torch.float16), "bfloat16"),
    kind(
        "huber_loss",
        "rounds every result to bfloat16",
        "value",
        "unstable",
        lambda a: a.torch().bfloat16().to(a.input.dtype),
        FLOAT32,
    ),
    kind("mse_loss", "gives float64 for float32", "form", "dtype", left_in(torch.float64), FLOAT32),
    kind(CE, "gives float32 for float64", "form", "dtype", left_in(torch.float32), "float64"),
    kind(BCE, "gives float32 for float16", "form", "dtype", left_in(torch.float32), "float16"),
    kind("nll_loss", "gives float32 for bfloat16", "form", "dtype", left_in(torch.float32), "bfloat16"),
    kind(
        "kl_div",
        "gives float32 for float16 under sum",
        "form",
        "dtype",
        lambda a: left_in(torch.float32)(a) if a.reduction == "sum" else a.torch(),
        "float16",
    ),
    kind("soft_margin_loss", "gives float64 for float32", "form", "dtype", left_in(torch.float64), FLOAT32),
    shape("mse_loss", "broadcasts (N, 1) against (N,)", "value", "shape", column, FLOAT32),
    shape(
        "l1_loss",
        "broadcasts (N,) against (N, 1)",
        "value",
        "shape",
        lambda a: a.weighted((a.input - a.target[..., None]).abs()) if a.input.ndim == 1 else a.torch(),
        FLOAT32,
    ),
    shape(
        "gaussian_nll_loss",
        "gives a result of shape (1,) for a mean",
        "form",
        "shape",
        lambda a: a.torch() if a.reduction == "none" else a.torch().reshape(1),
        FLOAT32,
    ),
    shape(
        "multilabel_soft_margin_loss",
        "forgets the mean over classes",
        "value",
        "shape",
        lambda a: (
            a.torch()
            if a.reduction != "none" or a.weight is not None
            else F.binary_cross_entropy_with_logits(a.input, a.target, reduction="none")
        ),
        FLOAT32,
    ),
    shape("hinge_embedding_loss", "gives the mean for none", "value", "shape", lambda a: a.torch().mean(), FLOAT32),
    pure("mse_loss", "clamps its input in place", "form", "mutated", lambda a: scribbled(a, "input"), FLOAT32),
    pure("mse_loss", "adds to the target in place", "value", "mutated", incremented, FLOAT32),
    pure(CE, "clamps the logits in place", "form", "mutated", lambda a: scribbled(a, "input"), FLOAT32),
    pure("kl_div", "clamps the target in place", "form", "mutated", lambda a: scribbled(a, "target"), FLOAT32),
    pure(
        "cosine_embedding_loss",
        "clamps the second vector in place",
        "form",
        "mutated",
        lambda a: scribbled(a, "input2"),
        FLOAT32,
    ),
    pure("huber_loss", "remembers how often it was called", "form", "nondeterministic", Remembering(), FLOAT32),
    pure("smooth_l1_loss", "has dropout", "form", "random", Dropping, FLOAT32),
    pure(BCE, "jitters the logits", "form", "random", jittered, FLOAT32),
    pure(
        "poisson_nll_loss",
        "draws a number that it does not use",
        "form",
        "random",
        lambda a: a.torch() + 0 * torch.rand(()).to(a.input.dtype),
        FLOAT32,
    ),
    pure("soft_margin_loss", "seeds the generator of torch", "form", "global state", reseeded, FLOAT32),
    pure("l1_loss", "sets the default dtype", "form", "global state", in_default_dtype, FLOAT32),
    pure("huber_loss", "leaves gradients off", "form", "global state", without_gradients, FLOAT32),
    pure("hinge_embedding_loss", "replaces a function of torch", "form", "global state", patched, FLOAT32),
    pure("nll_loss", "jitters the scores", "form", "random", jittered, FLOAT32),
    pure(CE, "depends on how the batch is spread", "laws", "law", standardised, FLOAT32, reproduces=False),
    pure("l1_loss", "mixes in the neighbouring row", "laws", "law", with_neighbours, FLOAT32, reproduces=False),
    pure(
        "triplet_margin_loss",
        "mixes in the neighbouring row",
        "laws",
        "law",
        with_neighbours,
        FLOAT32,
        reproduces=False,
    ),
    pure("kl_div", "mixes in the neighbouring row", "laws", "law", with_neighbours, FLOAT32, reproduces=False),
    layout(
        CE,
        "reshapes (N, C, d) without moving the classes",
        "reductions",
        "layout",
        flattened,
        "float64",
    ),
    layout("mse_loss", "takes memory for rows", "reductions", "layout", by_stride, FLOAT32),
    layout(
        "huber_loss",
        "turns the rows of a matrix round",
        "reductions",
        "layout",
        lambda a: a.reduced(v.flip(0) if (v := a.rows()).ndim == 2 else v),
        FLOAT32,
    ),
)
