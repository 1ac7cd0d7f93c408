"""Logits that are confident of the wrong label: where training needs a gradient most."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.cases import Batch
from harness.contract import Contract
from harness.domain import Arg, Choice, Interval, Learned, Length, Logits
from harness.predictions import class_axis, labelled
from harness.ulp import Array

SIZES = (30.0, 60.0, 100.0)
LABELS = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confident:
    """Logits of one size, with the sign that the gradient of every entry should have; 0 where nothing is said."""

    logits: str
    size: float
    batch: Batch
    sign: Array


def pairs(contract: Contract) -> list[tuple[Arg, Arg]]:
    """(logits, labels): labels 0 and 1 of the same shape, or class indices with one dimension less.

    None of a loss with other inputs, which may turn what is right, as times do of events that are not seen; nor with
    lengths: what is beyond them has no gradient.
    """
    pair = labelled([a for a in contract.args if not isinstance(a.kind, Learned)])
    if pair is None or any(isinstance(a.kind, Length) for a in contract.args):
        return []
    logits, labels = pair.prediction, pair.target
    binary = isinstance(labels.kind, Choice) and labels.kind.members == LABELS
    known = labels.role == "target" and (binary or class_axis(logits, labels) is not None)
    return [(logits, labels)] if known and _both_sides(logits) else []


def _both_sides(arg: Arg) -> bool:
    """Scores that reach the smallest of the sizes; a score of no class is a number as far below 0 as above."""
    even = isinstance(arg.kind, Interval) and arg.kind.low == -arg.kind.high
    return (even or isinstance(arg.kind, Logits)) and bool(np.all(arg.kind.legal(np.array(SIZES[:1]))))


def confident_and_wrong(contract: Contract, batch: Batch) -> Iterator[Confident]:
    """The batch with logits of every size on the wrong side of its labels, all of which count."""
    weights = [a.name for a in contract.args if a.role == "weight" and a.name in batch.args]
    batch = replace(batch, args={**batch.args, **{n: np.ones_like(batch.args[n]) for n in weights}})
    for logits, labels in pairs(contract):
        if logits.name not in batch.args or labels.name not in batch.args:
            continue
        x, y = batch.args[logits.name], batch.args[labels.name]
        axis = class_axis(logits, labels)
        sign = _away(x, y, axis) if axis is not None else np.where(y == 1.0, -1.0, 1.0)
        if axis is not None and contract.ignores is not None:
            sign = np.where(np.expand_dims(y == contract.ignores, axis), 0.0, sign)
        for size in SIZES:
            wrong = size * np.maximum(sign, 0.0) if axis is not None else size * sign
            if bool(np.all(logits.kind.legal(wrong))):
                made = replace(batch, args={**batch.args, logits.name: wrong})
                yield Confident(logits=logits.name, size=size, batch=made, sign=sign)


def _away(x: Array, y: Array, axis: int) -> Array:
    """-1 at the class of each index, 1 at the class after it; 0 elsewhere, and where there is no such class."""
    classes = x.shape[axis]
    sign = np.zeros_like(x)
    if classes > 1:
        place = np.expand_dims(y, axis)
        known = (place >= 0) & (place < classes)
        np.put_along_axis(sign, np.where(known, (place + 1) % classes, 0), np.where(known, 1.0, 0.0), axis)
        np.put_along_axis(sign, np.where(known, place, 0), np.where(known, -1.0, 0.0), axis)
    return sign
