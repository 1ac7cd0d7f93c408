"""From a failing row to the smallest case and the simplest numbers that still fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.cases import Batch
from harness.contract import Contract
from harness.domain import ClassIndex, Length, MultiLabelIndex, Simplex
from harness.ulp import Array, Precision, round_to

Fails = Callable[[Batch], npt.NDArray[np.bool_]]
"""Which rows of a batch still show the finding."""

ROUNDS = 40
NUMBERS = 2**20
"""Numbers that are judged in all, rows of a thousand classes being dear; simpler numbers are not sought beyond."""
PASSING = NUMBERS // 4
"""The same for what passes unless weaknesses are asked for."""
CALL = 2**11
"""What a call of its own for one row is worth in numbers of a call for many."""
REFERENCE = 2**13
"""The same where the reference too has a call of its own, for the row and for every move of its inputs."""
MOST = 64
"""Entries of a dimension, or numbers of an argument, that are looked at one by one."""
AT_ONCE, GROWTH = {1: 16, CALL: 4, REFERENCE: 1}, 4
"""Rows judged at once, by what a call costs: the simplest first, then so many times as many, but for single ones."""


def one_row(contract: Contract, batch: Batch, shows: Callable[[Batch], bool]) -> Batch:
    """The single row of a batch that is enough to show something, where there is one; else all of the batch."""
    if any(np.ndim(v) == 0 and not contract.arg(k).shared for k, v in batch.args.items()):
        return batch  # a float that stands for an argument has no rows to take
    rows = batch.rows(contract)
    if rows < 2 or batch.layout not in ("rows", "strided"):
        return batch
    if shows(first := batch.take(contract, slice(0, 1))):
        return first
    low, high = 1, rows
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(batch.take(contract, slice(low, middle))) else (middle, high)
    part = batch.take(contract, slice(low, high))
    return part if shows(part) else batch


def complexity(values: npt.NDArray[Any]) -> Array:
    """How hard numbers are to read: significant bits, distance of the exponent from 0, a little for the sign."""
    x = np.asarray(values, np.float64)
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(np.where(np.isfinite(x), x, 0.0))
    whole = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    trailing_zeros = np.where(whole == 0, 53, np.log2(np.maximum(whole & -whole, 1)))
    cost = (53 - trailing_zeros) + np.abs(exponent) / 4 + np.signbit(x) / 2
    return np.where(np.isnan(x), 200.0, np.where(np.isinf(x), 150.0, np.where(x == 0, np.signbit(x) / 2, cost)))


def row_complexity(contract: Contract, batch: Batch) -> Array:
    """Sum of the complexities of all numbers of a row."""
    total = np.zeros(batch.rows(contract))
    for name, array in batch.args.items():
        if not contract.arg(name).shared:
            total += complexity(array).reshape(len(array), -1).sum(axis=1)
    return total


def _simpler(x: float, p: Precision) -> list[float]:
    """Candidates to replace one number, simplest first."""
    candidates = [0.0, 1.0, -1.0, 2.0, 0.5, 10.0, -10.0, 100.0, -100.0]
    if np.isfinite(x) and x != 0:
        with np.errstate(all="ignore"):
            exponent = np.floor(np.log10(abs(x)))
            for digits in (1, 2, 3):
                quantum = 10.0 ** (exponent - digits + 1)
                if quantum > 0 and np.isfinite(quantum):
                    candidates += [float(np.rint(x / quantum) * quantum)]
            mantissa, power = np.frexp(x)
            for bits in (1, 2, 4, 8):
                candidates.append(float(np.ldexp(np.rint(mantissa * 2.0**bits), int(power) - bits)))
            if abs(x) < 2.0**40:
                candidates += [float(np.rint(x)), float(np.trunc(x / 2))]
    rounded = round_to(p, np.array(candidates))
    return [float(v) for v in dict.fromkeys(rounded.tolist()) if np.isfinite(v)]


def _parts(size: int, least: int) -> Iterator[npt.NDArray[np.intp]]:
    """Entries to keep of so many: one, two, either half, all but a quarter, all but an eighth, down to all but one."""
    every = np.arange(size)
    for few in (1, 2):
        if least <= few < size:
            yield every[:few]
    parts = 2
    while parts < 2 * min(size, MOST):
        for piece in np.array_split(every, min(parts, size)):
            if least <= size - len(piece) < size:
                yield np.setdiff1d(every, piece)
        parts *= 2


def _shrunk_dimensions(contract: Contract, batch: Batch) -> list[Batch]:
    """The same row with a named dimension cut to fewer entries, where indices stay valid."""
    results = []
    for dim in contract.dims:
        holders = [a for a in contract.args if dim in a.dims and a.name in batch.args]
        if not holders:
            continue
        first = holders[0]
        axis = first.dims.index(dim) + (not first.shared)
        size = batch.args[first.name].shape[axis]
        if any(batch.args[a.name].shape[a.dims.index(dim) + (not a.shared)] != size for a in holders):
            continue  # an arrangement has cut the dimension to what the parameters say
        least = 1 if len(contract.dims[dim]) > 1 else size  # a dimension of one size, such as the parts of a number
        for kept in _parts(size, least):
            args = dict(batch.args)
            for a in holders:
                args[a.name] = np.take(args[a.name], kept, axis=a.dims.index(dim) + (not a.shared))
            valid = True
            for a in contract.args:
                if a.name in args and isinstance(a.kind, (ClassIndex, MultiLabelIndex)) and a.kind.classes == dim:
                    t = args[a.name]
                    avoided = a.kind.avoid if isinstance(a.kind, ClassIndex) else None
                    blank = None if avoided is None else batch.parameters.get(avoided, 0)
                    moved = blank is not None and kept[: blank + 1].tolist()[-1:] != [blank]
                    if moved or np.any((t >= 0) & ~np.isin(t, kept)):
                        valid = False
                    else:
                        args[a.name] = np.where(t >= 0, np.searchsorted(kept, t), t)
                elif a.name in args and isinstance(a.kind, Length) and a.kind.of == dim:
                    args[a.name] = np.minimum(args[a.name], len(kept))
                elif a.name in args and isinstance(a.kind, Simplex) and a.dims[-1:] == (dim,):
                    args[a.name] = a.kind.normalised(args[a.name], batch.precision)
            narrower = replace(batch, args=args)
            if valid and _admitted(contract, batch, narrower).all():
                results.append(narrower)
    return results


def minimise(
    contract: Contract, batch: Batch, fails: Fails, *, one_by_one: bool = False, numbers: int = NUMBERS
) -> Batch:
    """``batch`` has one row that fails; the result has one row that fails in the same way and is no more complex.

    ``one_by_one`` says that ``fails`` makes a call for every row; ``numbers`` is what may be judged.
    """
    current, cuts, left, fails = batch, numbers, numbers, _once(contract, fails)
    call = REFERENCE if contract.one_by_one else CALL if one_by_one else 1
    for _ in range(ROUNDS):
        narrow, cuts = _narrowed(contract, current, fails, call=call, left=cuts)
        current, left = _simplified(contract, narrow, fails, call=call, left=left)
        if current is narrow:
            break
    return current


def _numbers(contract: Contract, batch: Batch) -> int:
    """Numbers of a row."""
    return sum(a.size for n, a in batch.args.items() if not contract.arg(n).shared)


def _narrowed(contract: Contract, batch: Batch, fails: Fails, *, call: int, left: int) -> tuple[Batch, int]:
    """The row with its dimensions cut as far as it goes on failing, and what is left to judge."""
    for _ in range(ROUNDS):
        cost, found = max(_numbers(contract, batch), call), None
        for narrower in _shrunk_dimensions(contract, batch)[: left // cost]:
            left -= cost
            if _holds(fails, narrower):
                found = narrower
                break
        if found is None:
            break
        batch = found
    return batch, left


def _once(contract: Contract, fails: Fails) -> Fails:
    """The same, which is not asked again of rows that it found nothing in."""
    barren: set[tuple[Hashable, ...]] = set()

    def asked(batch: Batch) -> npt.NDArray[np.bool_]:
        rows = batch.rows(contract)
        own = [a for n, a in batch.args.items() if not contract.arg(n).shared]
        bits = [tuple((a.shape[1:], a[r].tobytes()) for a in own) for r in range(rows)]
        fresh = np.array([r for r, key in enumerate(bits) if key not in barren], np.intp)
        found = np.zeros(rows, np.bool_)
        if fresh.size:
            answer = fails(batch.take(contract, fresh))
            found[fresh] = answer
            barren.update(bits[r] for r in fresh[~answer])
        return found

    return asked


def _simplified(contract: Contract, batch: Batch, fails: Fails, *, call: int, left: int) -> tuple[Batch, int]:
    """The row with its numbers as simple as they get while it goes on failing, and what is left to judge.

    What failed to fail is tried again only once nothing else is left, for another number may have been in its way.
    """
    passed: set[Hashable] = set()
    for _ in range(ROUNDS):
        variants = _variants(contract, batch)
        if not variants:
            break
        many = _varied(contract, batch, variants)
        stale = np.array([v.key in passed for v in variants])
        order = np.lexsort((row_complexity(contract, many), stale))
        order = order[_admitted(contract, batch, many)[order]]
        cost = max(_numbers(contract, batch), call)
        found, judged = _first(contract, many, order[: left // cost], fails, at_once=AT_ONCE[call])
        left -= judged * cost
        if found is None:
            break
        passed |= {variants[i].key for i in order[:judged]}
        batch = many.take(contract, np.array([found]))
    return batch, left


def _admitted(contract: Contract, batch: Batch, changed: Batch) -> npt.NDArray[np.bool_]:
    """Rows made of the one of ``batch`` in which no argument has left its domain; one that was outside may stay so."""
    args, p = batch.args, batch.precision
    inside = [
        a.name for a in contract.args if a.name in args and not a.shared and a.kind.legal_rows(args[a.name], p).all()
    ]
    found = contract.legal_rows(changed.args, p, inside)
    return np.broadcast_to(found, changed.rows(contract))


def _holds(fails: Fails, batch: Batch) -> bool:
    result = fails(batch)
    return bool(len(result)) and bool(result.all())


def _stretches(count: int) -> list[slice]:
    """All of so many numbers, their halves, their quarters, down to pairs."""
    ends = [np.linspace(0, count, 2**k + 1).astype(int) for k in range(max(count // 2, 1).bit_length())]
    return [slice(a, b) for e in ends for a, b in pairwise(e) if b - a > 1]


def _simpler_together(x: Array, p: Precision) -> list[Array]:
    """Candidates to replace several numbers at once: 0, the nearest whole numbers, powers of 2."""
    with np.errstate(all="ignore"):
        mantissa, power = np.frexp(x)
        candidates = [np.zeros_like(x), np.rint(x) + 0.0, np.ldexp(np.rint(mantissa), power) + 0.0]
    return [c for c in (round_to(p, c) for c in candidates) if np.isfinite(c).all()]


@dataclass(frozen=True, slots=True)
class Variant:
    """Simpler numbers in place of a stretch of an argument."""

    name: str
    start: int
    stop: int
    values: tuple[float, ...]

    @property
    def key(self) -> Hashable:
        return self.name, self.start, self.stop, np.array(self.values).tobytes()


def _variants(contract: Contract, batch: Batch) -> list[Variant]:
    """What one number, or several of one argument, may become."""
    variants: list[Variant] = []
    for name, array in batch.args.items():
        arg = contract.arg(name)
        if arg.shared or arg.kind.integral:
            continue
        flat = array.reshape(-1)
        here = complexity(flat)
        for stretch in _stretches(len(flat)):
            several = _simpler_together(flat[stretch], batch.precision)
            simpler = [v for v in several if complexity(v).sum() < here[stretch].sum() and np.all(arg.kind.legal(v))]
            variants.extend(Variant(name, stretch.start, stretch.stop, tuple(v.tolist())) for v in simpler)
        if isinstance(arg.kind, Simplex) and not arg.kind.log:
            variants.extend(_simpler_shares(name, array))
        for i in range(min(len(flat), MOST)):
            candidates = np.array(_simpler(float(flat[i]), batch.precision))
            chosen = candidates[(complexity(candidates) < here[i]) & arg.kind.legal(candidates)]
            variants.extend(Variant(name, i, i + 1, (candidate,)) for candidate in chosen.tolist())
    return variants


def _simpler_shares(name: str, array: Array) -> Iterator[Variant]:
    """All of the probability to the largest share of a row, or half of it to each of the two largest."""
    width = array.shape[-1]
    for number, shares in enumerate(array.reshape(-1, width)):
        largest = np.argsort(-shares, kind="stable")
        for few in range(1, min(width, 2) + 1):
            simple = np.zeros(width)
            simple[largest[:few]] = 1.0 / few
            if complexity(simple).sum() < complexity(shares).sum():
                yield Variant(name, number * width, (number + 1) * width, tuple(simple.tolist()))


def _varied(contract: Contract, batch: Batch, variants: Sequence[Variant]) -> Batch:
    """The row once for every variant, with it."""
    count = len(variants)
    args = {k: v if contract.arg(k).shared else np.repeat(v, count, axis=0) for k, v in batch.args.items()}
    for row, variant in enumerate(variants):
        args[variant.name].reshape(count, -1)[row, variant.start : variant.stop] = variant.values
    return replace(batch, args=args)


def _first(
    contract: Contract, many: Batch, order: npt.NDArray[np.intp], fails: Fails, *, at_once: int
) -> tuple[int | None, int]:
    """The first row that fails in an order, if any does; and how many were judged."""
    start = 0
    while start < len(order):
        part = order[start : start + at_once]
        good = np.flatnonzero(fails(many.take(contract, part)))
        start, at_once = start + len(part), at_once * GROWTH if at_once > 1 else 1
        if len(good):
            return int(part[good[0]]), start
    return None, start
