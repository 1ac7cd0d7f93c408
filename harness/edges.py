"""The exact points at which losses break: nothing, everything, a perfect prediction, vectors that are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.cases import Batch
from harness.contract import Contract
from harness.domain import Arg, Box, Choice, ClassIndex, Embedding, Interval, Logits
from harness.domain.kind import over_rows
from harness.ulp import Precision

CONSTANTS = (0.0, 1.0)
UNIT_SQUARE = (0.0, 0.0, 1.0, 1.0)
"""One box twice, with a corner whose coordinates multiply to 0."""
FREE = (Interval, Choice, ClassIndex, Logits, Embedding)
"""Kinds whose entries are legal one by one."""


IGNORED = "all targets ignored"


def all_ignored(contract: Contract, batch: Batch) -> npt.NDArray[np.bool_]:
    """Rows in which a class index is the ignored one everywhere: a mean over what is left is 0 / 0."""
    found = np.zeros(batch.rows(contract), np.bool_)
    for arg in contract.args:
        if isinstance(arg.kind, ClassIndex) and arg.name in batch.args:
            found |= over_rows(batch.args[arg.name] == contract.ignores)
    return found


def _ignoring(contract: Contract, batch: Batch) -> dict[str, Any]:
    """The class index with the ignored one everywhere; nothing where several may be meant, as of the law of it."""
    targets = [a.name for a in contract.args if isinstance(a.kind, ClassIndex) and a.name in batch.args]
    if contract.ignores is None or len(targets) != 1:
        return {}
    return {n: np.full_like(batch.args[n], contract.ignores) for n in targets}


def _constant(arg: Arg, values: Any, constant: float, precision: Precision, ignored: int | None) -> Any:
    """The argument with one number everywhere; None where the kind does not have it, or where it is ignored."""
    if not isinstance(arg.kind, FREE) or (isinstance(arg.kind, ClassIndex) and constant == ignored):
        return None
    whole = np.full_like(values, constant)
    return whole if bool(arg.kind.legal_rows(whole, precision).all()) else None


def _pairs(contract: Contract, batch: Batch) -> Iterator[tuple[Arg, Arg]]:
    """Arguments of which one may be the other."""
    real = [a for a in contract.args if a.name in batch.args and not a.kind.integral and a.role != "weight"]
    for i, first in enumerate(real):
        for second in real[i + 1 :]:
            a, b = batch.args[first.name], batch.args[second.name]
            if a.shape == b.shape and bool(first.kind.legal_rows(b, batch.precision).all()):
                yield first, second


def _axis(values: Any, length: float) -> Any:
    """Every vector along the first axis: cosines of such vectors are 1 and -1 without rounding."""
    found = np.zeros_like(values)
    found[..., 0] = length
    return found


def edges(contract: Contract, batch: Batch) -> Iterator[tuple[str, Batch]]:
    """(what is special, the batch made so), each for the arguments that can be."""

    def made(says: str, args: dict[str, Any]) -> tuple[str, Batch]:
        whole = {**batch.args, **args}
        return says, replace(
            batch, args=contract.arrange(whole, batch.parameters) if contract.arrange is not None else whole
        )

    groups = {
        "inputs": [a for a in contract.args if a.role == "input"],
        "targets": [a for a in contract.args if a.role == "target"],
        "weights": [a for a in contract.args if a.role == "weight"],
    }
    groups["arguments"] = list(contract.args)
    for what, members in groups.items():
        for constant in CONSTANTS:
            found = {
                a.name: _constant(a, batch.args[a.name], constant, batch.precision, contract.ignores)
                for a in members
                if a.name in batch.args
            }
            args = {name: values for name, values in found.items() if values is not None}
            if args:
                yield made(f"all {what} {constant:g}: {', '.join(args)}", args)
    if ignoring := _ignoring(contract, batch):
        yield made(f"{IGNORED}: {', '.join(ignoring)}", ignoring)
    for first, second in _pairs(contract, batch):
        yield made(f"{first.name} is {second.name}", {first.name: batch.args[second.name].copy()})
    boxes = [a.name for a in contract.args if isinstance(a.kind, Box) and a.name in batch.args]
    args = {name: np.broadcast_to(UNIT_SQUARE, batch.args[name].shape).copy() for name in boxes}
    if len(args) > 1:
        yield made(f"all boxes the unit square: {', '.join(args)}", args)
    vectors = [
        a.name
        for a in contract.args
        if isinstance(a.kind, Embedding) and a.dims and bool(np.all(a.kind.legal(np.array([-1.0, 1.0]))))
    ]
    args = {name: _axis(batch.args[name], 1.0) for name in vectors if name in batch.args}
    if len(args) > 1:
        yield made(f"all vectors along one axis: {', '.join(args)}", args)
        turned = next(iter(args))
        yield made(f"{turned} against the other vectors", {**args, turned: _axis(batch.args[turned], -1.0)})
