"""Kinds of rows of real numbers: scores, probabilities, vectors, and the matrices that all rows share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Generator, Setting
from harness.ulp import Array, from_ordinal, round_to

REGIMES = ("spread", "tied", "saturated", "mixed", "shifted", "normal", "bits", "masked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logits:
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

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        x = rng.standard_normal(shape) * np.exp2(rng.uniform(-3, 5, (shape[0],) + (1,) * (len(shape) - 1)))
        x -= x.max(axis=-1, keepdims=True)
        log_p = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
        if self.log:
            return round_to(setting.precision, np.minimum(log_p, 0.0))
        p = np.exp(log_p)
        hard = rng.random((shape[0],) + (1,) * (len(shape) - 1)) < 0.25
        p = np.where(hard, p == p.max(axis=-1, keepdims=True), p)
        return round_to(setting.precision, p / p.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Rows of vectors, zero vectors included.

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
        return np.clip(round_to(p, x), -top, top)


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
