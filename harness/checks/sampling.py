"""Batches for the checks beside accuracy: calm rows, where every sound loss is well-conditioned, and wild ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch
from harness.contract import Contract
from harness.domain import Arg, ClassIndex, Embedding, Interval, Learned, Logits, Setting, Simplex, ignored_index
from harness.generate import Choices, choices, rows_of, seeded, sizes
from harness.ulp import Array, Precision, round_to

SPREAD = 3.0
"""Standard deviation of calm scores."""
WIDE = 64.0
"""Width of an interval from which its numbers are drawn as if its far ends were not there."""
ELEMENTS = 2**15
"""Numbers of one argument in a batch; a vector loss gets fewer rows."""


def settings_of(subject: Subject) -> list[Choices]:
    """The settings that are asked of a Subject; a fixed reduction may divide by weights, so it is given none."""
    found = choices(subject)
    if subject.takes_none or "sum" in subject.reductions:
        return found
    weights = {a.name for a in subject.contract.args if a.role == "weight" and a.optional}
    return [c for c in found if not c.present & weights]


def first_sizes(contract: Contract) -> dict[str, int]:
    return {d: v[0] for d, v in contract.dims.items()}


def fitting(contract: Contract, size: Mapping[str, int], rows: int, least: int = 16) -> int:
    """At most ``rows``, fewer where one row is large."""
    width = max((int(np.prod([size[d] for d in a.dims])) for a in contract.args), default=1)
    return int(np.clip(ELEMENTS // max(width, 1), min(least, rows), rows))


def calm(
    contract: Contract,
    choice: Choices,
    size: Mapping[str, int],
    rows: int,
    rng: np.random.Generator,
    p: Precision,
    *,
    device: str = "cpu",
    interior: bool = False,
) -> Batch:
    """Rows of moderate numbers; ``interior`` keeps labels off the ends of their interval."""
    setting = Setting(precision=p, dims=size, parameters=choice.parameters)
    args: dict[str, npt.NDArray[Any]] = {
        a.name: _calm(a, a.shape(rows, size), rng, setting, interior) for a in contract.args if a.name in choice.present
    }
    if contract.arrange is not None:
        args = contract.arrange(args, choice.parameters)
    return Batch(args=args, parameters=choice.parameters, precision=p, device=device, origin="special")


def _calm(
    arg: Arg, shape: tuple[int, ...], rng: np.random.Generator, setting: Setting, interior: bool
) -> npt.NDArray[Any]:
    kind, p = arg.kind, setting.precision
    x: Array
    if arg.role == "weight" and isinstance(kind, Interval):
        return round_to(p, rng.uniform(0.5, 2.0, shape))
    if isinstance(kind, Interval):
        x = _calm_interval(kind, shape, rng)
        hard = np.array([] if interior else kind.hard)
        if hard.size:
            x = np.where(rng.random(shape) < 0.5, hard[rng.integers(0, hard.size, shape)], x)
    elif isinstance(kind, Logits):
        x = rng.normal(0.0, SPREAD, shape)
    elif isinstance(kind, Learned):
        x = kind.calm(rng, shape, p)
    elif isinstance(kind, Embedding):
        x = rng.normal(0.0, 1.0, shape)
    elif isinstance(kind, Simplex):
        e = np.exp(rng.standard_normal(shape))
        share = e / e.sum(axis=-1, keepdims=True)
        x = np.log(share) if kind.log else share
    else:
        return kind.draw(rng, shape, setting)
    return round_to(p, x)


def _calm_interval(kind: Interval, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    low, high = np.isfinite(kind.low), np.isfinite(kind.high)
    if kind.whole:
        return np.asarray(rng.poisson(3.0, shape) + (kind.low if low else 0.0), np.float64)
    if low and high and kind.high - kind.low <= WIDE:
        return kind.low + (kind.high - kind.low) * rng.uniform(0.05, 0.95, shape)
    if low and not kind.low < -SPREAD:
        return np.minimum(kind.low + np.exp(rng.standard_normal(shape)), kind.high)
    if high and not kind.high > SPREAD:
        return np.maximum(kind.high - np.exp(rng.standard_normal(shape)), kind.low)
    return np.clip(rng.normal(0.0, SPREAD, shape), kind.low, kind.high)


def calm_batches(subject: Subject, p: Precision, device: str, rows: int, salt: str) -> Iterator[Batch]:
    """One calm batch for every setting of parameters and optional tensors, at the first sizes."""
    contract = subject.contract
    size = first_sizes(contract)
    for number, choice in enumerate(settings_of(subject)):
        rng = seeded(contract.name, salt, number, p.name)
        yield calm(contract, choice, size, fitting(contract, size, rows, min(rows, 16)), rng, p, device=device)


def mixed_batches(subject: Subject, p: Precision, device: str, rows: int, salt: str) -> Iterator[Batch]:
    """Rows over the whole domain and, one in four, calm ones, for every setting; sizes take turns."""
    contract = subject.contract
    options = sizes(contract)
    for number, choice in enumerate(settings_of(subject)):
        size = options[number % len(options)]
        rng = seeded(contract.name, salt, number, p.name)
        count = fitting(contract, size, rows)
        wild = rows_of(contract, choice, size, count - count // 4, rng, p, device=device)
        yield joined(contract, wild, calm(contract, choice, size, max(count // 4, 1), rng, p, device=device))


def joined(contract: Contract, first: Batch, second: Batch) -> Batch:
    """The rows of both batches; shared tensors are those of the first."""
    args = {k: v if contract.arg(k).shared else np.concatenate([v, second.args[k]]) for k, v in first.args.items()}
    return replace(first, args=args)


def empty(contract: Contract, batch: Batch) -> Batch:
    """The batch without its rows."""
    return batch.take(contract, slice(0, 0))


def ignoring(contract: Contract) -> Arg | None:
    """The class index that has a value for rows that do not count."""
    return next((a for a in contract.args if isinstance(a.kind, ClassIndex) and a.kind.ignored), None)


def counted(contract: Contract, batch: Batch) -> npt.NDArray[np.bool_]:
    """Rows whose class index is not the ignored one."""
    target, name = ignoring(contract), ignored_by(contract)
    if target is None or name not in batch.parameters:
        return np.ones(batch.rows(contract), np.bool_)
    index = batch.args[target.name]
    here = np.asarray(index != ignored_index(batch.parameters[name])).reshape(len(index), -1)
    return np.asarray(here.all(axis=1))


def ignored_by(contract: Contract) -> str:
    """The parameter that holds the class index of rows that do not count; empty where there is none."""
    target = ignoring(contract)
    return (target.kind.ignored or "") if target is not None and isinstance(target.kind, ClassIndex) else ""
