"""Kinds of single numbers: intervals of the real line, and a few exact numbers."""
# ruff: noqa: N802 - kinds of arguments read as types, whether class or function makes them

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Elementwise, Generator, Setting
from harness.ulp import Array, Precision, every_pattern, from_ordinal, round_to, step, to_ordinal


def thresholds(precision: Precision) -> list[float]:
    """Where exp, log, squares and sums of the dtype change behaviour."""
    p = precision
    logs = [math.log(p.largest), -math.log(p.smallest_normal), -math.log(p.smallest_subnormal), p.digits * math.log(2)]
    roots = [math.sqrt(p.largest), math.sqrt(p.smallest_normal)]
    common = [
        0.5,
        1.0,
        2.0,
        10.0,
        15.0,
        20.0,
        30.0,
        50.0,
        88.0,
        100.0,
        700.0,
        1e-3,
        1e-4,
        1e-5,
        1e-6,
        1e-7,
        1e-8,
        1e-12,
    ]
    return [
        *logs,
        *roots,
        *common,
        p.u,
        2 * p.u,
        p.smallest_normal,
        p.smallest_subnormal,
        p.largest,
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(Elementwise):
    """Real numbers from ``low`` to ``high`` with the points near which implementations break."""

    low: float = -math.inf
    high: float = math.inf
    edges: tuple[float, ...] = ()
    hard: tuple[float, ...] = ()
    """Members that are labels: exact by meaning, so that they contribute nothing to the conditioning."""
    open_low: bool = False
    floor: float = 0.0
    """Smallest magnitude of a member other than 0."""
    whole: bool = False
    """Whether only whole numbers are members."""

    @property
    def integral(self) -> bool:
        return False

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        inside = (values > self.low) if self.open_low else (values >= self.low)
        inside &= (np.abs(values) >= self.floor) | (values == 0.0)
        whole = (values == np.rint(values)) | (not self.whole)
        member: npt.NDArray[np.bool_] = inside & (values <= self.high) & ~np.isinf(values) & whole
        return member

    def _bounds(self, p: Precision) -> tuple[int, int]:
        least = self.floor if self.low == 0.0 else self.low  # nothing between 0 and the floor is a member
        low = -p.largest_ordinal if math.isinf(self.low) else int(to_ordinal(p, round_to(p, least)))
        high = p.largest_ordinal if math.isinf(self.high) else int(to_ordinal(p, round_to(p, self.high)))
        return low + self.open_low, high

    def landmarks(self, p: Precision) -> Array:
        """Thresholds, edges and their mirror images that are members, in the order of the number line."""
        points = np.array([0.0, *self.edges, *self.hard, *thresholds(p)])
        if math.isfinite(self.low):
            points = np.concatenate([points, [self.low]])
        if math.isfinite(self.high):
            points = np.concatenate([points, [self.high], self.high - points])
        points = round_to(p, np.concatenate([points, -points]))
        points = np.rint(points) if self.whole else points
        return np.unique(points[self.legal(points)])

    def grid(self, p: Precision, n: int) -> Array:
        """About ``n`` members evenly spaced by ordinals with ends, landmarks and their neighbours; all of them where a
        16-bit dtype has no more than ``n``."""
        if p.bits == 16 and n >= 2**16 and not self.whole:
            patterns = every_pattern(p)
            return patterns[self.legal(patterns)]
        low, high = self._bounds(p)
        if self.whole:
            return np.unique(np.rint(self.landmarks(p)))[:n]
        marks = self.landmarks(p)
        near = np.concatenate([step(p, marks, k) for k in (-1, 0, 1)])
        near = np.unique(near[self.legal(near)])
        if n < 3 * len(near):
            # Few points: every other landmark, and the rest by ordinal.
            near = marks[np.unique(np.linspace(0, len(marks) - 1, max(n // 2, 2)).astype(int))]
        spaced = from_ordinal(p, _spread(low, high, max(n - len(near), 2)))
        return np.unique(np.concatenate([near, spaced]))

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        """A mixture: landmarks moved by up to 2**14 ulps, uniform bit patterns, log-scaled normals, uniform numbers."""
        p = setting.precision
        n = int(np.prod(shape))
        low, high = self._bounds(p)
        marks = self.landmarks(p)
        quarter = n // 4
        sizes = [quarter, quarter, quarter, n - 3 * quarter]
        shift = np.ldexp(1.0, rng.integers(0, 15, sizes[0])).astype(np.int64) * rng.integers(-1, 2, sizes[0])
        near = step(p, marks[rng.integers(0, len(marks), sizes[0])], shift)
        bits = from_ordinal(p, rng.integers(low, high + 1, sizes[1]))
        scaled = rng.standard_normal(sizes[2]) * np.exp2(rng.uniform(-20, 8, sizes[2]))
        wide = 100.0 if math.isinf(self.high) else self.high
        uniform = rng.uniform(-wide if math.isinf(self.low) else self.low, wide, sizes[3])
        if math.isfinite(self.low) and self.low >= 0:
            scaled = np.abs(scaled)
        mixed = np.concatenate([near, bits, round_to(p, scaled), round_to(p, uniform)])
        mixed = np.rint(mixed) if self.whole else mixed
        outside = ~self.legal(mixed)
        mixed[outside] = marks[rng.integers(0, len(marks), int(outside.sum()))]
        rng.shuffle(mixed)
        return mixed.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Interval):
    """The logit of a label: the larger it is, the more it speaks for 1 and against 0 or -1."""


def _spread(low: int, high: int, n: int) -> npt.NDArray[np.int64]:
    """``n`` ordinals from low to high, evenly; in integers, since float64 cannot hold every ordinal of float64."""
    return np.array([low + (high - low) * i // (n - 1) for i in range(n)], np.int64)


def Real(*, edges: tuple[float, ...] = ()) -> Interval:
    """Any real number."""
    return Interval(edges=edges)


def Probability(*, edges: tuple[float, ...] = ()) -> Interval:
    """A number in [0, 1], with the neighbourhoods where logarithms are clamped."""
    return Interval(low=0.0, high=1.0, edges=(math.exp(-100.0), *edges))


def SoftLabel() -> Interval:
    """A target in [0, 1]; 0 and 1 are hard labels."""
    return Interval(low=0.0, high=1.0, hard=(0.0, 1.0))


def Positive(*, edges: tuple[float, ...] = ()) -> Interval:
    """A number above 0."""
    return Interval(low=0.0, open_low=True, edges=edges)


def NonNegative(*, high: float = math.inf) -> Interval:
    """A number of at least 0."""
    return Interval(low=0.0, high=high)


def Weight() -> Interval:
    """A weight: 0, or from 2**-12 to 2**10. Beyond, the weight and not the loss would decide what leaves the range."""
    return Interval(low=0.0, high=1024.0, floor=2.0**-12, edges=(0.1, 0.3, 3.0))


def LogProbability() -> Interval:
    """A finite number of at most 0."""
    return Interval(high=0.0)


def Count() -> Interval:
    """A whole number of at least 0, as float."""
    return Interval(low=0.0, whole=True, edges=(3.0, 4.0, 7.0, 1000.0, 65504.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Elementwise):
    """One of a few exact numbers, such as the labels -1 and 1."""

    members: tuple[float, ...]

    @property
    def integral(self) -> bool:
        return False

    @property
    def hard(self) -> tuple[float, ...]:
        return self.members

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.isin(values, self.members)

    def grid(self, precision: Precision, n: int) -> Array:
        return np.array(self.members, np.float64)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        return np.array(self.members)[rng.integers(0, len(self.members), shape)]


def Sign() -> Choice:
    """A label -1 or 1."""
    return Choice(members=(-1.0, 1.0))


def Binary() -> Choice:
    """A label 0 or 1."""
    return Choice(members=(0.0, 1.0))
