"""Cases in two lanes that never mix: the deterministic sweep, and the hunt that Hypothesis plans."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from harness.binding import Subject
from harness.cases import Batch
from harness.contract import Contract
from harness.domain import Arg, Choice, Interval, Setting
from harness.domain.kind import Elementwise, over_rows
from harness.effort import BLOCK, SECOND_ARGUMENTS, Effort
from harness.ulp import Array, Precision, round_to, step
from reference.truth import trailing


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One setting of everything that is not a number in a tensor: parameter values and optional tensors present."""

    parameters: Mapping[str, Any]
    present: frozenset[str]


def all_pairs(factors: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Rows in which every pair of values of two factors occurs, the first being the first value of each.

    Greedy: each new row takes an uncovered pair and completes it with the values that cover most of the rest.
    """
    names = list(factors)
    default = dict.fromkeys(names, 0)
    wanted = {
        frozenset({(a, i), (b, j)})
        for a, b in itertools.combinations(names, 2)
        for i in range(len(factors[a]))
        for j in range(len(factors[b]))
    } | {frozenset({(a, i)}) for a in names for i in range(len(factors[a]))}

    def covered(row: Mapping[str, int]) -> set[frozenset[tuple[str, int]]]:
        items = list(row.items())
        return {frozenset(c) for c in itertools.combinations(items, 2)} | {frozenset({i}) for i in items}

    rows = [default]
    wanted -= covered(default)
    while wanted:
        seed = min(wanted, key=lambda pair: (-len(pair), sorted((names.index(n), i) for n, i in pair)))
        row = dict(seed)
        for name in names:
            if name not in row:
                row[name] = max(range(len(factors[name])), key=lambda i: len(covered({**row, name: i}) & wanted))
        rows.append({n: row[n] for n in names})
        wanted -= covered(row)
    return [{n: factors[n][i] for n, i in row.items()} for row in rows]


def choices(subject: Subject) -> list[Choices]:
    """All pairs of the values of the parameters that the Subject offers.

    Its optional tensors, with and without, count among them.
    """
    contract = subject.contract
    optional = [a.name for a in contract.args if a.optional and a.name in subject.arguments]
    factors: dict[str, tuple[Any, ...]] = {
        p.name: p.values for p in contract.parameters if p.name in subject.parameters
    }
    factors |= dict.fromkeys(optional, (False, True))
    required = {a.name for a in contract.args if not a.optional}
    return [
        Choices(
            parameters={k: v for k, v in row.items() if k not in optional},
            present=frozenset(required | {n for n in optional if row[n]}),
        )
        for row in all_pairs(factors)
    ]


def seeded(*parts: object) -> np.random.Generator:
    """A generator that depends on names only, the same in every process."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, parts)).encode()))


def _args(contract: Contract, choice: Choices) -> list[Arg]:
    return [a for a in contract.args if a.name in choice.present]


def _arranged(contract: Contract, args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    return args if contract.arrange is None else contract.arrange(args, contract.settled(parameters))


def sizes(contract: Contract) -> list[dict[str, int]]:
    """Combinations of sizes in which every size of every dimension occurs."""
    longest = max((len(v) for v in contract.dims.values()), default=1)
    return [{d: v[i % len(v)] for d, v in contract.dims.items()} for i in range(longest)]


# -- the sweep ---------------------------------------------------------------------------------------------------------


def sweep(subject: Subject, precision: Precision, effort: Effort, device: str = "cpu") -> Iterator[Batch]:
    """Every batch of the deterministic sweep, in blocks."""
    contract = subject.contract
    for number, choice in enumerate(choices(subject)):
        if contract.scalar:
            yield from _scalar_sweep(contract, choice, precision, effort, device, first=number == 0)
        else:
            for size in sizes(contract):
                yield _vector_batch(contract, choice, size, precision, effort, device, number)


def _scalar_sweep(
    contract: Contract, choice: Choices, p: Precision, effort: Effort, device: str, *, first: bool
) -> Iterator[Batch]:
    args = _args(contract, choice)
    real = [a for a in args if isinstance(a.kind, Interval) and a.role != "weight"]
    for order, swept in enumerate(real):
        whole = first and order == 0 and effort.exhaustive and p.bits == 16
        count = 2**16 if whole else (effort.grid if first and order == 0 else effort.other_grid)
        assert isinstance(swept.kind, Interval)
        points = swept.kind.grid(p, count)
        rest = [a for a in args if a is not swept]
        columns = _second_arguments(contract, choice, swept, rest, p)
        width = max(1, BLOCK // columns)
        for start in range(0, len(points), width):
            x = points[start : start + width]
            block = {swept.name: np.repeat(x, columns)}
            for a in rest:
                block[a.name] = np.tile(_column(a, p, columns, contract.name), len(x))
            _tie(block, swept, rest, columns, p, choice.parameters)
            args_ = _arranged(contract, {a.name: block[a.name] for a in args}, choice.parameters)
            yield Batch(args=args_, parameters=choice.parameters, precision=p, device=device, complete=whole)


TIES = 5
"""Columns in which the second argument is copied from the swept one: equal, one ulp off, negated, a parameter away."""


def _second_arguments(contract: Contract, choice: Choices, swept: Arg, rest: list[Arg], p: Precision) -> int:
    if not rest:
        return 1
    real = [a for a in rest if isinstance(a.kind, Interval)]
    discrete = int(np.prod([len(a.kind.members) for a in rest if isinstance(a.kind, Choice)]))
    return SECOND_ARGUMENTS + TIES if real else discrete


def _column(arg: Arg, p: Precision, columns: int, salt: str) -> Array:
    """The values that an argument beside the swept one takes, shuffled so that two such arguments are not in step."""
    assert isinstance(arg.kind, (Interval, Choice))
    if isinstance(arg.kind, Choice):
        return np.resize(np.array(arg.kind.members, np.float64), columns)
    fixed = (-100.0, -1.0, -0.25, 0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 2.0, 3.0, 7.5, 40.0, 1000.0)
    common = round_to(p, np.array(fixed))
    common = np.unique(common[arg.kind.legal(common)])
    spaced = arg.kind.grid(p, SECOND_ARGUMENTS - len(common))
    spaced = spaced[np.unique(np.linspace(0, len(spaced) - 1, SECOND_ARGUMENTS - len(common)).astype(int))]
    values = np.resize(np.concatenate([common, spaced]), columns)
    return seeded(salt, arg.name, p.name).permutation(values)


def _tie(
    block: dict[str, Array], swept: Arg, rest: list[Arg], columns: int, p: Precision, parameters: Mapping[str, Any]
) -> None:
    """Overwrite a few columns of the second arguments with copies of the swept one, in place of the fresh block."""
    numbers = [float(v) for v in parameters.values() if isinstance(v, float)]
    for a in rest:
        if not isinstance(a.kind, Interval) or a.role == "weight" or columns <= TIES:
            continue
        x = block[swept.name].reshape(-1, columns)
        other = block[a.name].reshape(-1, columns)
        away = numbers[0] if numbers else 1.0
        tied = [x[:, 0], step(p, x[:, 1], 1), -x[:, 2], round_to(p, x[:, 3] - away), round_to(p, x[:, 4] + away)]
        for i, candidate in enumerate(tied):
            other[:, i] = np.where(a.kind.legal(candidate), candidate, other[:, i])


def _vector_batch(
    contract: Contract, choice: Choices, size: Mapping[str, int], p: Precision, effort: Effort, device: str, number: int
) -> Batch:
    rng = seeded(contract.name, number, sorted(size.items()), p.name, *effort.salt)
    elements = sum(int(np.prod([size[d] for d in a.dims])) for a in contract.args)
    rows = int(np.clip(effort.rows, 1, max(64, 2**20 // max(elements, 1))))
    return rows_of(contract, choice, size, rows, rng, p, device=device)


def rows_of(
    contract: Contract,
    choice: Choices,
    size: Mapping[str, int],
    rows: int,
    rng: np.random.Generator,
    p: Precision,
    *,
    device: str = "cpu",
    origin: str = "sweep",
) -> Batch:
    """``rows`` independent random rows, one in six with an argument copied from another of the same shape."""
    setting = Setting(precision=p, dims=size, parameters=choice.parameters)
    drawn: dict[str, npt.NDArray[Any]] = {}
    for a in _args(contract, choice):
        drawn[a.name] = a.kind.draw(rng, a.shape(rows, size), setting)
    copied = {name: array.copy() for name, array in drawn.items()}
    _copy_across(contract, copied, rng, p, choice.parameters)
    args = _arranged(contract, copied, choice.parameters)
    lost = ~contract.legal_rows(args, p, _real(contract, args))
    if lost.any():  # copies that no arrangement mends
        own = _arranged(contract, drawn, choice.parameters)
        args = {n: a if contract.arg(n).shared else _where(lost, own[n], a) for n, a in args.items()}
    return Batch(
        args=args,
        parameters=choice.parameters,
        precision=p,
        device=device,
        origin=origin,
    )


def _where(rows: npt.NDArray[np.bool_], one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(trailing(rows, other.ndim), one, other)


def _real(contract: Contract, args: Mapping[str, Any]) -> list[str]:
    """The arguments that a copy may be made of, or be."""
    return [
        a.name for a in contract.args if a.name in args and not a.kind.integral and not a.shared and a.role != "weight"
    ]


def _copy_across(
    contract: Contract,
    args: dict[str, npt.NDArray[Any]],
    rng: np.random.Generator,
    p: Precision,
    parameters: Mapping[str, Any],
) -> None:
    """In one row of six an argument becomes a copy of an earlier one.

    The copy is equal, a few ulps off, negated, scaled, shifted.
    """
    real = [contract.arg(name) for name in _real(contract, args)]
    numbers = [float(v) for v in parameters.values() if isinstance(v, float)] or [1.0]
    for source, copy in itertools.combinations(real, 2):
        x, y = args[source.name], args[copy.name]
        if x.shape != y.shape or isinstance(copy.kind, Choice) or isinstance(source.kind, Choice):
            continue
        chosen = np.flatnonzero(rng.random(len(x)) < 1 / 6)
        picked = x[chosen]
        column = (len(chosen),) + (1,) * (x.ndim - 1)
        how = rng.integers(0, 5, column)
        near = step(p, picked, rng.integers(-3, 4, picked.shape) * (rng.random(picked.shape) < 0.5))
        away = rng.choice(numbers, column) * rng.choice([-1.0, 1.0], column)
        with np.errstate(all="ignore"):
            moved = np.select(
                [how == 0, how == 1, how == 2, how == 3], [picked, near, -picked, picked * 2.0], picked + away
            )
        moved = np.clip(round_to(p, moved), -p.largest, p.largest)
        taken = copy.kind.legal(moved)
        if not isinstance(copy.kind, Elementwise):
            taken = trailing(over_rows(taken), taken.ndim)
        y[chosen] = np.where(taken, moved, y[chosen])


# -- the hunt ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """A compact draw of Hypothesis that NumPy expands into thousands of rows."""

    seed: int
    choice: int
    size: int


def plans(subject: Subject) -> st.SearchStrategy[Plan]:
    """Plans over the settings and sizes of the Subject's Contract."""
    return st.builds(
        Plan,
        st.integers(0, 2**32 - 1),
        st.integers(0, len(choices(subject)) - 1),
        st.integers(0, len(sizes(subject.contract)) - 1),
    )


def expand(
    subject: Subject, plan: Plan, rows: int, p: Precision, settings: list[Choices], device: str = "cpu"
) -> Batch:
    """The batch that a plan stands for."""
    size = sizes(subject.contract)[plan.size]
    rng = np.random.default_rng([plan.seed, p.digits])
    elements = sum(int(np.prod([size[d] for d in a.dims])) for a in subject.contract.args)
    rows = max(64, min(rows, 2**18 // max(elements, 1)))
    return rows_of(subject.contract, settings[plan.choice], size, rows, rng, p, device=device, origin="hunt")
