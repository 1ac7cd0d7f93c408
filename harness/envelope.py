"""The error of one output over the ordinals of the first argument: the largest of every bin, its bound, its rails."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness import records
from harness.domain import Arg
from harness.findings import ulp_of
from harness.judge import LEFT_OUT, Judged, Limits, Rows
from harness.ulp import Array, Precision, from_ordinal, to_hex, to_ordinal
from reference.truth import Output

BINS = 192
RAILS = ("inf", "nan", "zero", "finite")
Bins = npt.NDArray[np.int64]


def scale_of(truth: Output) -> Array:
    """The magnitude whose ulp errors are counted in: B_ref, so that a root of the gradient is no pole of its error."""
    scale = np.fmax(np.abs(truth.exact), truth.reference)
    return np.where(np.isfinite(scale), scale, np.abs(truth.exact))


def mixed_bounds(limits: Limits, j: Judged, rows: Rows) -> Array:
    """The mixed-stable bounds of some rows, entry by entry; of all rows of a shared tensor."""
    mixed = limits.so_far(j.name, rows).mixed
    return np.broadcast_to(mixed, j.error.shape)[rows] if limits.whole(j.name) else mixed


def finite(value: float) -> float:
    """JSON has no inf: the largest number stands for what is beyond it."""
    return min(float(value), sys.float_info.max)


@dataclass(slots=True)
class Envelope:
    """The largest errors so far, in ulp of the running-error scale, bin by bin."""

    error: Array = field(default_factory=lambda: np.full(BINS, np.nan))
    bound: Array = field(default_factory=lambda: np.full(BINS, np.nan))
    rail: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros((2, BINS), np.int8))
    """Bit masks over RAILS: what nothing explains, and what a Departure or the baseline does."""
    excused: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(BINS, np.bool_))

    def draw(self, limits: Limits, j: Judged, ulps: Array) -> Rows:
        """Take in a batch. The rows that are now the largest of their bins; ``draw_bound`` comes after."""
        rows = len(j.grade)
        bins = _bins(limits.batch.args[limits.contract.args[0].name], limits.batch.precision)
        error = ulps.reshape(rows, -1).max(axis=1)
        peak = np.full(BINS, -1.0)
        np.maximum.at(peak, bins, error)
        better = peak > np.nan_to_num(self.error, nan=-1.0)
        self.error = np.where(better, peak, self.error)
        self._draw_rails(j, bins)
        self.excused[bins[(j.excuse.reshape(rows, -1) > 0).any(axis=1)]] = True
        winners = np.flatnonzero((error >= peak[bins]) & better[bins])
        chosen: Rows = winners[np.unique(bins[winners], return_index=True)[1]]
        return chosen

    def _draw_rails(self, j: Judged, bins: Bins) -> None:
        """Range findings by what was got: every kind that a bin holds, the explained ones apart."""
        known = np.isfinite(j.truth.exact)
        kinds = (np.isinf(j.got), np.isnan(j.got), known & (j.got == 0.0), ~known & np.isfinite(j.got))
        explained = (j.excuse != 0) & (j.excuse != LEFT_OUT)
        for apart, mask in enumerate(((j.range > 0) & (j.excuse == 0), (j.range > 0) & explained)):
            if mask.any():
                for bit, kind in enumerate(kinds):
                    seen = (mask & kind).reshape(len(mask), -1).any(axis=1)
                    np.bitwise_or.at(self.rail[apart], bins[seen], np.int8(1 << bit))

    def draw_bound(self, limits: Limits, j: Judged, ulps: Array, rows: Rows, mixed: Array) -> None:
        """The mixed-stable bound of the very entry that has the largest error of its bin."""
        bins = _bins(limits.batch.args[limits.contract.args[0].name][rows], limits.batch.precision)
        with np.errstate(all="ignore"):
            in_ulp = (mixed / ulp_of(limits.batch.precision, scale_of(j.truth.rows(rows)))).reshape(len(rows), -1)
        worst = np.argmax(ulps[rows].reshape(len(rows), -1), axis=1)
        self.bound[bins] = np.nan_to_num(in_ulp[np.arange(len(rows)), worst], posinf=1e30)

    def record(self, arg: Arg, precision: Precision) -> records.Curve:
        """The curve as text, over the first argument or the largest magnitude in it."""
        low, top = _range(precision, scalar=not arg.dims)
        edges = from_ordinal(precision, np.array([low + (top - low) * i // BINS for i in range(BINS + 1)], np.int64))
        loud, explained = ([" ".join(r for b, r in enumerate(RAILS) if m >> b & 1) for m in row] for row in self.rail)
        return records.Curve(
            argument=arg.name if not arg.dims else f"largest magnitude in {arg.name}",
            x=[to_hex(v) for v in edges],
            error=[None if np.isnan(v) else finite(v) for v in self.error],
            bound=[None if np.isnan(v) else finite(v) for v in self.bound],
            rail=loud,
            excused_rail=explained,
            excused=[bool(v) for v in self.excused],
        )


def _range(precision: Precision, *, scalar: bool) -> tuple[int, int]:
    top = precision.largest_ordinal + 1
    return -top if scalar else 0, top


def _bins(first: Array, precision: Precision) -> Bins:
    """The bin of every row, by the ordinal of the first argument or of its largest magnitude."""
    scalar = first.ndim == 1
    size = np.abs(np.where(np.isfinite(first), first, 0.0)).reshape(len(first), -1)
    x = np.where(np.isnan(first), 0.0, first) if scalar else size.max(axis=1, initial=0.0)
    low, top = _range(precision, scalar=scalar)
    ordinal = to_ordinal(precision, x).astype(np.float64)
    return np.clip(((ordinal - low) * (BINS / (float(top) - low))).astype(np.int64), 0, BINS - 1)
