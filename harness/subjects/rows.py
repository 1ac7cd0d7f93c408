"""Regions of vector losses that are dear to compute, computed only at the rows where they can hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.deviations import Mask, Points, Region, Seen
from harness.ulp import Array, Precision, step
from reference.truth import Output


def at_rows(points: Points, rows: npt.NDArray[np.intp]) -> Points:
    """The same points at some rows."""
    return replace(points, args={k: v[rows] for k, v in points.args.items()}, truth=points.truth.rows(rows))


def ordinal(precision: Precision, values: Array) -> Array:
    """The distance to the next number away from 0; of the largest number to the one before."""
    away = np.abs(step(precision, np.abs(values), 1) - np.abs(values))
    return np.where(np.isfinite(away), away, np.abs(values) - step(precision, np.abs(values), -1))


def among(candidates: Region, region: Region) -> Region:
    """``region`` where the rows are candidates, and nowhere else."""

    def where(points: Points) -> Mask:
        chosen = np.asarray(candidates(points), np.bool_)
        rows = np.flatnonzero(chosen)
        found = np.asarray(region(at_rows(points, rows)), np.bool_)
        mask = np.zeros((len(chosen), *found.shape[1:]), np.bool_)
        mask[rows] = found
        return mask

    return where


def seen_among(candidates: Region, seen: Seen) -> Seen:
    """The same, asked only of rows that are candidates."""

    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        rows = np.flatnonzero(candidates(points))
        mask = np.zeros(got.shape, np.bool_)
        if rows.size:
            mask[rows] = seen.holds(got[rows], truth.rows(rows), at_rows(points, rows), bound[rows])
        return mask

    return replace(seen, holds=holds)
