"""Observations against the truth: an error, a grade and a range finding for every entry of every output."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.bounds import (
    ABSOLUTE_ONLY,
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
from harness.certificates import oracle_ulp
from harness.conditioning import FALLING, RISING, drawn, jointly, one_way, separately, united, value_conditioning
from harness.contract import Contract
from harness.deviations import Departure, Deviation, Fault, Points, admitted
from harness.ulp import FLOAT64, Array, Precision, distance
from reference.truth import Output, Truth, trailing

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]


LEFT_OUT = -2
"""Excuse of an entry that a search did not judge: it is no finding, and nothing is said of what it follows."""


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
    """0, or 1 + the index of the Departure that explains the entry, or LEFT_OUT."""

    def rows(self, index: Rows) -> Judged:
        """The same output at some rows."""
        return Judged(
            name=self.name,
            got=self.got[index],
            truth=self.truth.rows(index),
            error=self.error[index],
            grade=self.grade[index],
            range=self.range[index],
            excuse=self.excuse[index],
        )

    @property
    def bad(self) -> Mask:
        """Entries below ``mixed-stable`` or out of range, whether excused or not."""
        return (self.grade >= ABSOLUTE_ONLY) | (self.range > 0)


def terms_of(contract: Contract, batch: Batch) -> int:
    """Largest number of terms that one unreduced loss sums."""
    own = (int(np.prod(a.shape[1:])) for n, a in batch.args.items() if not contract.arg(n).shared)
    longest = (max(a.shape, default=1) for n, a in batch.args.items() if contract.arg(n).shared)
    return max(*own, *longest, 1, 1)


def constant_of(output: str) -> float:
    """The C of an output."""
    return VALUE_CONSTANT if output == "value" else GRADIENT_CONSTANT


class Limits:
    """The bounds of a batch, worked out where they are asked for and remembered: conditioning is the dear part."""

    def __init__(
        self,
        contract: Contract,
        batch: Batch,
        truth: Truth,
        terms: int | None = None,
        own_ulp: float | None = None,
    ) -> None:
        self.contract, self.batch, self.truth = contract, batch, truth
        self.terms = terms_of(contract, batch) if terms is None else terms
        self.own = oracle_ulp(contract) if own_ulp is None else own_ulp
        self.shared = frozenset(a.name for a in contract.args if a.shared)
        self._jointly: dict[str, Array] = {}
        """How far joint moves of the inputs move every gradient, at the rows that were asked for."""
        self._alone: dict[str, Array] = {}
        """The same of separate moves."""
        nothing = np.zeros(len(truth.value.exact), np.bool_)
        self._known: dict[str, Mask] = {part: nothing.copy() for part in ("rising", "jointly", "in part", "alone")}

    def whole(self, name: str) -> bool:
        """Whether an output has no rows of its own: a reduced value, the gradient of a shared argument."""
        return self.batch.reduction != "none" or name in self.shared

    def without_conditioning(self, name: str, index: npt.NDArray[np.intp]) -> Bounds:
        """Bounds at some rows up to ``reference``; the later ones are no wider than that."""
        want = self.truth.outputs()[name]
        rows = want if self.whole(name) else want.rows(index)
        return bounds(rows, self.batch.precision, constant_of(name), 0.0, self.terms, self.own)

    def at(self, name: str, index: npt.NDArray[np.intp]) -> Bounds:
        """Bounds at some rows of an output; of all of it where it has none."""
        if name != "value" and not self.whole(name):
            self.condition(index)
        return self.so_far(name, index)

    def so_far(self, name: str, index: npt.NDArray[np.intp]) -> Bounds:
        """``at``, for a gradient by what is worked out of the conditioning of these rows."""
        if self.whole(name):
            return self.without_conditioning(name, index)
        want, p = self.truth.outputs()[name].rows(index), self.batch.precision
        if name == "value":
            moved = p.u * value_conditioning(*self._part(index))
        else:
            moved = self._jointly[name][index] / GRADIENT_CONSTANT
            if name in self._alone:
                moved = moved + self._alone[name][index]
        return bounds(want, p, constant_of(name), moved, self.terms, self.own)

    def condition(self, index: Rows) -> None:
        """Work out how far the rounding of the inputs moves every gradient at some rows."""
        self.condition_in_part(index)
        if self.contract.one_by_one and (todo := self._unknown("alone", index)).size:
            first = {n: alone[todo] for n, alone in self._alone.items()}
            self._put(self._alone, todo, united(first, drawn(*self._part(todo), half=1)))

    def condition_in_part(self, index: Rows) -> None:
        """Where the oracle is dear half of it, which the whole takes back to 1/sqrt(2) at most; elsewhere all of it."""
        self.condition_jointly(index)
        if (todo := self._unknown("in part", index)).size:
            part = self._part(todo)
            self._put(self._alone, todo, drawn(*part, half=0) if self.contract.one_by_one else separately(*part))

    def condition_jointly(self, index: Rows) -> None:
        """The cheap part of it."""
        todo = self._unknown("jointly", index)
        half, fresh = todo[self._known["rising"][todo]], todo[~self._known["rising"][todo]]
        if fresh.size:
            self._put(self._jointly, fresh, jointly(*self._part(fresh)))
        if half.size:
            falling = jointly(*self._part(half), ways=(FALLING,))
            self._put(self._jointly, half, {n: np.maximum(self._jointly[n][half], f) for n, f in falling.items()})

    def condition_rising(self, index: Rows) -> None:
        """Half of the cheap part, of which the other half only takes more."""
        if (todo := self._unknown("rising", index)).size:
            self._put(self._jointly, todo, jointly(*self._part(todo), ways=(RISING,)))

    def _unknown(self, part: str, index: Rows) -> Rows:
        """The rows of which this is not known; from now on it is."""
        todo: Rows = index[~self._known[part][index]]
        self._known[part][todo] = True
        return todo

    def _put(self, known: dict[str, Array], rows: Rows, found: Mapping[str, Array]) -> None:
        for name, change in found.items():
            known.setdefault(name, np.zeros(self.truth.gradients[name].exact.shape))[rows] = change

    def _part(self, index: npt.NDArray[np.intp]) -> tuple[Contract, Batch, Truth]:
        return self.contract, self.batch.take(self.contract, index), self.truth.rows(index, self.shared)

    def beside_adjoints(self, name: str, index: npt.NDArray[np.intp]) -> Bounds:
        """``at`` with the other side of kinks where sums meet, of which no oracle says where they are.

        The rounding of adjoints is in the scale of ``absolute-only``.
        """
        here = self.at(name, index)
        if self.contract.adjoints is None:
            return here
        jump = one_way(*self._part(index))[name]
        moves = self.contract.adjoints(self.batch.take(self.contract, index).args)
        rounding = GRADIENT_CONSTANT * self.batch.precision.u * moves.get(name, np.zeros(here.absolute.shape))
        return replace(here, mixed=here.mixed + jump, absolute=here.absolute + jump + rounding)


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
    return judge_within(Limits(contract, batch, truth, terms), got, departures)


def judge_within(
    limits: Limits, got: Mapping[str, Array], departures: tuple[Departure, ...] = (), *, most: int | None = None
) -> list[Judged]:
    """``judge`` with bounds that the caller goes on to use.

    ``most`` is for a search: where conditioning, which is dear, is asked for in more rows than that, a quarter so many
    are those with the largest errors, a quarter have errors that are no numbers and half are spaced evenly. Gradients
    at the others are left out.
    """
    outputs = limits.truth.outputs()
    documented = tuple(d for d in departures if isinstance(d, Deviation))
    judged = [_first_pass(limits, name, array, documented) for name, array in got.items() if name in outputs]
    own = {j.name for j, _ in judged if j.name != "value" and not limits.whole(j.name)}
    if own and most is not None:
        chosen = _most_suspect(limits, judged, own, most)
        judged = [(j, _kept(j, rows, chosen) if j.name in own else rows) for j, rows in judged]
    if own and limits.contract.one_by_one:  # elsewhere a call of the oracle costs more than it saves
        for condition in (limits.condition_rising, limits.condition_jointly, limits.condition_in_part):
            condition(_united(judged, own))
            judged = [(j, _unexplained(limits, j, rows) if j.name in own else rows) for j, rows in judged]
    if own:
        limits.condition(_united(judged, own))
    return [_second_pass(limits, j, rows, departures) for j, rows in judged]


def _united(judged: Sequence[tuple[Judged, Rows]], names: Collection[str]) -> Rows:
    rows: Rows = np.unique(np.concatenate([rows for j, rows in judged if j.name in names]))
    return rows


def _most_suspect(limits: Limits, judged: Sequence[tuple[Judged, Rows]], names: Collection[str], most: int) -> Rows:
    """At most so many of the rows that need conditioning."""
    rows = _united(judged, names)
    if rows.size <= most:
        return rows
    worst = np.zeros(len(limits.truth.value.exact))
    for j, mine in judged:
        if j.name in names and mine.size:
            with np.errstate(all="ignore"):
                times = j.error[mine] / limits.without_conditioning(j.name, mine).reference
            times = np.where(np.isfinite(times), times, np.inf).reshape(len(mine), -1).max(axis=1)
            worst[mine] = np.maximum(worst[mine], times)
    lost = np.isinf(worst[rows])
    large = rows[~lost][np.argsort(-worst[rows[~lost]], kind="stable")]
    spaced = rows[np.linspace(0, rows.size - 1, most // 2).astype(int)]
    chosen: Rows = np.unique(np.concatenate([large[: most // 4], rows[lost][: most // 4], spaced]))
    return chosen


def _kept(j: Judged, rows: Rows, chosen: Rows) -> Rows:
    """The rows that are among the chosen; what is wrong in the others for all that is known is left out."""
    left = np.setdiff1d(rows, chosen)
    excuse = j.excuse[left]
    j.excuse[left] = np.where(j.rows(left).bad & (excuse == 0), LEFT_OUT, excuse)
    kept: Rows = np.intersect1d(rows, chosen)
    return kept


def _unexplained(limits: Limits, j: Judged, rows: Rows) -> Rows:
    """The rows of which what is known so far leaves an entry unexplained.

    The others are graded: of what is within a bound a wider one says the same, where it is finite.
    """
    if not rows.size:
        return rows
    part, here = j.rows(rows), limits.so_far(j.name, rows)
    grade, range_ = grade_entries(part.got, part.truth, part.error, here, limits.batch.precision)
    fine = (grade < ABSOLUTE_ONLY) & (range_ == 0) & np.isfinite(part.got) & np.isfinite(part.truth.exact)
    explained = fine.reshape(len(rows), -1).all(axis=1)
    done = rows[explained]
    j.grade[done], j.range[done], j.excuse[done] = grade[explained], 0, 0
    left: Rows = rows[~explained]
    return left


def _first_pass(limits: Limits, name: str, found: Array, documented: tuple[Deviation, ...]) -> tuple[Judged, Rows]:
    """What few ulp, the reference bound and the documentation explain; and the rows that need more than them."""
    batch, want, constant = limits.batch, limits.truth.outputs()[name], constant_of(name)
    got = np.broadcast_to(found, want.exact.shape) if found.size == want.exact.size == 1 else found
    error = interval_error(got, want)
    with np.errstate(all="ignore"):
        few = constant * (batch.precision.u * np.abs(want.exact) + batch.precision.smallest_subnormal)
        suspect = ~(error <= few + limits.own * 2 * FLOAT64.u * np.abs(want.exact))
        suspect |= (got == 0.0) & (want.exact != 0.0) & (error > 0)
        suspect |= np.isinf(want.exact) & (error > 0)  # the bound of an infinite truth is infinite
    judged = Judged(
        name=name,
        got=got,
        truth=want,
        error=error,
        grade=np.zeros(error.shape, np.int8),
        range=np.zeros(error.shape, np.int8),
        excuse=np.zeros(error.shape, np.int16),
    )
    rows = rows_where(suspect)
    if not rows.size or limits.whole(name):
        return judged, rows
    known = limits.without_conditioning(name, rows)
    part = judged.rows(rows)
    judged.grade[rows], judged.range[rows] = grade_entries(part.got, part.truth, part.error, known, batch.precision)
    explained = (part.error <= known.reference) & ~np.isinf(part.truth.exact)
    _excuse(limits, judged, rows, documented, np.zeros(error.shape))
    explained |= judged.excuse[rows] > 0
    return judged, rows[~explained.reshape(len(rows), -1).all(axis=1)]


def rows_where(mask: Mask) -> Rows:
    """The rows in which any entry is marked."""
    return np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1)) if mask.size else np.array([], np.intp)


def _second_pass(limits: Limits, j: Judged, rows: Rows, departures: tuple[Departure, ...]) -> Judged:
    """Grades with the conditioning at ``rows``, then what the ledger explains. Fills the arrays of ``j``."""
    batch, whole = limits.batch, limits.whole(j.name)
    absolute = np.zeros(j.error.shape)
    if rows.size:
        index = np.arange(len(j.error)) if whole else rows
        here = limits.at(j.name, index)
        part = j if whole else j.rows(index)
        partials = accumulator(batch.precision) if batch.reduction != "none" else batch.precision
        j.grade[index], j.range[index] = grade_entries(
            part.got, part.truth, part.error, here, batch.precision, partials
        )
        j.excuse[index] = 0
        absolute[index] = here.absolute
        if limits.contract.own_gradients and j.name != "value" and not whole:
            _beside_adjoints(limits, j)
    bad = rows_where(j.bad & (j.excuse == 0))
    if bad.size:
        _excuse(limits, j, np.arange(len(j.error)) if whole else bad, departures, absolute)
    return j


def _beside_adjoints(limits: Limits, j: Judged) -> None:
    """Grade again what is unstable for all that is known so far: the rounding of adjoints is the dearest part."""
    rows = rows_where((j.grade == UNSTABLE) & (j.range <= VANISHED) & (j.excuse != LEFT_OUT))
    if rows.size:
        part, bounds_ = j.rows(rows), limits.beside_adjoints(j.name, rows)
        j.grade[rows], j.range[rows] = grade_entries(part.got, part.truth, part.error, bounds_, limits.batch.precision)


def _excuse(limits: Limits, j: Judged, rows: Rows, departures: tuple[Departure, ...], absolute: Array) -> None:
    """Mark the bad entries of some rows that a Departure explains.

    They are inside its region and show exactly what it says.
    """
    whole = limits.whole(j.name)
    if not whole:
        rows = rows[rows_where(j.rows(rows).bad)]
    if not departures or not rows.size or not j.bad.any():
        return
    batch = limits.batch if whole else limits.batch.take(limits.contract, rows)
    points = batch.points(limits.contract, limits.truth if whole else limits.truth.rows(rows, limits.shared))
    part = j if whole else j.rows(rows)
    bad, excuse = part.bad, part.excuse.copy()
    for number, departure in enumerate(departures, start=1):
        here = bad & (excuse == 0) & departure.covers(j.name, points, bad.shape)
        if here.any():
            with np.errstate(all="ignore"):
                excuse[here & _shown(part, departure, points, absolute[rows])] = number
    j.excuse[rows] = excuse


def _shown(j: Judged, departure: Departure, points: Points, absolute: Array) -> Mask:
    """Entries at which the Subject does what the Departure says."""
    if isinstance(departure, Fault):
        return np.broadcast_to(departure.seen.holds(j.got, j.truth, points, absolute), j.got.shape)
    assert isinstance(departure, Deviation)
    shown = np.zeros(j.got.shape, np.bool_)
    for alternative, _ in alternatives(j, departure, points):
        shown |= alternative
    return shown


def alternatives(j: Judged, deviation: Deviation, points: Points) -> Iterator[tuple[Mask, Array]]:
    """For each documented result of an output: the entries that show it, and how far the others are beyond it."""
    p = points.precision
    with np.errstate(all="ignore"):
        for alternative in deviation.documented(points, j.name):
            exact, near = admitted(alternative, p, constant_of(j.name))
            want, allowed = (np.broadcast_to(trailing(a, j.got.ndim), j.got.shape) for a in (exact, near))
            over = np.isinf(j.got) & (np.abs(want) + allowed > p.largest) & (np.sign(want) == np.sign(j.got))
            beyond = distance(j.got, want) - allowed
            yield (beyond <= 0) | over, beyond


def could_be(kind: str, got: Array, truth: Output) -> Mask:
    """Which entries may be of a kind, for all that is known without a bound."""
    want = truth.exact
    possible: dict[str, Mask] = {
        "vanished": (got == 0.0) & (want != 0.0),
        "nan": np.isnan(got),
        "overflow": np.isinf(got),
        "wrong-inf": np.isinf(got),
        "finite-for-inf": np.isinf(want),
        "finite-for-nan": np.isnan(want),
    }
    return possible.get(kind, np.ones(got.shape, np.bool_))


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
        reach = np.where(np.isfinite(limits.mixed), limits.mixed, 0.0)
        low_end, high_end = (want, want) if truth.interval is None else truth.interval
        above, below = high_end + reach > p.largest, low_end - reach < -p.largest
        range_ = np.zeros(error.shape, np.int8)
        same_sign = np.signbit(got) == np.signbit(want)
        # Overflow is right where an admissible number, or one within its bound, is beyond the largest number.
        overflow_ok = np.where(got > 0.0, above, below) & np.isinf(got)
        near_top = np.isinf(want) & (p is FLOAT64) & (np.abs(got) >= p.largest * (1 - 2.0**-40)) & same_sign
        fine = overflow_ok | near_top | (error == 0)
        range_[np.isnan(got) & ~np.isnan(want)] = NAN
        range_[np.isinf(got) & ~np.isnan(want) & ~fine] = OVERFLOW
        range_[np.isinf(got) & (above | below) & ~overflow_ok] = WRONG_INF
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
