"""Tensors that a loss holds: what is learned and its buffers follow the dtype of a call, as by ``Module.to``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor


def called(
    loss: Any, args: tuple[Any, ...], keywords: Mapping[str, Any], dtype: torch.dtype | None, **learned: Tensor
) -> Any:
    """The result of one call, in which floating buffers and parameters of a Module are of ``dtype``.

    After it they are what they were, and what the call wrote into a buffer is in it. ``learned`` stand in for
    parameters.
    """
    if isinstance(loss, partial):
        return called(loss.func, (*loss.args, *args), {**loss.keywords, **keywords}, dtype, **learned)
    if not isinstance(loss, torch.nn.Module):
        return loss(*args, **keywords)
    own = {**dict(loss.named_parameters()), **dict(loss.named_buffers())}
    given = {n: t.to(dtype) for n, t in own.items() if n not in learned and _differs(t, dtype)}
    if not given and not learned:
        return loss(*args, **keywords)
    before = {n: (t, t._version) for n, t in given.items()}
    state = {**learned, **given}
    try:
        return torch.func.functional_call(loss, state, args, dict(keywords))
    finally:
        for name, (tensor, version) in before.items():
            if state[name] is not tensor or tensor._version != version:
                owner, _, leaf = name.rpartition(".")
                _write(loss.get_submodule(owner), leaf, state[name], own[name])


def _differs(tensor: Tensor, dtype: torch.dtype | None) -> bool:
    return dtype is not None and tensor.is_floating_point() and tensor.dtype != dtype


def _write(owner: torch.nn.Module, name: str, new: Tensor, old: Tensor) -> None:
    """A buffer that the call changed, in the dtype that it had."""
    if name in owner._buffers:
        owner._buffers[name] = new.to(old.dtype)


def dtype_of(tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The floating dtype that a call is in."""
    return next((t.dtype for t in tensors.values() if t.is_floating_point()), None)


def holds(loss: Any) -> bool:
    """Whether a Module has floating tensors that follow the dtype."""
    loss = unwrapped(loss)
    return isinstance(loss, torch.nn.Module) and any(map(_fixed, (*loss.parameters(), *loss.buffers())))


def unwrapped(loss: Any) -> Any:
    """What functools.partial fixes options of."""
    return unwrapped(loss.func) if isinstance(loss, partial) else loss


def hint(loss: Any) -> str:
    """What to do about floating tensors that do not follow: attributes of a Module, what a function closes over."""
    loss = unwrapped(loss)
    if own := [n for n, v in _attributes(loss).items() if _fixed(v)]:
        name = own[0]
        return (
            f"; {type(loss).__name__}.{name} is a tensor that Module.to(dtype) leaves as it is: make it a buffer, "
            f"self.register_buffer({name!r}, ...), or convert it where it is used, self.{name}.to(input.dtype)"
        )
    if used := [n for n, v in _closed_over(loss).items() if _fixed(v)]:
        name = used[0]
        return f"; {name} is a tensor of one dtype: convert it where it is used, {name}.to(input.dtype)"
    return ""


def _fixed(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _attributes(loss: Any) -> dict[str, Any]:
    if inspect.isroutine(loss):
        return {}
    parts = loss.modules() if isinstance(loss, torch.nn.Module) else [loss]
    return {n: v for part in parts for n, v in getattr(part, "__dict__", {}).items()}


def _closed_over(loss: Any) -> dict[str, Any]:
    function = loss if inspect.isroutine(loss) else getattr(type(loss), "forward", type(loss).__call__)
    try:
        found = inspect.getclosurevars(function)
    except TypeError:
        return {}
    return {**found.globals, **found.nonlocals}
