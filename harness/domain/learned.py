"""What a module learns: numbers near those it starts with, since nothing else says how far they go."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Generator, Setting, over_rows
from harness.domain.vector import Embedding, zero
from harness.ulp import Array, Precision, round_to

REACH = 6.0
"""How far training takes a number from where it starts: by about the rate of Adam a step (Kingma and Ba 2015, section
2.1), so by this in 6,000 steps of 1e-3, and its exponential by a factor 400. A larger one goes as far as it is."""
LEAST = -20.0
"""Exponent of the smallest factors and moves that are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Embedding):
    """A learnable parameter from ``low`` to ``high``, drawn about the numbers that it starts with."""

    start: Array = field(compare=False)
    low: float
    high: float

    def legal(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return np.asarray((values >= self.low) & (values <= self.high), np.bool_)

    def legal_rows(self, values: npt.NDArray[np.float64], precision: Precision) -> npt.NDArray[np.bool_]:
        """Rows within reach; of vectors none of which starts at zero none is."""
        return over_rows(self.legal(values)) & Embedding.legal_rows(self, values, precision)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> Array:
        """A mixture: the start, its reach, the ends of it, whole numbers, the start with zeros, times or plus sizes."""
        column = (shape[0],) + (1,) * (len(shape) - 1)
        regime, whole = rng.integers(0, 8, column), np.broadcast_to(self.start, shape)
        moved = [
            whole,
            rng.uniform(self.low, self.high, shape),
            rng.choice([self.low, self.high], shape),
            np.rint(whole + rng.standard_normal(shape)),
            np.where(rng.random(shape) < 0.6, 0.0, whole),
            np.where(np.abs(whole) < np.abs(whole).max(axis=-1, keepdims=True, initial=0.0), 0.0, whole),
            whole * np.exp2(rng.uniform(LEAST, 3.0, shape)),
            whole + rng.standard_normal(shape) * np.exp2(rng.uniform(LEAST, 3.0, column)),
        ]
        return self._near(np.select([regime == i for i in range(8)], moved), setting.precision)

    def calm(self, rng: Generator, shape: tuple[int, ...], precision: Precision) -> Array:
        """Moves of about a quarter of each number, of a small one by a quarter."""
        return self._near(self.start + 0.25 * np.fmax(np.abs(self.start), 1.0) * rng.standard_normal(shape), precision)

    def _near(self, values: Array, precision: Precision) -> Array:
        found = round_to(precision, np.clip(values, self.low, self.high))
        return found if self.zero else np.where(zero(found), round_to(precision, self.start), found)


def learned(start: npt.NDArray[np.float64]) -> Learned:
    """The kind of a parameter that starts with these numbers."""
    known = np.nan_to_num(np.asarray(start, np.float64), posinf=0.0, neginf=0.0)
    reach = max(REACH, float(np.abs(known).max(initial=0.0)))
    least, most = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return Learned(
        zero=bool(zero(known[None]).any()), start=known, low=-_outward(reach - least), high=_outward(most + reach)
    )


def _outward(size: float) -> float:
    """A number of at least this, of six digits in base 2, so that every dtype has it."""
    if size == 0.0:
        return 0.0
    unit = 2.0 ** (np.floor(np.log2(abs(size))) - 5)
    return float(np.ceil(size / unit) * unit)
