"""How far the rounding of the inputs alone moves the outputs: the part of an error that is nobody's fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.bounds import JOINT_STEPS
from harness.cases import Batch, NoReferenceError
from harness.contract import Contract
from harness.domain.kind import Elementwise
from harness.ulp import Array, step
from reference.truth import Output, Truth, trailing

Mask = npt.NDArray[np.bool_]

GROUPS = 64
"""Entries of a row are moved one by one up to this many, beyond in this many groups."""
WIDE, WIDE_GROUPS = 4096, 4
"""Rows wider than this are moved in so few groups: one call of the oracle then costs as much as a thousand rows."""
DRAWS = 4
"""Moves of all entries at once, each up or down, in either half of them, where the oracle is dear."""
TOGETHER = 2**15
"""Numbers in one call of the oracle: moves of few rows share a call, and their temporaries stay in the cache."""


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
    """How far each gradient is from that of ``truth``; ``moved`` may hold its rows several times over."""
    other = _moved_truth(contract, moved, truth)
    changes = {}
    for name in outputs:
        before, after = truth.gradients[name], other.gradients[name]
        shape = (-1, *before.exact.shape)
        ends_before = before.interval or (before.exact, before.exact)
        ends_after = after.interval or (after.exact, after.exact)
        with np.errstate(all="ignore"):
            apart = [np.abs(np.reshape(a, shape) - b) for a, b in zip(ends_after, ends_before, strict=True)]
        change = np.maximum(*apart)
        changes[name] = np.where(np.isnan(change), 0.0, change)
    return changes


def _moved_truth(contract: Contract, moved: Batch, truth: Truth) -> Truth:
    """The oracle at moved rows, not remembered since they do not come back.

    Where a loss that is its own oracle refuses a row, its domain ends before that of the declaration, and the move is
    not made.
    """
    try:
        return contract.truth(moved.args, moved.parameters)
    except NoReferenceError:
        refused = _refused(contract, moved)
        if refused.all():
            raise
    kept = np.flatnonzero(~refused)
    # Rows that are not asked take the place of the first that is; their outputs are those of no move.
    index = np.where(refused, kept[0], np.arange(len(refused)))
    found = contract.truth(moved.take(contract, index).args, moved.parameters)
    copies = len(refused) // len(truth.value.exact)

    def still(name: str, output: Output) -> Output:
        own = np.tile(truth.outputs()[name].exact, (copies,) + (1,) * (output.exact.ndim - 1))
        return replace(output, exact=np.where(trailing(refused, own.ndim), own, output.exact))

    skip = [a.name for a in contract.args if a.shared]
    return replace(found, gradients={n: still(n, g) for n, g in found.gradients.items() if n not in skip})


def _refused(contract: Contract, batch: Batch) -> Mask:
    """Rows at which the oracle raises, by halves."""
    try:
        contract.truth(batch.args, batch.parameters)
    except NoReferenceError:
        rows = batch.rows(contract)
        if rows == 1:
            return np.ones(1, np.bool_)
        halves = (slice(0, rows // 2), slice(rows // 2, rows))
        return np.concatenate([_refused(contract, batch.take(contract, half)) for half in halves])
    return np.zeros(batch.rows(contract), np.bool_)


def separately(contract: Contract, batch: Batch, truth: Truth) -> dict[str, Array]:
    """How far one rounding of an input moves every gradient, summed over the inputs: u * sum abs(x_i * d2f).

    From the oracle at inputs one ordinal away on both sides.
    """
    if contract.one_by_one:
        return united(drawn(contract, batch, truth, half=0), drawn(contract, batch, truth, half=1))
    return _entry_by_entry(contract, batch, truth)


RISING, FALLING = 1, -1


def jointly(
    contract: Contract, batch: Batch, truth: Truth, ways: tuple[int, ...] = (RISING, FALLING)
) -> dict[str, Array]:
    """How far a joint move of all inputs moves every gradient, at most.

    It sees the other side of a kink: all move by a few ordinals in the direction in which the loss rises, then falls.
    """
    outputs, moved = _gradients(contract, truth), _repeated(contract, batch, len(ways))
    for name in _conditioning_args(contract, batch):
        x = batch.args[name]
        slope = truth.gradients[name].exact if name in truth.gradients else np.zeros(x.shape)
        rising = (JOINT_STEPS * np.sign(np.nan_to_num(slope))).astype(np.int64)
        soft = _soft(contract, name, x)
        moved.args[name][:] = np.concatenate([_within(contract, batch, name, soft, way * rising) for way in ways])
    change = _changes(contract, moved, truth, outputs)
    return {n: change[n].max(axis=0) for n in outputs}


def one_way(contract: Contract, batch: Batch, truth: Truth) -> dict[str, Array]:
    """How far a move of all numbers of one argument the same way, up or down, moves every gradient, at most.

    It sees the other side of a kink where sums meet, as ``jointly`` of one where numbers do: on the way in which the
    loss rises the terms of such a sum may go against each other.
    """
    outputs, names = _gradients(contract, truth), _conditioning_args(contract, batch)
    total = {n: np.zeros(truth.gradients[n].exact.shape) for n in outputs}
    for name in names:
        moved = _repeated(contract, batch, 2)
        soft = _soft(contract, name, batch.args[name])
        ways = [_within(contract, batch, name, soft, by) for by in (JOINT_STEPS, -JOINT_STEPS)]
        moved.args[name][:] = np.concatenate(ways)
        for n, change in _changes(contract, moved, truth, outputs).items():
            total[n] = np.maximum(total[n], change.max(axis=0))
    return total


def _gradients(contract: Contract, truth: Truth) -> list[str]:
    return [n for n in truth.gradients if not contract.arg(n).shared]


def _entry_by_entry(contract: Contract, batch: Batch, truth: Truth) -> dict[str, Array]:
    """The changes that each entry makes, summed."""
    outputs, names = _gradients(contract, truth), _conditioning_args(contract, batch)
    total = {n: np.zeros(truth.gradients[n].exact.shape) for n in outputs}
    for moves in _together(contract, batch, names):
        copies = 2 * sum(len(where) for _, where in moves)
        moved = _repeated(contract, batch, copies)
        blocks: list[slice] = []
        for name, where in moves:
            x = batch.args[name]
            ways = [_within(contract, batch, name, where, by) for by in (1, -1)]
            start = blocks[-1].stop if blocks else 0
            blocks.append(slice(start, start + 2 * len(where)))
            moved.args[name].reshape(copies, *x.shape)[blocks[-1]] = np.concatenate(ways)
        changes = _changes(contract, moved, truth, outputs)
        for n in outputs:
            for block in blocks:
                up, down = np.split(changes[n][block], 2)
                with np.errstate(over="ignore"):
                    total[n] += np.maximum(up, down).sum(axis=0)
    return total


def _together(contract: Contract, batch: Batch, names: list[str]) -> Iterator[list[tuple[str, Mask]]]:
    """The moves of all arguments, as many as one call can hold."""
    held: list[tuple[str, Mask]] = []
    for name in names:
        for where in _entries(contract, batch, name):
            if held and sum(len(w) for _, w in held) + len(where) > _at_once(contract, batch):
                yield held
                held = []
            held.append((name, where))
    if held:
        yield held


def drawn(contract: Contract, batch: Batch, truth: Truth, *, half: int) -> dict[str, Array]:
    """An estimate from above of the same sum a_1 + ... + a_n, by the first or the second half of the draws.

    Signs drawn at random give sum(+-a_i) the mean square sum(a_i**2), and sum(a_i) <= sqrt(n * sum(a_i**2)).
    """
    rng = np.random.default_rng(half)
    repeated, count, moved = _repeated(contract, batch, DRAWS), 0, {}
    for name in _conditioning_args(contract, batch):
        x = repeated.args[name]
        soft = _soft(contract, name, x)
        steps = np.where(soft, rng.choice((-1, 1), x.shape), 0)
        moved[name] = _within(contract, repeated, name, soft, steps)
        count += int(np.prod(x.shape[1:]))
    moved_batch = replace(repeated, args={**repeated.args, **moved})
    changes = _changes(contract, moved_batch, truth, _gradients(contract, truth))
    with np.errstate(over="ignore"):
        return {n: np.sqrt(count * (change**2).mean(axis=0)) for n, change in changes.items()}


def united(first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
    """The estimate of both halves of the draws: 1/sqrt(2) of the first at least."""
    with np.errstate(over="ignore"):
        return {n: np.hypot(first[n], second[n]) / np.sqrt(2.0) for n in first}


def _entries(contract: Contract, batch: Batch, name: str) -> Iterator[Mask]:
    """Which entries of an argument are moved at once: masks (moves, rows, ...), as many as one call can hold."""
    x = batch.args[name]
    soft = _soft(contract, name, x)
    width = int(np.prod(x.shape[1:]))
    groups = np.array_split(np.arange(width), min(width, GROUPS if width <= WIDE else WIDE_GROUPS))
    masks = np.zeros((len(groups), 1, width), np.bool_)
    for k, group in enumerate(groups):
        masks[k, 0, group] = True
    at_once = _at_once(contract, batch)
    for start in range(0, len(groups), at_once):
        part = masks[start : start + at_once].reshape(-1, 1, *x.shape[1:]) & soft
        part = part[part.reshape(len(part), -1).any(axis=1)]
        if len(part):
            yield part


def _at_once(contract: Contract, batch: Batch) -> int:
    """Moves that one call can hold, each up and down."""
    numbers = sum(a.size for n, a in batch.args.items() if not contract.arg(n).shared)
    return max(1, TOGETHER // max(2 * numbers, 1))


def _repeated(contract: Contract, batch: Batch, copies: int) -> Batch:
    """The rows ``copies`` times over; tensors that all rows share stay as they are."""
    args = {n: a if contract.arg(n).shared else np.concatenate([a] * copies) for n, a in batch.args.items()}
    return replace(batch, args=args)


def _within(contract: Contract, batch: Batch, name: str, where: Mask, by: npt.NDArray[np.int64] | int) -> Array:
    """An argument some ordinals away at the entries ``where``, shape (..., *its own); a move never leaves the domain.

    A row that was in the domain stays as it is where the move breaks what its numbers have in common.
    """
    kind, x = contract.arg(name).kind, batch.args[name]
    moved = step(batch.precision, x, by)
    moved = np.where(where & kind.legal(moved), moved, x)
    if isinstance(kind, Elementwise):
        return moved
    rows = kind.legal_rows(moved.reshape(-1, *x.shape[1:]), batch.precision)
    rows = rows.reshape(-1, len(x)) | ~kind.legal_rows(x, batch.precision)
    return np.where(rows.reshape(moved.shape[: -x.ndim] + x.shape[:1] + (1,) * (x.ndim - 1)), moved, x)
