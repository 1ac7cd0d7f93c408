"""What a kind of numbers is asked for, and what it may look at when it draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.ulp import Precision

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

    def legal_rows(self, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.bool_]:
        """Membership of rows, shape (R,): of every number, and of those together that have a condition in common."""
        ...


def over_rows(members: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Rows of which everything is a member."""
    return np.asarray(members.all(axis=tuple(range(1, members.ndim))), np.bool_)


class Elementwise:
    """A kind whose numbers are members one by one."""

    __slots__ = ()

    def legal(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Elementwise membership."""
        raise NotImplementedError

    def legal_rows(self, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[np.bool_]:
        """Rows of which every number is a member."""
        return over_rows(self.legal(values))
