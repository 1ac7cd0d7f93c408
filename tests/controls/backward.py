"""Right forward, wrong gradient: hand-written backwards that are wrong everywhere or in a regime."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tests.controls.control import OF_TORCH, Control, Edit, bent, contract, control

wrong = partial(control, "gradient only")
BCE = "binary_cross_entropy_with_logits"


def bending(name: str, bend: object) -> Edit:
    """torch's loss with another gradient of one argument."""
    return lambda a: a.torch(**{name: bent(getattr(a, name), bend)})  # type: ignore[arg-type]


def rescaled(name: str, factor: float) -> Edit:
    return bending(name, lambda g, x: g * factor)


def signless(g: Tensor, x: Tensor) -> Tensor:
    return g.abs()


def dead_beyond(limit: float) -> object:
    return lambda g, x: torch.where(x.abs() > limit, torch.zeros_like(g), g)


def forgetful(g: Tensor, x: Tensor) -> Tensor:
    return torch.ones_like(g)


def with_own_rows(like: str) -> bool:
    """Whether a gradient belongs to rows of its own, whose upstream can be told."""
    return any(a.differentiable and not a.shared for a in contract(like).args)


class _OnceOnly(torch.autograd.Function):
    """The square, whose backward detaches what it saved and does not say that it can be used only once."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]
        return x.square()

    @staticmethod
    def backward(ctx: object, *upstream: Tensor) -> Tensor:
        return upstream[0] * 2 * ctx.saved_tensors[0].detach()  # type: ignore[attr-defined, no-any-return]


class _WrongTangent(torch.autograd.Function):
    """The square, whose forward-mode derivative lacks the factor 2."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.square()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)  # type: ignore[attr-defined]
        ctx.save_for_forward(*inputs)  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: object, *upstream: Tensor) -> Tensor:
        return upstream[0] * 2 * ctx.saved_tensors[0]  # type: ignore[attr-defined, no-any-return]

    @staticmethod
    def jvp(ctx: object, *tangents: Tensor) -> Tensor:
        return tangents[0] * ctx.saved_tensors[0]  # type: ignore[attr-defined, no-any-return]


CONTROLS: tuple[Control, ...] = (
    wrong(
        BCE, "has no gradient beyond a logit of 30", "range", "vanished", bending("input", dead_beyond(30.0)), "float32"
    ),
    wrong(BCE, "has a gradient 1 % too large", "gradcheck", "gradcheck", rescaled("input", 1.01)),
    wrong(
        "mse_loss",
        "has its gradient clipped to 1",
        "gradient",
        "unstable",
        bending("input", lambda g, x: g.clamp(-1, 1)),
        "float32",
    ),
    wrong("mse_loss", "lacks the factor 2 in the gradient", "gradcheck", "gradcheck", rescaled("input", 0.5)),
    wrong(
        "mse_loss",
        "lets no gradient flow to the target",
        "gradient",
        "detached",
        lambda a: a.torch(target=a.target.detach()),
        "float32",
    ),
    wrong(
        "mse_loss",
        "saves a detached difference for its backward",
        "gradgradcheck",
        "gradgradcheck",
        lambda a: a.weighted(_OnceOnly.apply(a.input - a.target)),
    ),
    wrong(
        "mse_loss",
        "lacks the factor 2 in forward mode",
        "forward-mode",
        "forward-mode",
        lambda a: a.weighted(_WrongTangent.apply(a.input - a.target)),
    ),
    wrong("l1_loss", "has a signless gradient", "gradient", "unstable", bending("input", signless), "float32"),
    wrong(
        "l1_loss",
        "has nan for the sign of 0",
        "special",
        "nan",
        lambda a: a.weighted(
            bent(a.input - a.target, lambda g, x: g * x / x.abs()) * torch.sign((a.input - a.target).detach())
        ),
        "float64",
    ),
    wrong(
        "huber_loss",
        "goes on with the quadratic gradient beyond delta",
        "gradient",
        "unstable",
        lambda a: a.weighted(a.rows(weight=None).detach() + (q := 0.5 * (a.input - a.target).square()) - q.detach()),
        "float32",
    ),
    wrong(
        "smooth_l1_loss",
        "has no gradient inside beta",
        "gradient",
        "unstable",
        lambda a: a.torch(input=torch.where((a.input - a.target).abs() < a.beta, a.input.detach(), a.input)),
        "float32",
    ),
    wrong(
        "binary_cross_entropy",
        "divides by x (1 - x) + 1e-6 in its backward",
        "gradient",
        "unstable",
        bending("input", lambda g, x: g * x * (1 - x) / (x * (1 - x) + 1e-6)),
        "float32",
    ),
    wrong(
        "kl_div",
        "has a gradient in the prediction half a percent too large",
        "gradient",
        "unstable",
        rescaled("input", 1.005),
        "float32",
    ),
    wrong(
        "kl_div_log_target",
        "treats the target as a constant",
        "gradient",
        "detached",
        lambda a: a.torch(target=a.target.detach()),
        "float32",
    ),
    wrong(
        "poisson_nll_loss",
        "clips the gradient at 1000",
        "gradient",
        "unstable",
        bending("input", lambda g, x: g.clamp(-1000, 1000)),
        "float32",
    ),
    wrong(
        "poisson_nll_loss_rate",
        "has a gradient of the other sign at a count of 0",
        "gradient",
        "unstable",
        lambda a: a.torch(input=torch.where(a.target == 0, bent(a.input, lambda g, x: -g), a.input)),
        "float32",
    ),
    wrong(
        "gaussian_nll_loss",
        "treats the variance as a constant",
        "gradient",
        "detached",
        lambda a: a.torch(var=a.var.detach()),
        "float32",
    ),
    wrong(
        "gaussian_nll_loss",
        "has a gradient in the variance of twice the size",
        "gradcheck",
        "gradcheck",
        rescaled("var", 2.0),
    ),
    wrong(
        "hinge_embedding_loss",
        "has the gradient of label 1 for both labels",
        "gradient",
        "unstable",
        bending("input", signless),
        "float32",
    ),
    wrong(
        "margin_ranking_loss",
        "lets no gradient flow to the second score",
        "gradient",
        "detached",
        lambda a: a.torch(input2=a.input2.detach()),
        "float32",
    ),
    wrong(
        "soft_margin_loss",
        "has no gradient beyond a score of 50",
        "range",
        "vanished",
        bending("input", dead_beyond(50.0)),
        "float32",
    ),
    *(
        wrong(
            like,
            "forgets to multiply by what comes from above",
            "form",
            "upstream",
            lambda a: bent(a.torch(), forgetful),
            "float32",
        )
        for like in OF_TORCH
        if with_own_rows(like)
    ),
)
