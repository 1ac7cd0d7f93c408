"""Observations against the truth: an error, a grade and a range finding for every entry of every output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.bounds import (
    ABSOLUTE_ONLY,
    DEFAULT_ORACLE_ULP,
    FEW_ULP,
    FINITE_FOR_INF,
    FINITE_FOR_NAN,
    GRADIENT_CONSTANT,
    NAN,
    OVERFLOW,
    PARTIAL,
    UNSTABLE,
    VALUE_CONSTANT,
    VANISHED,
    WRONG_INF,
    Bounds,
    accumulator,
    bounds,
    interval_error,
)
from harness.cases import Batch
from harness.conditioning import gradient_conditioning, value_conditioning
from harness.contract import Contract
from harness.deviations import Departure, Deviation, Fault, Points
from harness.ulp import FLOAT64, Array, Precision, distance
from reference.truth import Output, Truth, trailing

Mask = npt.NDArray[np.bool_]


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
            limits = bounds_at(contract, batch, truth, name, index, constant, count, shared=shared)
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


def bounds_at(
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
            limits[index] = bounds_at(
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
