"""What the controls of the checks share: sound losses, and a check run on one of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.binding import Subject, bind
from harness.checks import derivatives, form, laws, propagation, reductions, special
from harness.checks.base import Context, Outcome
from harness.contract import Contract
from harness.effort import QUICK
from harness.evaluate import settled
from harness.registry import contract
from harness.ulp import FLOAT32, Precision

MSE, BCE, CE = (contract(n) for n in ("mse_loss", "binary_cross_entropy_with_logits", "cross_entropy"))
RUNS: dict[str, Callable[[Context], Outcome]] = {
    "special": special.special,
    "nonfinite": propagation.nonfinite,
    "reductions": reductions.reductions,
    "laws": laws.laws,
    "form": form.form,
    "gradcheck": derivatives.gradcheck,
    "gradgradcheck": derivatives.gradgradcheck,
    "forward-mode": derivatives.forward_mode,
}
ITEMS: dict[str, Callable[[Subject], tuple[str, ...]]] = {
    "special": special._items,
    "nonfinite": propagation._items,
    "reductions": reductions._items,
    "laws": laws._items,
    "form": form._items,
}


@contextmanager
def hearing_interrupts() -> Iterator[None]:
    """What is started here hears Ctrl-C, even if the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def reduced(value: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return {"none": lambda: value, "mean": value.mean, "sum": value.sum}[reduction]()


def mse(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    if input.shape != target.shape:
        raise ValueError(f"shapes differ: {tuple(input.shape)} and {tuple(target.shape)}")
    return reduced((input - target) ** 2, reduction)


def bce(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    value = (1 - target) * F.softplus(input) + target * F.softplus(-input)
    return reduced(value if weight is None else weight * value, reduction)


def cross_entropy(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    at = (1, -1) if input.ndim > 1 else (0, -1)
    scores = input.movedim(*at)
    kept = target != ignore_index
    clean = torch.where(kept[..., None], scores, torch.zeros_like(scores))
    index = torch.where(kept, target, torch.zeros_like(target))
    value = -torch.log_softmax(clean, -1).gather(-1, index[..., None])[..., 0] * kept
    return reduced(value, reduction) if reduction != "mean" else value.sum() / kept.sum()


def subject(loss: Any, like: Contract, **fields: Any) -> Subject:
    return settled(bind(loss, replace(like, **fields), name="loss", origin="torch"))


def run(check: str, under_test: Subject, item: str = "", precision: Precision = FLOAT32) -> Outcome:
    return RUNS[check](Context(subject=under_test, precision=precision, device="cpu", effort=QUICK, item=item))


def defects(outcome: Outcome) -> list[str]:
    return [f.message for f in outcome.findings if f.severity == "defect"]
