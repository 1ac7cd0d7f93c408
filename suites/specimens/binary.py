"""Losses of one decision: hinge and focal losses, and the usual ways to write binary cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from suites.specimens.specimen import Specimen, reduced

Tensor = torch.Tensor
WRONG = -50.0
"""Below it sigmoid(z) is nothing beside 1 in any dtype."""

# -- margins -----------------------------------------------------------------------------------------------------------


def hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """What lacks to 1, clamped."""
    return reduced(torch.clamp(1.0 - target * input, min=0.0), reduction)


class HingeLoss(torch.nn.Module):
    """The same with relu."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return reduced(F.relu(1.0 - output * target), self.reduction)


def _lacking(gap: Tensor) -> Tensor:
    """max(gap, 0), whose gradient is nan where the gap is."""
    live = torch.where(gap.isnan(), gap, 1.0).detach()
    return torch.where(gap <= 0, 0.0, gap * live)


def guarded_hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """A branch that keeps nan, in the gradient too."""
    return reduced(_lacking(1.0 - target * input), reduction)


def squared_hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The square of what lacks to 1, clamped."""
    return reduced(torch.clamp(1.0 - target * input, min=0.0) ** 2, reduction)


def guarded_squared_hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """A branch that keeps nan, in the gradient too."""
    return reduced(_lacking(1.0 - target * input).square(), reduction)


# -- focal losses ------------------------------------------------------------------------------------------------------


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """What is missed as 1 - p_t, in which a probability close to 1 has lost it."""
    p = torch.sigmoid(inputs)
    cross_entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    loss = cross_entropy * ((1 - p_t) ** gamma)
    return reduced((alpha * targets + (1 - alpha) * (1 - targets)) * loss, reduction)


class FocalLoss(torch.nn.Module):
    """What is missed as 1 - exp(-cross_entropy), one weight for both labels."""

    def __init__(self, alpha: float = 1.0, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.gamma, self.reduction = alpha, gamma, reduction

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        cross_entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = torch.exp(-cross_entropy)
        return reduced(self.alpha * (1 - p_t) ** self.gamma * cross_entropy, self.reduction)


def _power(base: Tensor, gamma: float) -> Tensor:
    """base**gamma of a base of at least 0, whose gradient at 0 is 0 and not infinite where gamma is below 1."""
    if gamma == 0.0:
        return torch.ones_like(base)
    gone = base == 0
    return torch.where(gone, 0.0, torch.where(gone, 1.0, base) ** gamma)


def _focused(input: Tensor, target: Tensor, gamma: float) -> Tensor:
    """sigmoid(-z)**gamma softplus(-z), z the logit turned to the side of its label.

    Where z is below WRONG that is -z to a rounding, and the product rule would multiply a large loss by 0.
    """
    z = (2.0 * target - 1.0) * input
    far = z < WRONG
    near = torch.where(far, WRONG, z)
    return torch.where(far, -z, _power(torch.sigmoid(-near), gamma) * -F.logsigmoid(near))


def _of_labels(loss: Tensor, target: Tensor, alpha: float) -> Tensor:
    return torch.where(target == 1, alpha * loss, (1.0 - alpha) * loss)


def stable_sigmoid_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """What is missed as sigmoid(-z), positives weighed by alpha."""
    return reduced(_of_labels(_focused(input, target, gamma), target, alpha), reduction)


def stable_scalar_alpha_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 1.0, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """What is missed as sigmoid(-z), one weight for both labels."""
    return reduced(alpha * _focused(input, target, gamma), reduction)


def binary_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Probabilities clamped away from 0 and 1."""
    p = input.clamp(1e-7, 1.0 - 1e-7)
    positive = -alpha * target * (1.0 - p) ** gamma * torch.log(p)
    negative = -(1.0 - alpha) * (1.0 - target) * p**gamma * torch.log(1.0 - p)
    return reduced(positive + negative, reduction)


class BinaryFocalLoss(torch.nn.Module):
    """A small number inside the logarithm."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.gamma, self.eps, self.reduction = alpha, gamma, eps, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        p_t = torch.where(target == 1, input, 1.0 - input)
        alpha_t = self.alpha * target + (1.0 - self.alpha) * (1.0 - target)
        return reduced(-alpha_t * (1.0 - p_t) ** self.gamma * torch.log(p_t + self.eps), self.reduction)


def stable_binary_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Tensor:
    """Each logarithm of a constant where the label is the other one, log1p of a negative."""
    positive, p = target == 1, input + 0.0  # -0 is 0
    miss = torch.where(positive, 1.0 - p, p)
    loss = -torch.log(torch.where(positive, p, 1.0)) - torch.log1p(-torch.where(positive, 0.0, p))
    return reduced(_of_labels(_power(miss, gamma) * loss, target, alpha), reduction)


# -- binary cross-entropy ----------------------------------------------------------------------------------------------


def cross_entropy_of_sigmoid(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The textbook: a sigmoid, then two logarithms."""
    p = torch.sigmoid(input)
    return reduced(-(target * torch.log(p) + (1.0 - target) * torch.log(1.0 - p)), reduction)


def cross_entropy_with_eps(input: Tensor, target: Tensor, eps: float = 1e-7, reduction: str = "mean") -> Tensor:
    """A small number inside both logarithms."""
    return reduced(-(target * torch.log(input + eps) + (1.0 - target) * torch.log(1.0 - input + eps)), reduction)


def bce_of_sigmoid(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """torch.nn.BCELoss after torch.nn.Sigmoid."""
    return F.binary_cross_entropy(torch.sigmoid(input), target, reduction=reduction)


def two_logits(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Of the classes 0 and 1, whose scores are 0 and the logit."""
    log_p = F.log_softmax(torch.stack([torch.zeros_like(input), input], dim=-1), dim=-1)
    return reduced(-(target * log_p[..., 1] + (1 - target) * log_p[..., 0]), reduction)


def cross_entropy_of_logsigmoid(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Both logarithms by logsigmoid, whose digits are those of the smaller probability."""
    return reduced(-(target * F.logsigmoid(input) + (1.0 - target) * F.logsigmoid(-input)), reduction)


class _OfProbability(torch.autograd.Function):
    """log and log1p, each only where its label has a share, with (p - t) / (p (1 - p)) for the gradient."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        p = input + 0.0  # -0 is 0
        log, rest = torch.log(p), torch.log1p(-p)
        ctx.save_for_backward(p, target, log, rest)
        return -(
            torch.where(target == 0, 0.0 * p, target * log) + torch.where(target == 1, 0.0 * p, (1 - target) * rest)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        p, target, log, rest = ctx.saved_tensors
        soft = (p - target) / p / (1 - p)
        slope = torch.where(target == 0, 1 / (1 - p), torch.where(target == 1, -1 / p, soft))
        return upstream * slope, upstream * (rest - log)


def cross_entropy_of_both_logarithms(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """A label that has no share is not multiplied by its logarithm."""
    return reduced(_OfProbability.apply(input, target), reduction)


SPECIMENS = (
    Specimen(
        loss=hinge_loss,
        like="hinge_loss",
        form="usual",
        source="clamp(1 - target * input, min=0)",
        shows={"nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=HingeLoss,
        like="hinge_loss",
        form="usual",
        source="relu(1 - output * target)",
        shows={"nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(loss=guarded_hinge_loss, like="hinge_loss", form="sound", grade="few-ulp", source="a branch"),
    Specimen(
        loss=squared_hinge_loss,
        like="squared_hinge_loss",
        form="usual",
        source="the clamped hinge, squared",
        shows={"nonfinite": ("finite-for-nan",), "special": ("finite-for-nan",)},
    ),
    Specimen(
        loss=guarded_squared_hinge_loss,
        like="squared_hinge_loss",
        form="sound",
        grade="few-ulp",
        source="a branch, squared",
    ),
    Specimen(
        loss=sigmoid_focal_loss,
        like="sigmoid_focal_loss",
        form="usual",
        source="the form of torchvision.ops.sigmoid_focal_loss",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "vanished"),
            "special": ("nan",),
        },
    ),
    Specimen(
        loss=stable_sigmoid_focal_loss,
        like="sigmoid_focal_loss",
        form="sound",
        grade="reference",
        source="1 - p_t = sigmoid(-z), log(p_t) = logsigmoid(z)",
    ),
    Specimen(
        loss=FocalLoss,
        like="sigmoid_focal_loss_scalar_alpha",
        form="usual",
        source="the module most often copied: p_t = exp(-cross_entropy)",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan", "vanished"),
            "special": ("nan",),
        },
    ),
    Specimen(
        loss=stable_scalar_alpha_focal_loss,
        like="sigmoid_focal_loss_scalar_alpha",
        form="sound",
        grade="reference",
        source="1 - p_t = sigmoid(-z), log(p_t) = logsigmoid(z)",
    ),
    Specimen(
        loss=binary_focal_loss,
        like="binary_focal_loss",
        form="usual",
        source="the form of Keras collections: clamped probabilities, a sum of two terms",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf", "nan", "vanished"),
            "laws": ("law",),
            "nonfinite": ("finite-for-nan",),
            "special": ("absolute-only", "finite-for-inf", "nan", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=BinaryFocalLoss,
        like="binary_focal_loss",
        form="usual",
        source="a module with 1e-8 inside the logarithm",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf", "nan", "overflow", "vanished"),
            "laws": ("law",),
            "nonfinite": ("unstable",),
            "reductions": ("unstable",),
            "special": ("absolute-only", "finite-for-inf", "unstable"),
        },
    ),
    Specimen(
        loss=stable_binary_focal_loss,
        like="binary_focal_loss",
        form="sound",
        grade="reference",
        gradient="mixed-stable",
        source="log and log1p, each of its own label",
    ),
    Specimen(
        loss=cross_entropy_of_sigmoid,
        like="binary_cross_entropy_with_logits",
        form="usual",
        source="the textbook formula of logistic regression",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "special": ("nan", "overflow"),
        },
    ),
    Specimen(
        loss=bce_of_sigmoid,
        like="binary_cross_entropy_with_logits",
        form="usual",
        source="torch.nn.BCELoss after torch.nn.Sigmoid",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "vanished"),
            "laws": ("law",),
            "special": ("nan", "overflow", "raised", "unstable", "vanished"),
        },
    ),
    Specimen(
        loss=two_logits,
        like="binary_cross_entropy_with_logits",
        form="usual",
        source="log_softmax of 0 and the logit",
        shows={"value": ("absolute-only",), "gradient": ("absolute-only",), "range": ("vanished",)},
    ),
    Specimen(
        loss=cross_entropy_of_logsigmoid,
        like="binary_cross_entropy_with_logits",
        form="sound",
        grade="reference",
        source="logsigmoid of the logit and of its negative",
    ),
    Specimen(
        loss=cross_entropy_of_both_logarithms,
        like="binary_cross_entropy",
        form="sound",
        grade="reference",
        gradient="mixed-stable",
        source="log and log1p, each where its label has a share",
    ),
    Specimen(
        loss=cross_entropy_with_eps,
        like="binary_cross_entropy",
        form="usual",
        source="the textbook formula with 1e-7 inside the logarithms",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("finite-for-inf", "vanished"),
            "laws": ("law",),
            "nonfinite": ("unstable",),
            "reductions": ("unstable",),
            "special": ("absolute-only", "finite-for-inf", "unstable", "vanished"),
        },
    ),
)
