"""Kinds of whole numbers that point at something: classes, labels, lengths. Their tensors are int64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.domain.kind import Elementwise, Generator, Setting


def ignored_index(parameter: int | None) -> int:
    """The class index that a parameter makes ignored; None is -100, as it is of every loss of torch."""
    return -100 if parameter is None else parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassIndex(Elementwise):
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
            return np.asarray(index + (index >= setting.parameters.get(self.avoid, 0)), np.int64)
        index = rng.integers(0, count, shape)
        if self.ignored is not None and self.ignored in setting.parameters:
            index = np.where(rng.random(shape) < 0.15, ignored_index(setting.parameters[self.ignored]), index)
        return index.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabelIndex(Elementwise):
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
class Length(Elementwise):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples(Elementwise):
    """A number of samples, from 1 to ``largest``, by its magnitude; 1 and 2 often."""

    largest: int = 10**6

    @property
    def integral(self) -> bool:
        return True

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        return np.asarray((values >= 1) & (values <= self.largest), np.bool_)

    def draw(self, rng: Generator, shape: tuple[int, ...], setting: Setting) -> npt.NDArray[np.int64]:
        spread = np.exp(rng.uniform(0.0, np.log(self.largest), shape))
        return np.where(rng.random(shape) < 0.25, rng.integers(1, 3, shape), np.rint(spread)).astype(np.int64)
