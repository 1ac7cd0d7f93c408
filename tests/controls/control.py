"""A Control: a loss with one planted defect, and the check that must say so."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness import registry
from harness.binding import Subject
from harness.contract import Contract

OF_TORCH = tuple(dict.fromkeys(s.contract.name for s in registry.subjects() if s.origin == "torch"))
"""Contracts of losses that torch has."""


@cache
def builtin(like: str) -> Subject:
    """torch's own loss of a Contract."""
    found = registry.functional(contract(like))
    assert found is not None, like
    return found


@cache
def contract(like: str) -> Contract:
    return registry.contracts()[like]


class Call:
    """One call as the Contract names it: tensors, parameters and reduction by attribute; None for an absent tensor."""

    def __init__(self, like: str, given: dict[str, Any]) -> None:
        self.like, self.given = like, given

    def __getattr__(self, name: str) -> Any:
        return self.given[name]

    def torch(self, **changed: Any) -> Tensor:
        """What torch's loss gives, with other arguments where they are named."""
        given = {**self.given, **changed}
        like = contract(self.like)
        tensors = {a.name: given[a.name] for a in like.args if given[a.name] is not None}
        parameters = {p.name: given[p.name] for p in like.parameters}
        result: Tensor = builtin(self.like).call(tensors, parameters, given.get("reduction", "none"))
        return result

    def rows(self, **changed: Any) -> Tensor:
        """torch's unreduced loss."""
        return self.torch(**changed, reduction="none")

    def reduced(self, value: Tensor) -> Tensor:
        """The unreduced loss reduced as most losses are."""
        reduction = self.given.get("reduction", "none")
        if reduction == "batchmean":
            return value.sum() / (len(value) if value.ndim else 1)
        return {"none": lambda: value, "mean": value.mean, "sum": value.sum}[reduction]()

    def weighted(self, value: Tensor) -> Tensor:
        """The unreduced loss times its weight, reduced."""
        return self.reduced(value if self.weight is None else self.weight * value)

    def real(self) -> dict[str, Tensor]:
        """The tensors of real numbers."""
        tensors = {a.name: self.given[a.name] for a in contract(self.like).args}
        return {n: t for n, t in tensors.items() if t is not None and t.is_floating_point()}


Edit = Callable[[Call], Tensor]


def signature(like: str) -> inspect.Signature:
    """The Contract's tensors, parameters with their defaults, and ``reduction`` where torch's loss has it."""
    args = contract(like).args
    some = next((i for i, a in enumerate(args) if a.optional), len(args))
    required = [a.name for a in args[:some]]
    # What follows an optional tensor may be absent too: an adaptive softmax has one cluster or two.
    defaults: dict[str, Any] = {a.name: None for a in args[some:]}
    defaults |= {p.name: p.values[0] for p in contract(like).parameters}
    if builtin(like).reductions:
        defaults["reduction"] = "mean"
    plain, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [inspect.Parameter(n, plain) for n in required]
        + [inspect.Parameter(n, keyword, default=v) for n, v in defaults.items()]
    )


def planted(like: str, edit: Edit) -> Callable[..., Tensor]:
    """A loss function with the signature of the Contract that does what ``edit`` makes of a call."""
    known = signature(like)

    def loss(*args: Any, **keywords: Any) -> Tensor:
        bound = known.bind(*args, **keywords)
        bound.apply_defaults()
        return edit(Call(like, dict(bound.arguments)))

    loss.__signature__ = known  # type: ignore[attr-defined]
    loss.__name__ = loss.__qualname__ = "planted"
    return loss


class _Bent(torch.autograd.Function):
    """The identity, with the gradient that ``bend(upstream, input)`` gives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bend: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bend = bend
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.bend(upstream[0], ctx.saved_tensors[0]), None


def bent(x: Tensor, bend: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``x`` with a gradient of one's own: what is wrong with a hand-written backward."""
    return _Bent.apply(x, bend)  # type: ignore[no-any-return,no-untyped-call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A loss with one defect."""

    name: str
    """What is wrong, as it would end a sentence that starts with the loss; unique together with ``like``."""
    like: str
    family: str
    loss: Callable[..., Any]
    check: str
    """The check that must flag it."""
    shows: str
    """The kind of finding that must be among what the check finds."""
    dtype: str | None = None
    """Where it must show; None for any dtype."""
    effort: str = "quick"
    severity: str = "fails"
    """``fails`` under strict; or ``note``, of what a user may have chosen."""
    reproduces: bool = True
    """Whether the printed lines show it; not what is wrong only in the company of many other rows."""

    @property
    def id(self) -> str:
        return f"{self.like}: {self.name}"


def control(
    family: str,
    like: str,
    name: str,
    check: str,
    shows: str,
    loss: Edit | type | torch.nn.Module,
    dtype: str | None = None,
    **more: Any,
) -> Control:
    """One row of a table; a function is what becomes of a call, a class or a Module the loss itself."""
    whole = isinstance(loss, (type, torch.nn.Module))
    return Control(
        name=name,
        like=like,
        family=family,
        loss=loss if whole else planted(like, loss),  # type: ignore[arg-type]
        check=check,
        shows=shows,
        dtype=dtype,
        **more,
    )
