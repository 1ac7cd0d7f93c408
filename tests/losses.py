"""Losses that nobody here would ship, and sound forms of them, as a user would write them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def reduced(value: torch.Tensor, reduction: str) -> torch.Tensor:
    return {"none": lambda: value, "mean": value.mean, "sum": value.sum}[reduction]()


def naive_bce(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    p = torch.sigmoid(input)
    return reduced(-(target * torch.log(p) + (1 - target) * torch.log(1 - p)), reduction)


def sound_bce(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced(-(target * F.logsigmoid(input) + (1 - target) * F.logsigmoid(-input)), reduction)


class SoundBCE(torch.nn.Module):
    """A class: parameters go to ``__init__``."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return sound_bce(logits, labels, self.reduction)


def only_mean(input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return sound_bce(input, target, "mean")


class _CrossEntropy(torch.autograd.Function):
    """The lead of the top class, and log1p of what the others add to it; nothing is a difference of near equals."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        top = input.argmax(dim=-1, keepdim=True)
        gap = input.gather(-1, top) - input
        e = torch.exp(-gap)
        tail = e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)
        picked = target[:, None]
        push = torch.where(picked == top, tail / (1 + tail), 1 - (e / (1 + tail)).gather(-1, picked))
        ctx.save_for_backward(e / (1 + tail), push, picked)
        return (gap.gather(-1, picked) + torch.log1p(tail)).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        probability, push, picked = ctx.saved_tensors
        return probability.scatter(-1, picked, -push) * upstream[:, None], None


def log1p_cross_entropy(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    if input.ndim != 2:
        raise NotImplementedError(f"input: expected (N, C), got {tuple(input.shape)}")
    return reduced(_CrossEntropy.apply(input, target), reduction)


def unshifted_cross_entropy(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    value = torch.log(torch.exp(input).sum(dim=-1)) - input.gather(-1, target[:, None]).squeeze(-1)
    return reduced(value, reduction)


def wrong_constant_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced(1.001 * (input - target) ** 2, reduction)


def broadcasting_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced((input[:, None] - target) ** 2, reduction)


def mutating_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    result = reduced((input - target) ** 2, reduction)
    target.detach().add_(1)
    return result


def noisy_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced((input - target) ** 2 + 0 * torch.rand(()), reduction)


def detached_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced((input - target.detach()) ** 2, reduction)


def upcasting_mse(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced((input.double() - target.double()) ** 2, reduction)


def mse_of_three(input: torch.Tensor, target: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    return ((input - target) / temperature) ** 2


not_a_loss = 3


def half_clamped_bce(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Clamps log(input) at -100 as documented, but not log(1 - input)."""
    rest = torch.where(target == 1, torch.zeros_like(input), (1 - target) * torch.log1p(-input))
    value = -(target * torch.log(input).clamp(min=-100) + rest)
    return value if reduction == "none" else getattr(value, reduction)()


class ClampedLogarithm(torch.autograd.Function):
    """max(log x, -100) whose gradient is 0 where it is clamped."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        value = torch.log(x)
        context.save_for_backward(x, value)
        return value.clamp(min=-100)

    @staticmethod
    def backward(context: Any, *upstream: torch.Tensor) -> torch.Tensor:
        x, value = context.saved_tensors
        return torch.where(value < -100, torch.zeros_like(x), upstream[0] / x)


def clamped_bce(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """As documented throughout: a clamped term has no gradient."""
    log, rest = ClampedLogarithm.apply(input), ClampedLogarithm.apply(1 - input)
    value = -(target * log + (1 - target) * rest)
    return value if reduction == "none" else getattr(value, reduction)()
