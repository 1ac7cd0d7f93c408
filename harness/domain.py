"""The arguments of a loss and the kinds of numbers they hold: legal sets, deterministic grids, random mixtures.

A kind yields float64 arrays (or int64 for indices) whose numbers are exact in the dtype under test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from harness.ulp import Array, Precision, every_pattern, from_ordinal, round_to, step, to_ordinal

Role = Literal["input", "target", "weight"]
Generator = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a kind may look at when it draws: the dtype, the sizes of named dimensions, the parameter values."""

    precision: Precision
    dims: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Kind(Protocol):
    """A set of numbers that an argument may hold."""

    @property
    def integral(self) -> bool:
        """Whether the tensor is int64 rather than the dtype under test."""
        ...

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> npt.NDArray[Any]:
        """Random members: ``shape[0]`` rows, each from one regime."""
        ...

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Elementwise membership."""
        ...


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
class Interval:
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
class Choice:
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
        reach = np.exp2(rng.uniform(math.log2(p.smallest_subnormal), math.log2(p.largest) - 3, column))
        with np.errstate(over="ignore"):
            x = np.where(regime == 0, x * reach, x)
            x = np.where(regime == 1, x * np.exp2(rng.uniform(-20, 10, shape)), x)
            x = np.where(regime == 2, x * np.exp2(rng.integers(-10, 11, column)), x)
        x = np.where(regime == 3, np.rint(x), x)
        x = np.where((regime == 4) & (rng.random(shape) < 0.6), 0.0, x)
        if self.zero:
            x = np.where((regime == 5) & (rng.random(column) < 0.2), 0.0, x)
        top = min(self.largest, p.largest)
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


def ignored_index(parameter: int | None) -> int:
    """The class index that a parameter makes ignored; None is -100, as it is of every loss of torch."""
    return -100 if parameter is None else parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassIndex:
    """An index in 0 .. sizes[classes] - 1; where ``ignored`` names a parameter, sometimes that parameter's value."""

    classes: str = "C"
    ignored: str | None = None
    avoid: str | None = None
    """A parameter whose value is never drawn, such as the blank of CTC."""

    @property
    def integral(self) -> bool:
        return True

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(values >= 0, np.bool_)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> npt.NDArray[np.int64]:
        count = setting.dims[self.classes]
        if self.avoid is not None:
            index = rng.integers(0, count - 1, shape)
            return np.asarray(index + (index >= setting.parameters[self.avoid]), np.int64)
        index = rng.integers(0, count, shape)
        if self.ignored is not None and self.ignored in setting.parameters:
            index = np.where(rng.random(shape) < 0.15, ignored_index(setting.parameters[self.ignored]), index)
        return index.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabelIndex:
    """Rows of class indices, distinct, of which nothing counts after the first -1."""

    classes: str = "C"

    @property
    def integral(self) -> bool:
        return True

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(values >= -1, np.bool_)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> npt.NDArray[np.int64]:
        order = np.argsort(rng.random(shape), axis=-1)
        stop = rng.integers(0, shape[-1] + 1, (shape[0], 1))
        return np.where(np.arange(shape[-1]) == stop, -1, order).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A length between ``least`` and the size of a named dimension."""

    of: str
    least: int = 0

    @property
    def integral(self) -> bool:
        return True

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray(values >= self.least, np.bool_)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> npt.NDArray[np.int64]:
        top = setting.dims[self.of]
        index = rng.integers(min(self.least, top), top + 1, shape)
        return np.where(rng.random(shape) < 0.4, top, index).astype(np.int64)


ScalarKind = Interval | Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """One tensor argument of a loss."""

    name: str
    kind: Kind
    dims: tuple[str, ...] = ()
    """Named dimensions of one row; empty for a scalar kernel."""
    role: Role = "input"
    """``input`` conditions the loss, ``target`` where it is soft, ``weight`` never."""
    differentiable: bool = True
    optional: bool = False
    shared: bool = False
    """Whether one tensor serves all rows."""
    batch_axis: int = 0
    """Where torch's layout has the rows."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"Arg.name: expected an identifier, got {self.name!r}")
        if self.kind.integral and self.differentiable:
            object.__setattr__(self, "differentiable", False)

    @property
    def scalar(self) -> bool:
        return not self.dims and not self.shared and isinstance(self.kind, (Interval, Choice))

    def shape(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Rows-first shape of the tensor for ``rows`` rows."""
        own = tuple(sizes[d] for d in self.dims)
        return own if self.shared else (rows, *own)
