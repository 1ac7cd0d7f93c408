"""Kinds of rows of real numbers: scores, probabilities, vectors, and the matrices that all rows share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Elementwise, Generator, Setting, over_rows
from harness.ulp import Array, Precision, from_ordinal, round_to

OFF = 24.0
"""How far a sum of probabilities may be from 1, in units of roundoff: rows are rounded, copied up to 3 ulps off, and
moved by JOINT_STEPS ulps for their conditioning."""

REGIMES = ("spread", "tied", "saturated", "mixed", "shifted", "normal", "bits", "masked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logits(Elementwise):
    """Rows of scores. ``masked`` admits -inf for classes that are not the target."""

    masked: bool = False
    largest: float = math.inf
    """Bound on magnitudes, where the loss is only defined or only interesting below."""

    @property
    def integral(self) -> bool:
        return False

    @property
    def hard(self) -> tuple[float, ...]:
        return ()

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(values) | ((values == -np.inf) & self.masked), np.bool_)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        p = setting.precision
        rows = shape[0]
        column = (rows,) + (1,) * (len(shape) - 1)
        x = rng.standard_normal(shape)
        ladder = np.exp2(rng.integers(-12, 13, column).astype(np.float64))
        regime = rng.integers(0, len(REGIMES) - (not self.masked), column)
        width = shape[-1]
        winner = rng.integers(0, width, column) == np.arange(width)
        value = x.copy()

        def put(name: str, candidate: Array) -> None:
            np.copyto(value, candidate, where=regime == REGIMES.index(name))

        put("spread", x * ladder)
        put("tied", np.rint(x) * ladder)
        put("saturated", x + np.where(winner, ladder, 0.0))
        put("mixed", x * np.exp2(rng.uniform(-30, 10, shape)))
        put("shifted", x + ladder * rng.choice([-1.0, 1.0], column))
        put("bits", from_ordinal(p, rng.integers(-p.largest_ordinal, p.largest_ordinal + 1, shape)))
        if self.masked:
            put("masked", np.where(rng.random(shape) < 0.4, -np.inf, x * 4.0))
        # Exponents of the dtype itself, so that overflow and subnormal rows are never missing.
        reach = np.exp2(rng.uniform(math.log2(p.smallest_subnormal), math.log2(p.largest) - 3, column))
        np.copyto(value, x * reach, where=(regime == REGIMES.index("spread")) & (rng.random(column) < 0.3))
        value = round_to(p, value)
        top = min(self.largest, p.largest)
        return np.where(np.isneginf(value) & self.masked, value, np.clip(value, -top, top))


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplex:
    """Rows of non-negative numbers that sum to 1 up to the rounding of each, over the last axis."""

    log: bool = False
    """Whether the rows are logarithms of probabilities."""

    @property
    def integral(self) -> bool:
        return False

    @property
    def hard(self) -> tuple[float, ...]:
        return () if self.log else (0.0, 1.0)

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        inside: npt.NDArray[np.bool_] = (values <= 0.0) if self.log else (values >= 0.0) & (values <= 1.0)
        return inside

    def legal_rows(self, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.bool_]:
        """Rows of probabilities that sum to 1 within what the dtype can hold."""
        with np.errstate(all="ignore"):
            share = np.exp(values) if self.log else values
            # A logarithm x holds its probability to within x roundoffs of it.
            held = np.nansum(share * np.abs(values), axis=-1) if self.log else 1.0
            room = OFF * (precision.u * held + values.shape[-1] * precision.smallest_subnormal)
            whole = np.abs(share.sum(axis=-1) - 1.0) <= room
        return over_rows(self.legal(values)) & over_rows(whole)

    def normalised(self, values: Array, precision: Precision) -> Array:
        """Rows of finite sum, with the same proportions and the sum 1."""
        with np.errstate(all="ignore"):
            if self.log:
                return round_to(precision, np.minimum(values - np.log(np.exp(values).sum(axis=-1, keepdims=True)), 0.0))
            return round_to(precision, values / values.sum(axis=-1, keepdims=True))

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        x = rng.standard_normal(shape) * np.exp2(rng.uniform(-3, 5, (shape[0],) + (1,) * (len(shape) - 1)))
        x -= x.max(axis=-1, keepdims=True)
        if self.log:
            return self.normalised(x, setting.precision)
        p = np.exp(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))
        hard = rng.random((shape[0],) + (1,) * (len(shape) - 1)) < 0.25
        p = np.where(hard, p == p.max(axis=-1, keepdims=True), p)
        return self.normalised(p, setting.precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Rows of vectors, zero vectors included unless ``zero`` is False.

    Their magnitudes go from subnormal to the square root of the largest number.
    """

    zero: bool = True
    largest: float = math.inf
    """Bound on magnitudes, where products of two members leave the range of the oracle itself."""
    reach: float = 1.0
    """Magnitudes stay below the largest number of the dtype to this power, and above its smallest likewise."""

    @property
    def integral(self) -> bool:
        return False

    @property
    def hard(self) -> tuple[float, ...]:
        return ()

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(values), np.bool_)

    def legal_rows(self, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.bool_]:
        """Rows of finite vectors, none of them zero where that is left out."""
        finite = over_rows(self.legal(values))
        return finite if self.zero else finite & over_rows(~zero(values))

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        p = setting.precision
        column = (shape[0],) + (1,) * (len(shape) - 1)
        x = rng.standard_normal(shape)
        regime = rng.integers(0, 10, column)
        low, high = math.log2(p.smallest_subnormal) * self.reach, math.log2(p.largest) * self.reach
        reach = np.exp2(rng.uniform(low, high - 3, column))
        with np.errstate(over="ignore"):
            x = np.where(regime == 0, x * reach, x)
            x = np.where(regime == 1, x * np.exp2(rng.uniform(-20, 10, shape)), x)
            x = np.where(regime == 2, x * np.exp2(rng.integers(-10, 11, column)), x)
        x = np.where(regime == 3, np.rint(x), x)
        x = np.where((regime == 4) & (rng.random(shape) < 0.6), 0.0, x)
        if self.zero:
            x = np.where((regime == 5) & (rng.random(column) < 0.2), 0.0, x)
        top = min(self.largest, p.largest if self.reach == 1.0 else 2.0**high)
        found = np.clip(round_to(p, x), -top, top)
        return found if self.zero else np.where(zero(found), 1.0, found)


def zero(vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a vector is zero, for each of its numbers; without dimensions every number is a vector."""
    zero = vectors == 0.0
    return np.asarray(zero.all(axis=-1, keepdims=True) if vectors.ndim > 1 else zero, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(Embedding):
    """A matrix or a bias that all rows share: one magnitude for all its entries, most often near 1."""

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        p = setting.precision
        x = rng.standard_normal(shape)
        regime = rng.integers(0, 8)
        if regime == 0:
            x *= np.exp2(rng.uniform(math.log2(p.smallest_subnormal), math.log2(p.largest) - 3))
        elif regime == 1:
            x *= np.exp2(rng.uniform(-20, 10, shape))
        elif regime <= 4:
            x *= np.exp2(rng.uniform(-8, 5))
        elif regime == 5:
            x = np.where(rng.random(shape) < 0.4, 0.0, np.rint(2.0 * x))
        top = min(self.largest, p.largest)
        return np.clip(round_to(p, x), -top, top)
