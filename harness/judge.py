"""Observations against the truth: an error, a grade and a range finding for every entry of every output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.cases import Batch
from harness.contract import Contract
from harness.deviations import Departure, Deviation, Fault, Points
from harness.ulp import FLOAT32, FLOAT64, Array, Precision, distance, step
from reference.truth import Output, Truth, trailing

Mask = npt.NDArray[np.bool_]

GRADES = ("few-ulp", "reference", "mixed-stable", "absolute-only", "unstable")
FEW_ULP, REFERENCE, MIXED_STABLE, ABSOLUTE_ONLY, UNSTABLE = range(5)
RANGES = ("", "vanished", "overflow", "nan", "wrong-inf", "finite-for-inf", "finite-for-nan", "partial-range")
IN_RANGE, VANISHED, OVERFLOW, NAN, WRONG_INF, FINITE_FOR_INF, FINITE_FOR_NAN, PARTIAL = range(8)

VALUE_CONSTANT = 16.0
GRADIENT_CONSTANT = 32.0
"""One C for all losses: separated sound from unsound implementations by three to four orders of magnitude."""
JOINT_STEPS = 8
"""Ordinals by which all inputs move together to see the other side of a kink."""
DEFAULT_ORACLE_ULP = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Largest admissible errors of the grades, per entry; each includes the one before."""

    few: Array
    reference: Array
    mixed: Array
    absolute: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One output of a batch, entry by entry. Every array has the shape of the output."""

    name: str
    got: Array
    truth: Output
    error: Array
    grade: npt.NDArray[np.int8]
    range: npt.NDArray[np.int8]
    excuse: npt.NDArray[np.int16]
    """0, or 1 + the index of the Departure that explains the entry."""
    covered: npt.NDArray[np.int16]
    """0, or 1 + the index of a Departure whose region holds the entry."""

    @property
    def bad(self) -> Mask:
        """Entries below ``mixed-stable`` or out of range, whether excused or not."""
        return (self.grade >= ABSOLUTE_ONLY) | (self.range > 0)


def depth(n: int) -> float:
    """Summation depth of a pairwise or cascade sum of n terms: about log2(n) + 4."""
    return float(np.ceil(np.log2(max(n, 1)))) + 4.0


def accumulator(precision: Precision) -> Precision:
    """The dtype in which torch accumulates: float32 for the 16-bit dtypes."""
    return FLOAT32 if precision.bits == 16 else precision


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


GROUPS = 64
"""Entries of a row are moved one by one up to this many, beyond in this many groups."""


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
        for group in np.array_split(np.arange(width), min(width, GROUPS)):
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


def bounds(
    truth: Output, precision: Precision, constant: float, conditioning: Array | float, terms: int, oracle_ulp: float
) -> Bounds:
    """The grades' bounds; ``conditioning`` is already in units of the output (u included)."""
    p = precision
    eta = p.smallest_subnormal
    with np.errstate(all="ignore"):
        own = oracle_ulp * FLOAT64.u * truth.reference
        few = constant * (p.u * np.abs(truth.exact) + eta) + own
        reference = np.maximum(
            few,
            constant
            * (p.u * truth.reference + accumulator(p).u * depth(terms) * truth.accumulation + eta * truth.underflow)
            + own,
        )
        mixed = reference + constant * conditioning
        absolute = mixed + constant * p.u * truth.absolute
    parts = [np.where(np.isnan(b), 0.0, b) for b in np.broadcast_arrays(few, reference, mixed, absolute)]
    return Bounds(few=parts[0], reference=parts[1], mixed=parts[2], absolute=parts[3])


def interval_error(got: Array, truth: Output) -> Array:
    """Distance to the truth, or to the nearest admissible entry at a kink."""
    if truth.interval is None:
        return distance(got, truth.exact)
    low, high = truth.interval
    inside = (got >= low) & (got <= high)
    return np.where(
        inside, 0.0, np.minimum(distance(got, truth.exact), np.minimum(distance(got, low), distance(got, high)))
    )


def terms_of(contract: Contract, batch: Batch) -> int:
    """Largest number of terms that one unreduced loss sums."""
    return max((int(np.prod(a.shape[1:])) for n, a in batch.args.items() if not contract.arg(n).shared), default=1)


def judge(
    contract: Contract,
    batch: Batch,
    truth: Truth,
    got: Mapping[str, Array],
    departures: tuple[Departure, ...] = (),
    *,
    terms: int | None = None,
) -> list[Judged]:
    """Every observed output of a batch with ``reduction`` none, or of a reduced truth."""
    outputs = truth.outputs()
    count = terms_of(contract, batch) if terms is None else terms
    reduced = batch.reduction != "none"
    points = batch.points(truth)
    results = []
    for name, found in got.items():
        if name not in outputs:
            continue
        want = outputs[name]
        array = np.broadcast_to(found, want.exact.shape) if found.size == want.exact.size == 1 else found
        constant = VALUE_CONSTANT if name == "value" else GRADIENT_CONSTANT
        error = interval_error(array, want)
        own = (contract.oracle_ulp or DEFAULT_ORACLE_ULP) * FLOAT64.u
        with np.errstate(all="ignore"):
            few = constant * (batch.precision.u * np.abs(want.exact) + batch.precision.smallest_subnormal)
            suspect = ~(error <= few + own * np.abs(want.exact)) | ((array == 0.0) & (want.exact != 0.0) & (error > 0))
            suspect |= np.isinf(want.exact) & (error > 0)  # the bound of an infinite truth is infinite
        grade = np.zeros(error.shape, np.int8)
        range_ = np.zeros(error.shape, np.int8)
        excuse = np.zeros(error.shape, np.int16)
        if suspect.any():
            index = np.flatnonzero(suspect.reshape(len(suspect), -1).any(axis=1))
            shared = reduced or (name != "value" and contract.arg(name).shared)
            if shared:
                index = np.arange(len(suspect))
            limits = _bounds_at(contract, batch, truth, name, index, constant, count, shared=shared)
            rows = want if shared else want.rows(index)
            partials = accumulator(batch.precision) if reduced else batch.precision
            g, r = grade_entries(array[index], rows, error[index], limits, batch.precision, partials)
            grade[index], range_[index] = g, r
        covered = np.zeros(error.shape, np.int16)
        for number, departure in enumerate(departures, start=1):
            covered = np.where(departure.covers(name, points, error.shape), np.int16(number), covered)
        results.append(
            Judged(
                name=name, got=array, truth=want, error=error, grade=grade, range=range_, excuse=excuse, covered=covered
            )
        )
    return [_excused(contract, batch, truth, j, points, departures, count) for j in results] if departures else results


def _bounds_at(
    contract: Contract,
    batch: Batch,
    truth: Truth,
    name: str,
    index: npt.NDArray[np.intp],
    constant: float,
    terms: int,
    *,
    shared: bool,
) -> Bounds:
    """Bounds at some rows, the conditioning term included."""
    own = contract.oracle_ulp or DEFAULT_ORACLE_ULP
    p = batch.precision
    if shared:
        return bounds(truth.outputs()[name], p, constant, 0.0, terms, own)
    skip = [a.name for a in contract.args if a.shared]
    part, rows = batch.take(contract, index), truth.rows(index, skip)
    want = rows.outputs()[name]
    if name == "value":
        return bounds(want, p, constant, p.u * value_conditioning(contract, part, rows), terms, own)
    total, joint = gradient_conditioning(contract, part, rows)
    return bounds(want, p, constant, total[name] + joint[name] / constant, terms, own)


def grade_entries(
    got: Array, truth: Output, error: Array, limits: Bounds, precision: Precision, partials: Precision | None = None
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Grade and range finding of every entry; total over nan, inf and zero."""
    p = precision
    want = truth.exact
    with np.errstate(all="ignore"):
        ladder = (
            (error > limits.few).astype(np.int8)
            + (error > limits.reference)
            + (error > limits.mixed)
            + (error > limits.absolute)
        )
        grade: npt.NDArray[np.int8] = np.where(np.isnan(error), UNSTABLE, ladder).astype(np.int8)
        edge = np.abs(want) + np.where(np.isfinite(limits.mixed), limits.mixed, 0.0) > p.largest
        range_ = np.zeros(error.shape, np.int8)
        same_sign = np.signbit(got) == np.signbit(want)
        # Overflow is right where the truth, or the truth within its bound, is beyond the largest number.
        overflow_ok = np.isinf(got) & edge & same_sign
        near_top = np.isinf(want) & (p is FLOAT64) & (np.abs(got) >= p.largest * (1 - 2.0**-40)) & same_sign
        fine = overflow_ok | near_top | (error == 0)
        range_[np.isnan(got) & ~np.isnan(want)] = NAN
        range_[np.isinf(got) & ~np.isnan(want) & ~fine] = OVERFLOW
        range_[np.isinf(got) & edge & ~same_sign] = WRONG_INF
        range_[np.isinf(want) & np.isfinite(got) & ~fine] = FINITE_FOR_INF
        range_[np.isnan(want) & ~np.isnan(got)] = FINITE_FOR_NAN
        gone = (got == 0.0) & (np.abs(want) >= p.smallest_normal) & np.isfinite(want) & (error > limits.mixed)
        range_[gone] = VANISHED
        grade = np.where((range_ > VANISHED), UNSTABLE, np.where(overflow_ok | near_top, FEW_ULP, grade)).astype(
            np.int8
        )
        if truth.partial is not None:
            wide = partials or p
            low, high = truth.partial
            left = (high > wide.largest) | ((low < wide.smallest_normal) & (low > 0))
            partial = left & ((grade >= ABSOLUTE_ONLY) | (range_ > 0)) & (range_ != FINITE_FOR_NAN)
            range_[np.broadcast_to(partial, range_.shape)] = PARTIAL
    return grade, range_


def _excused(
    contract: Contract,
    batch: Batch,
    truth: Truth,
    judged: Judged,
    points: Points,
    departures: tuple[Departure, ...],
    terms: int,
) -> Judged:
    """Which bad entries a Departure explains: inside its region and showing exactly what it says."""
    bad = judged.bad
    if not bad.any():
        return judged
    excuse = judged.excuse.copy()
    constant = VALUE_CONSTANT if judged.name == "value" else GRADIENT_CONSTANT
    limits = None
    for number, departure in enumerate(departures, start=1):
        here = bad & (excuse == 0) & departure.covers(judged.name, points, bad.shape)
        if not here.any():
            continue
        if limits is None:
            shared = batch.reduction != "none" or (judged.name != "value" and contract.arg(judged.name).shared)
            index = np.arange(len(bad)) if shared else np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
            limits = np.zeros(bad.shape)
            limits[index] = _bounds_at(
                contract, batch, truth, judged.name, index, constant, terms, shared=shared
            ).absolute
        with np.errstate(all="ignore"):
            if isinstance(departure, Deviation):
                shown = np.zeros(bad.shape, np.bool_)
                for alternative in departure.documented(points, judged.name):
                    want = np.broadcast_to(trailing(alternative, bad.ndim), bad.shape)
                    allowed = constant * (batch.precision.u * np.abs(want) + batch.precision.smallest_subnormal)
                    beyond = np.isinf(judged.got) & (np.abs(want) + allowed > batch.precision.largest)
                    shown |= (distance(judged.got, want) <= allowed) | (beyond & (np.sign(want) == np.sign(judged.got)))
            else:
                assert isinstance(departure, Fault)
                shown = np.broadcast_to(departure.seen.holds(judged.got, judged.truth, points, limits), bad.shape)
        excuse[here & shown] = number
    return Judged(
        name=judged.name,
        got=judged.got,
        truth=judged.truth,
        error=judged.error,
        grade=judged.grade,
        range=judged.range,
        excuse=excuse,
        covered=judged.covered,
    )


def severity(grade: int, range_: int) -> str:
    """``defect``, ``weakness`` or empty, of one entry."""
    if range_ == PARTIAL or (range_ == VANISHED and grade < UNSTABLE):
        return "weakness"
    if range_ or grade == UNSTABLE:
        return "defect"
    return "weakness" if grade == ABSOLUTE_ONLY else ""


def kind_of(grade: int, range_: int) -> str:
    """The name of what is wrong with one entry."""
    return RANGES[range_] if range_ else GRADES[grade]
