"""The global state of the process that a loss has to leave as it is."""

from __future__ import annotations

import builtins
import math
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of global state: how to read it, how to set it, and how a change reads."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    told: Callable[[Any, Any], str] = lambda before, after: f"expected {_short(before)}, got {_short(after)}"
    """Says what changed; empty where that is no change that counts."""


Values = tuple[Any, ...]


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _same(one: Any, other: Any) -> bool:
    """Equal; what cannot be compared, such as a tensor in place of a function, is not."""
    try:
        return one is other or bool(one == other)
    except Exception:
        return False


def values(items: Iterable[Item]) -> Values:
    return tuple([item.get() for item in items])


def put_right(items: tuple[Item, ...], before: Values) -> list[str]:
    """What counts as a difference from ``before``, in words; it is as before again, where that is possible."""
    found = []
    for item, then in zip(items, before, strict=True):
        now = item.get()
        if _same(now, then):
            continue
        if words := item.told(then, now):
            found.append(f"{item.name}: {words}")
            item.put(then)
    return found


def _replace(mapping: Any, wanted: dict[str, Any]) -> None:
    """Change only what differs: everything in between is never missing."""
    for name in [n for n in mapping if n not in wanted]:
        del mapping[name]
    for name, value in wanted.items():
        if mapping.get(name) is not value:
            mapping[name] = value


def _keys(before: dict[str, Any], after: dict[str, Any]) -> str:
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    return f"expected it as it was, got other values of {', '.join(names[:3])}"


_TORCH = Path(torch.__file__).parent


def _by_torch(before: Any, after: Any) -> bool:
    """Whether torch has wrapped a function of its own, as it does where its compiler is imported late."""
    code = getattr(after, "__code__", None)
    return (
        code is not None
        and getattr(after, "__wrapped__", None) is before
        and Path(code.co_filename).is_relative_to(_TORCH)
    )


FOLLOWS = ("__warningregistry__", "Storage")
"""Names that other things change: a warning, the default dtype."""


def _namespace(name: str, owner: Any) -> Item:
    """The functions of a module or class; names that are added, such as modules imported late, are no change."""

    def lost(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        changed = [n for n, v in before.items() if after.get(n, lost) is not v]
        return [n for n in changed if n not in FOLLOWS and not _by_torch(before[n], after.get(n))]

    def told(before: dict[str, Any], after: dict[str, Any]) -> str:
        names = [n for n in lost(before, after) if callable(before[n])]
        words = [f"{name}.{n} {'replaced' if n in after else 'removed'}" for n in names[:3]]
        return f"expected its functions as they were, got {', '.join(words)}" if words else ""

    def put(before: dict[str, Any]) -> None:
        for n in lost(before, dict(vars(owner))):
            if callable(before[n]):
                setattr(owner, n, before[n])

    return Item(name, lambda: vars(owner).copy(), put, told)


def _set_grad_mode(on: bool) -> None:
    torch.set_grad_enabled(on)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its annotation says


_TINY = 5e-324


def _stream(name: str) -> Item:
    return Item(f"sys.{name}", lambda: getattr(sys, name), lambda stream: setattr(sys, name, stream))


_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGALRM", "SIGSEGV") if hasattr(signal, n))


def _handlers() -> dict[Any, Any]:
    return {s: signal.getsignal(s) for s in _SIGNALS}


OF_TORCH = ("TORCHINDUCTOR_", "_TORCHINDUCTOR_")
"""Begin what the compiler of torch sets in the environment."""
RECURSION = 2000
"""The recursion limit that the compiler of torch sets where it is lower."""


def _other_limit(before: int, after: int) -> str:
    return "" if after == max(before, RECURSION) else f"expected {before}, got {after}"


def _of_torch() -> dict[str, str]:
    return {n: v for n, v in os.environ.items() if n.startswith(OF_TORCH)}


def _environment() -> dict[str, str]:
    return {n: v for n, v in os.environ.items() if not n.startswith(OF_TORCH)}


def _set_handlers(handlers: dict[Any, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for s, handler in handlers.items():
            if handler is not None and signal.getsignal(s) is not handler:
                signal.signal(s, handler)


CHEAP = (
    Item("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Item("the number of threads", torch.get_num_threads, torch.set_num_threads),
    Item("grad mode", torch.is_grad_enabled, _set_grad_mode),
    Item(
        "the determinism flag",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
)
"""Asked after every call; a microsecond together."""

NAMESPACES = (
    _namespace("torch", torch),
    _namespace("torch.nn.functional", torch.nn.functional),
    _namespace("torch.Tensor", torch.Tensor),
    _namespace("torch.autograd", torch.autograd),
    _namespace("torch.special", torch.special),
    _namespace("numpy", np),
    _namespace("math", math),
    _namespace("builtins", builtins),
)

STATE = (
    *NAMESPACES,
    *CHEAP,
    Item("matmul precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Item("anomaly mode", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Item("flushing of subnormal numbers", lambda: _TINY * 1.0 == 0.0, torch.set_flush_denormal),
    Item("the error mode of NumPy", np.geterr, lambda mode: np.seterr(**mode)),
    Item("the working directory", os.getcwd, os.chdir),
    Item("the environment", _environment, lambda e: _replace(os.environ, {**_of_torch(), **e}), _keys),
    Item("sys.path", lambda: list(sys.path), _set_path),
    Item("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, _other_limit),
    Item("the signal handlers", _handlers, _set_handlers),
    _stream("stdout"),
    _stream("stderr"),
)
"""Asked after every trial."""


_forks = [0]


def _count_fork() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)


def _numpy_state() -> tuple[list[int], int]:
    found: Any = np.random.get_state()  # noqa: NPY002  the generator that a loss would use
    return found[1].tolist(), found[2]


_SEED = 20_000_003
"""What the generators are set to before a call, so that one that sets its own seed is seen."""

CALL = (
    *STATE,
    Item("the warnings filter", lambda: list(warnings.filters), _set_filters),
    Item("the seed of torch", torch.initial_seed, lambda seed: None),
    Item("Python's random generator", random.getstate, lambda state: None, lambda a, b: "expected it unused"),
    Item(
        "NumPy's random generator",
        _numpy_state,
        lambda state: None,
        lambda a, b: "expected it unused",
    ),
    Item("processes", lambda: _forks[0], lambda count: None, lambda a, b: "expected none, got a forked one"),
    Item(
        "threads",
        lambda: frozenset(t for t in threading.enumerate() if t.is_alive()),
        lambda had: None,
        lambda a, b: "expected none left running, got one" if b - a else "",
    ),
)
"""Asked around one call: other threads of the process may change some of these in the longer run of a trial."""


Generators = tuple[torch.Tensor, Any, Any]


def generators() -> Generators:
    """The states of the random generators of torch, Python and NumPy."""
    return torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002  the one that losses use


def put_generators(states: Generators) -> None:
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])  # noqa: NPY002  the one that losses use


def left_by(call: Callable[[], object]) -> list[str]:
    """What one call leaves changed, in words; everything is as before again, the random generators too."""
    mine = generators()
    torch.manual_seed(_SEED)
    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002
    try:
        before = values(CALL)
        try:
            call()
        finally:
            found = put_right(CALL, before)
    finally:
        put_generators(mine)
    return found
