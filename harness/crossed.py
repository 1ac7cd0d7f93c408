"""Silent broadcasting: every example of one argument met with every example of the others, found without an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.domain import Arg
from harness.evaluate import observe, singly
from harness.ulp import FLOAT64, Array

ROWS = 5
"""Few, since each is met with each; no size that arguments often have."""
NEAR = 1e-5
"""Relative difference within which two results are the same, of calm rows in float64; a loss may widen to float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """What is seen of a loss that crosses its examples."""

    says: str
    batch: Batch
    want: Array
    got: Array


def crossed(subject: Subject, batch: Batch) -> Crossed | None:
    """Whether the result of some rows is that of all their pairs; none where it is that of the rows."""
    contract = subject.contract
    shown = batch.take(contract, slice(0, ROWS))
    few = replace(shown, precision=FLOAT64)
    args = [a for a in contract.args if a.name in few.args and a.role != "weight" and not a.shared]
    if contract.coupled or few.rows(contract) < ROWS or len(args) < 2:
        return None
    whole = observe(subject, few, gradients=False).value
    alone = singly(subject, few)
    if whole is None or alone is None or not np.isfinite(alone).all():
        return None
    if any(_near(whole, want) for want in (alone, *_reduced(alone))):
        return None
    for arg in args[:-1] if len(args) == 2 else args:
        pairs = _pairs(subject, few, arg)
        if pairs is not None and any(_near(whole, want) for want in _of_pairs(pairs)):
            return Crossed(says=_said(few, arg, args), batch=shown, want=alone, got=whole)
    return None


def _pairs(subject: Subject, batch: Batch, arg: Arg) -> Array | None:
    """(i, j) -> the loss of one argument from row i and all others from row j."""
    rows = batch.rows(subject.contract)
    own, others = np.repeat(np.arange(rows), rows), np.tile(np.arange(rows), rows)
    met = batch.take(subject.contract, others)
    met = replace(met, args={**met.args, arg.name: batch.args[arg.name][own]})
    values = singly(subject, met)
    return None if values is None or not np.isfinite(values).all() else values.reshape(rows, rows)


def _reduced(values: Array) -> Iterator[Array]:
    yield values.mean(keepdims=True)
    yield values.sum(keepdims=True)


def _of_pairs(pairs: Array) -> Iterator[Array]:
    for array in (pairs, pairs.T):
        yield array
        yield array.sum(axis=1)
        yield array.mean(axis=1)
    yield pairs.mean(keepdims=True)
    yield pairs.sum(keepdims=True)


def _near(got: Array, want: Array) -> bool:
    if got.size != want.size:
        return False
    one, other = got.ravel(), want.ravel()
    return bool((np.abs(one - other) <= NEAR * np.maximum(np.abs(one), np.abs(other))).all())


def _said(batch: Batch, arg: Arg, args: list[Arg]) -> str:
    shapes = {a.name: batch.args[a.name].shape for a in args}
    others = [a.name for a in args if a is not arg]
    met = ", ".join(f"{name} of shape {shapes[name]}" for name in others)
    hint = (
        "bring both to one shape, as with squeeze(-1), before they are combined"
        if len(set(shapes.values())) > 1
        else "one of them has an axis more inside the loss"
    )
    return (
        f"silent broadcasting: {arg.name} of shape {shapes[arg.name]} and {met} become {ROWS} x {ROWS} numbers, "
        f"every {arg.name} against every {' and '.join(others)}: {hint}"
    )
