"""Kinds of axis-aligned boxes (x1, y1, x2, y2) with x1 < x2 and y1 < y2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Generator, Setting, over_rows
from harness.ulp import Array, Precision, from_ordinal, round_to, to_ordinal

LARGEST = 2.0**56
SMALLEST = 2.0**-56
"""Largest magnitude of a coordinate and smallest side: areas, of the enclosing box too, stay between 2**-112 and 2**114
and so in the range of float32. Beyond, the representation of an area and not the loss would decide the result."""

FEW = 2.0**-10
REGIMES = ("unit", "lattice", "pixels", "subpixels", "metres", "tiny", "thin", "huge", "mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Rows of four numbers x1, y1, x2, y2 with x1 < x2 and y1 < y2.

    Boxes of the unit square and of images, whole and fractional; on a lattice of few numbers, where two boxes share
    edges, touch, are nested or the same; tiny, thin and huge ones. Two boxes drawn apart are often disjoint; copies
    across arguments make them identical or nearly so. ``legal`` speaks of single numbers, ``legal_rows`` of boxes.
    """

    largest: float = LARGEST
    """Bound on magnitudes of coordinates; a dtype may have a smaller one."""
    smallest: float = SMALLEST
    """Smallest side."""

    @property
    def integral(self) -> bool:
        return False

    @property
    def hard(self) -> tuple[float, ...]:
        return ()

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(values) <= self.largest, np.bool_)

    def legal_rows(self, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.bool_]:
        """Rows of boxes whose corners are in order, every side at least ``smallest``."""
        with np.errstate(all="ignore"):
            wide = values[..., 2:] - values[..., :2] >= self.smallest
        return over_rows(self.legal(values)) & over_rows(wide)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        p = setting.precision
        half = (*shape[:-1], 2)
        column = (shape[0],) + (1,) * (len(shape) - 1)
        top = min(self.largest, p.largest)
        regime = rng.integers(0, len(REGIMES), column)
        corner, side = rng.random(half), rng.uniform(0.05, 0.95, half)

        def put(name: str, low: Array, length: Array) -> None:
            here = regime == REGIMES.index(name)
            np.copyto(corner, low, where=here)
            np.copyto(side, length, where=here)

        small = rng.integers(0, 4, half).astype(np.float64)
        put("lattice", small, rng.integers(1, 4, half).astype(np.float64))
        whole = rng.integers(0, 640, half).astype(np.float64)
        put("pixels", whole, np.ceil(np.exp2(rng.uniform(0, 9, half))))
        put("subpixels", rng.uniform(0, 640, half), np.exp2(rng.uniform(0, 9, half)))
        put("metres", rng.normal(0.0, 2.0, half), np.exp(rng.normal(1.0, 1.0, half)))
        reach = np.exp2(rng.uniform(np.log2(self.smallest) + 1, -6, column))
        near = rng.normal(0.0, 1.0, half) * np.where(rng.random(column) < 0.5, reach, 1.0)
        put("tiny", near, reach * rng.uniform(1.0, 4.0, half))
        put("thin", rng.normal(0.0, 2.0, half), np.exp2(rng.uniform(-16, 6, half)))
        span = np.exp2(rng.uniform(10, np.log2(self.largest) - 4, column))
        put("huge", rng.normal(0.0, 1.0, half) * span, rng.uniform(0.1, 4.0, half) * span)
        put(
            "mixed",
            rng.standard_normal(half) * np.exp2(rng.uniform(-30, 30, half)),
            np.exp2(rng.uniform(-30, 30, half)),
        )
        # Squares, in one row of three.
        side[..., 1:] = np.where(rng.random(column) < 1 / 3, side[..., :1], side[..., 1:])
        with np.errstate(over="ignore"):
            x = round_to(p, np.concatenate([corner, corner + side], axis=-1))
        # Sides of one to some ordinals, in one row of sixteen.
        few = from_ordinal(p, to_ordinal(p, x[..., :2]) + rng.integers(1, 2**6, half))
        x[..., 2:] = np.where(rng.random(column) < 1 / 16, few, x[..., 2:])
        return mended(np.clip(x, -top, top), self.smallest)


def mended(boxes: Array, smallest: float = SMALLEST) -> Array:
    """The boxes with their corners in order and every side at least ``smallest``; all numbers stay in their dtype."""
    with np.errstate(over="ignore"):
        low = np.minimum(boxes[..., :2], boxes[..., 2:])
        high = np.maximum(boxes[..., :2], boxes[..., 2:])
        flat = ~(high - low >= smallest)
    # Halves are exact and so never leave the dtype: below a negative number is its own, above a positive one it is.
    lower = np.where(low > FEW, 0.5 * low, np.where(low < -FEW, low, 0.0))
    upper = np.where(low > FEW, low, np.where(low < -FEW, 0.5 * low, 1.0))
    return np.concatenate([np.where(flat, lower, low), np.where(flat, upper, high)], axis=-1)


def overlapping(first: Array, second: Array, share: float = 2.0**-10) -> tuple[Array, Array]:
    """Two boxes whose intersection has sides of at least ``share`` of the shorter sides.

    Where the sides of an axis do not overlap so much, their four ends are dealt out anew: the first to the third and
    the second to the fourth, or all of it and the middle where that leaves too little.
    """
    a, b = first.copy(), second.copy()
    for axis in (0, 1):
        ends = np.sort(np.stack([a[..., axis], a[..., axis + 2], b[..., axis], b[..., axis + 2]]), axis=0)

        def short(a1: Array, a2: Array, b1: Array, b2: Array) -> npt.NDArray[np.bool_]:
            common = np.minimum(a2, b2) - np.maximum(a1, b1)
            return np.asarray(~(common >= share * np.minimum(a2 - a1, b2 - b1)) | ~(common >= SMALLEST))

        lacking = short(a[..., axis], a[..., axis + 2], b[..., axis], b[..., axis + 2])
        crossed = (ends[0], ends[2], ends[1], ends[3])
        same = (ends[0], ends[3], ends[0], ends[3])
        dealt = np.where(short(*crossed), np.stack(same), np.stack(crossed))
        for box, place, value in (
            (a, axis, dealt[0]),
            (a, axis + 2, dealt[1]),
            (b, axis, dealt[2]),
            (b, axis + 2, dealt[3]),
        ):
            box[..., place] = np.where(lacking, value, box[..., place])
    return a, b
