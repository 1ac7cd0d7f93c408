"""How far the rounding of the inputs alone moves the outputs: the part of an error that is nobody's fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.bounds import JOINT_STEPS
from harness.cases import Batch
from harness.contract import Contract
from harness.ulp import Array, step
from reference.truth import Truth

Mask = npt.NDArray[np.bool_]

GROUPS = 64
"""Entries of a row are moved one by one up to this many, beyond in this many groups."""
WIDE, WIDE_GROUPS = 4096, 4
"""Rows wider than this are moved in so few groups: one call of the oracle then costs as much as a thousand rows."""


def _conditioning_args(contract: Contract, batch: Batch) -> list[str]:
    """Real-valued inputs whose rounding the loss may magnify; labels, weights and shared tensors never count."""
    return [
        a.name
        for a in contract.args
        if a.name in batch.args and a.role != "weight" and not a.kind.integral and not a.shared
    ]


def _soft(contract: Contract, name: str, values: Array) -> Mask:
    """Entries that are measurements rather than hard labels."""
    arg = contract.arg(name)
    if arg.role != "target":
        return np.ones(values.shape, np.bool_)
    return ~np.isin(values, getattr(arg.kind, "hard", ()))


def value_conditioning(contract: Contract, batch: Batch, truth: Truth) -> Array:
    """Sum over real inputs of abs(x * df/dx), shape (R,)."""
    rows = truth.value.exact.shape
    total = np.zeros(rows)
    with np.errstate(all="ignore"):
        for name in _conditioning_args(contract, batch):
            gradient = truth.gradients.get(name)
            if gradient is None:
                continue
            x = batch.args[name]
            slope = gradient.exact
            if gradient.interval is not None:
                slope = np.maximum(np.abs(gradient.interval[0]), np.abs(gradient.interval[1]))
            term = np.abs(x * slope)
            term = np.where((x == 0) | np.isnan(term) | ~_soft(contract, name, x), 0.0, term)
            total += term.reshape(len(term), -1).sum(axis=1) if term.ndim > 1 else term
    return total


def _changes(contract: Contract, moved: Batch, truth: Truth, outputs: list[str]) -> dict[str, Array]:
    other = moved.truth(contract)
    changes = {}
    for name in outputs:
        before, after = truth.gradients[name], other.gradients[name]
        ends_before = before.interval or (before.exact, before.exact)
        ends_after = after.interval or (after.exact, after.exact)
        with np.errstate(all="ignore"):
            change = np.maximum(np.abs(ends_after[0] - ends_before[0]), np.abs(ends_after[1] - ends_before[1]))
        changes[name] = np.where(np.isnan(change), 0.0, change)
    return changes


def gradient_conditioning(contract: Contract, batch: Batch, truth: Truth) -> tuple[dict[str, Array], dict[str, Array]]:
    """How far one rounding of an input moves every gradient, summed over the inputs; and how far a joint move does.

    The first is u * sum abs(x_i * d2f), from the oracle at inputs one ordinal away on both sides. The second sees the
    other side of a kink: all inputs move by a few ordinals in the direction in which the loss rises, then falls.
    """
    outputs = [n for n in truth.gradients if not contract.arg(n).shared]
    total = {n: np.zeros(truth.gradients[n].exact.shape) for n in outputs}
    joint = {n: np.zeros(truth.gradients[n].exact.shape) for n in outputs}
    names = _conditioning_args(contract, batch)
    p = batch.precision

    def moved(changes: Mapping[str, Array]) -> dict[str, Array]:
        return _changes(contract, Batch(**{**_fields(batch), "args": {**batch.args, **changes}}), truth, outputs)

    for name in names:
        x = batch.args[name]
        soft = _soft(contract, name, x)
        width = int(np.prod(x.shape[1:]))
        for group in np.array_split(np.arange(width), min(width, GROUPS if width <= WIDE else WIDE_GROUPS)):
            here = np.zeros((1, width), np.bool_)
            here[0, group] = True
            where = soft & np.broadcast_to(here.reshape((1, *x.shape[1:])), x.shape)
            if not where.any():
                continue
            up, down = (moved({name: np.where(where, _within(contract, name, step(p, x, by), x), x)}) for by in (1, -1))
            for n in outputs:
                total[n] += np.maximum(up[n], down[n])
    rising = {}
    for sign in (1, -1):
        for name in names:
            slope = truth.gradients[name].exact if name in truth.gradients else np.zeros(batch.args[name].shape)
            direction = sign * JOINT_STEPS * np.sign(np.nan_to_num(slope)) * np.where(batch.args[name] < 0, 1, 1)
            x = batch.args[name]
            candidate = step(p, x, direction.astype(np.int64))
            rising[name] = np.where(_soft(contract, name, x), _within(contract, name, candidate, x), x)
        change = moved(rising)
        for n in outputs:
            joint[n] = np.maximum(joint[n], change[n])
    return total, joint


def _within(contract: Contract, name: str, moved: Array, x: Array) -> Array:
    """A move never leaves the domain."""
    return np.where(contract.arg(name).kind.legal(moved), moved, x)


def _fields(batch: Batch) -> dict[str, Any]:
    return {f: getattr(batch, f) for f in batch.__dataclass_fields__}
