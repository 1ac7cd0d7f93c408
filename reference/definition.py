"""The truth of single rows from the definition of a loss in mpmath: it certifies the oracles and judges float64."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from mpmath import mp

from reference.truth import Array, Output, Truth

Definition = Callable[..., tuple[Any, dict[str, Any]]]
"""One row as numbers and nested lists, parameters -> the value and the gradients; a kink as (lowest, highest)."""
Entries = npt.NDArray[np.object_]
"""Numbers of mpmath."""

BITS = 2400
"""Spans the squares of all float64 numbers, 2 * 1074 bits, with digits to spare; twice as many change nothing in 60
digits (tests/test_definitions.py)."""


def defined(
    definition: Definition,
    arguments: Mapping[str, npt.NDArray[Any]],
    parameters: Mapping[str, Any],
    shared: Collection[str] = (),
    bits: int = BITS,
) -> dict[str, tuple[Entries, Entries]]:
    """(lowest, highest) entries of every output, flat, over all rows; gradients of ``shared`` arguments are left out.

    Parameters that the definition does not take are those of the form of a call, such as ``keepdim``.
    """
    takes = inspect.signature(definition).parameters
    every = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    known = {k: v for k, v in parameters.items() if every or k in takes}
    rows = next(len(a) for n, a in arguments.items() if n not in shared)
    ends: dict[str, list[tuple[Any, Any]]] = {}
    with mp.workprec(bits):
        for i in range(rows):
            row = {n: (a if n in shared else a[i]).tolist() for n, a in arguments.items()}
            value, gradients = definition(**row, **known)
            for name, entry in {"value": value, **gradients}.items():
                if name not in shared:
                    ends.setdefault(name, []).extend(_flat(entry))
    return {name: (_objects([low for low, _ in e]), _objects([high for _, high in e])) for name, e in ends.items()}


def _flat(entry: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(entry, list):
        for part in entry:
            yield from _flat(part)
    else:
        yield entry if isinstance(entry, tuple) else (entry, entry)


def _objects(numbers: list[Any]) -> Entries:
    array = np.empty(len(numbers), object)
    array[:] = numbers
    return array


def nearest(entries: Entries, shape: tuple[int, ...]) -> Array:
    """The float64 numbers nearest to numbers of mpmath."""
    return np.array([float(e) for e in entries], np.float64).reshape(shape)


def refined(truth: Truth, ends: Mapping[str, tuple[Entries, Entries]]) -> Truth:
    """``truth`` with the numbers of its definition, correctly rounded, and the scales of its oracle."""
    outputs = {n: _refined(o, *ends[n]) for n, o in truth.outputs().items() if n in ends}
    value = outputs.pop("value")
    return replace(truth, value=value, gradients=outputs)


def _refined(oracle: Output, low: Entries, high: Entries) -> Output:
    shape = oracle.exact.shape
    lowest, highest = nearest(low, shape), nearest(high, shape)
    kinked = lowest != highest
    with np.errstate(invalid="ignore"):
        exact = np.where(kinked, np.clip(oracle.exact, lowest, highest), lowest)
    return replace(oracle, exact=exact, interval=(lowest, highest) if (lowest < highest).any() else None)


def oracle_error(oracle: Output, low: Entries, high: Entries) -> tuple[Array, Array]:
    """(error of an oracle, its ulp of float64 at the running-error scale), entry by entry; inf where a range is wrong.

    At a kink the oracle gives an interval: it must hold the admissible entries, and may be wider where float64 cannot
    tell the two sides apart.
    """
    shape = oracle.exact.shape
    own = oracle.interval or (oracle.exact, oracle.exact)
    with np.errstate(all="ignore"):
        scale = np.fmax(np.abs(oracle.exact), oracle.reference + oracle.accumulation)
        ulp = np.ldexp(1.0, np.frexp(np.where(np.isfinite(scale), scale, _LARGEST))[1] - 53)
    tail = np.broadcast_to(oracle.underflow, shape).ravel() * _SUBNORMAL
    got = [np.broadcast_to(a, shape).ravel() for a in (*own, oracle.exact)]
    error = [
        _error(float(a), float(b), float(e), low[i], high[i], float(tail[i]))
        for i, (a, b, e) in enumerate(zip(*got, strict=True))
    ]
    return np.array(error, np.float64).reshape(shape), np.broadcast_to(np.maximum(ulp, _SUBNORMAL), shape)


_LARGEST = float(np.finfo(np.float64).max)
_SUBNORMAL = float(np.finfo(np.float64).smallest_subnormal)
_EDGE = 2.0**-44
"""Share of the largest number within which an oracle may overflow before its definition does."""


def _error(low: float, high: float, exact: float, least: Any, most: Any, tail: float) -> float:
    if mp.isnan(least):
        return 0.0 if np.isnan(exact) else np.inf
    if np.isnan(exact) or not low <= exact <= high:
        return np.inf
    if low == high:
        return max(_apart(exact, least, tail), _apart(exact, most, tail))
    return max(
        0.0 if low <= least else _apart(low, least, tail),
        0.0 if high >= most else _apart(high, most, tail),
    )


def _apart(got: float, want: Any, tail: float) -> float:
    if not mp.isfinite(want) or abs(want) > _LARGEST or not np.isfinite(got):
        near = abs(got) >= _LARGEST * (1 - _EDGE) and abs(want) >= _LARGEST * (1 - _EDGE)
        return 0.0 if near and np.sign(got) == mp.sign(want) else np.inf
    with mp.workprec(BITS):
        error = abs(mp.mpf(got) - want)
        return 0.0 if error <= tail else float(error)
