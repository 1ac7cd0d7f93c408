"""A cause that many builtins share: a part of the formula leaves the range of the dtype though the result does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.deviations import Points, Region
from harness.ulp import Array, round_to

Parts = Callable[[Points], tuple[Array, ...]]
"""Partial results, each rounded to the dtype."""


def part_overflows(output: str, parts: Parts) -> Region:
    """Where one of the parts is infinite and the output is a number of the dtype; rows without nan."""

    def region(at: Points) -> npt.NDArray[np.bool_]:
        truth = at.truth.outputs()[output].exact
        finite = np.isfinite(round_to(at.precision, truth))
        return np.asarray(np.any([np.isinf(part) for part in parts(at)], axis=0) & finite, np.bool_)

    return region


def overflows_alone(output: str) -> Region:
    """Where a partial product that the oracle names is beyond the largest number and the result is not."""

    def region(at: Points) -> npt.NDArray[np.bool_]:
        wanted = at.truth.outputs()[output]
        if wanted.partial is None:
            return np.zeros(np.shape(wanted.exact), np.bool_)
        largest = at.precision.largest
        return np.asarray((wanted.partial[1] > largest) & (np.abs(wanted.exact) <= largest), np.bool_)

    return region


def difference(at: Points) -> Array:
    """input - target in the dtype."""
    return round_to(at.precision, at["input"] - at["target"])
