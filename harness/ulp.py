"""The dtypes under test as sets of numbers: rounding, ordinals, and an error total over nan, inf and zero.

Values of every dtype are held as float64 arrays that are exact in the dtype, so that bfloat16 needs no NumPy type.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ordinals = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Precision:
    """A binary floating-point dtype: ``digits`` significant bits, exponent range of ``exponent_bits``."""

    name: str
    bits: int
    digits: int
    exponent_bits: int

    @property
    def u(self) -> float:
        """Unit roundoff, half an ulp of 1."""
        return math.ldexp(1.0, -self.digits)

    @property
    def largest(self) -> float:
        return (2.0 - math.ldexp(1.0, 1 - self.digits)) * math.ldexp(1.0, (1 << (self.exponent_bits - 1)) - 1)

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, 2 - (1 << (self.exponent_bits - 1)))

    @property
    def smallest_subnormal(self) -> float:
        return math.ldexp(self.smallest_normal, 1 - self.digits)

    @property
    def largest_ordinal(self) -> int:
        """Ordinal of +inf is one more than this."""
        return (((1 << self.exponent_bits) - 1) << (self.digits - 1)) - 1


FLOAT64 = Precision("float64", 64, 53, 11)
FLOAT32 = Precision("float32", 32, 24, 8)
FLOAT16 = Precision("float16", 16, 11, 5)
BFLOAT16 = Precision("bfloat16", 16, 8, 8)
PRECISIONS = {p.name: p for p in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}


def round_to(precision: Precision, values: npt.ArrayLike) -> Array:
    """The nearest number of the dtype, ties to even, overflow to inf; nan stays nan and zeros keep their sign."""
    x = np.asarray(values, np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if precision is FLOAT64:
            return x.copy()
        if precision is FLOAT32:
            return x.astype(np.float32).astype(np.float64)
        if precision is FLOAT16:
            return x.astype(np.float16).astype(np.float64)
        # Generic: round at the quantum of the binade; the quotient is below 2**53, so rint and the product are exact.
        _, exponent = np.frexp(x)
        quantum = np.maximum(np.ldexp(1.0, exponent - precision.digits), precision.smallest_subnormal)
        rounded = np.copysign(np.rint(x / quantum) * quantum, x)
        rounded = np.where(np.abs(rounded) > precision.largest, np.copysign(np.inf, x), rounded)
        return np.where(np.isfinite(x), rounded, x)


def to_ordinal(precision: Precision, values: npt.ArrayLike) -> Ordinals:
    """Position on the number line of the dtype: consecutive numbers differ by one, 0 and -0 are 0, nan is undefined."""
    x = np.asarray(values, np.float64)
    if precision is FLOAT64:
        bits = np.abs(x).view(np.int64)
    elif precision is FLOAT16:
        bits = np.abs(x).astype(np.float16).view(np.int16).astype(np.int64)
    else:
        with np.errstate(over="ignore"):
            bits = np.abs(x).astype(np.float32).view(np.int32).astype(np.int64) >> (32 - precision.bits)
    return np.where(np.signbit(x), -bits, bits)


def from_ordinal(precision: Precision, ordinals: npt.ArrayLike) -> Array:
    """Inverse of :func:`to_ordinal`, saturating at plus and minus inf."""
    n = np.asarray(ordinals, np.int64)
    bits = np.minimum(np.abs(n), precision.largest_ordinal + 1)
    if precision is FLOAT64:
        magnitude = bits.view(np.float64)
    elif precision is FLOAT16:
        magnitude = bits.astype(np.int16).view(np.float16).astype(np.float64)
    else:
        magnitude = (bits << (32 - precision.bits)).astype(np.int32).view(np.float32).astype(np.float64)
    return np.where(n < 0, -magnitude, magnitude)


def step(precision: Precision, values: Array, by: int | Ordinals) -> Array:
    """``values`` moved by a number of ordinals; inf and nan stay where they are."""
    return np.where(np.isfinite(values), from_ordinal(precision, to_ordinal(precision, values) + by), values)


def every_pattern(precision: Precision) -> Array:
    """All 65,536 bit patterns of a 16-bit dtype, in the order of the number line with the nans last."""
    if precision.bits != 16:
        raise ValueError(f"every_pattern is for 16-bit dtypes, got {precision.name}")
    top = precision.largest_ordinal + 1
    finite = from_ordinal(precision, np.arange(-top, top + 1))
    nans = np.full(2**16 - finite.size - 1, np.nan)
    return np.concatenate([finite, [-0.0], nans])


def distance(got: Array, want: Array) -> Array:
    """abs(got - want), total: 0 where both are nan or the same inf, inf where only one is nan or infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got - want)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def to_hex(value: float) -> str:
    """Exact text of a float; ``float.fromhex`` reads it back, ``inf`` and ``nan`` included."""
    return float(value).hex()
