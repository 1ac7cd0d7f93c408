"""A cause that many builtins share: a part of the formula leaves the range of the dtype though the result does not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.deviations import Points, Region


def part_overflows(output: str) -> Region:
    """Where the largest partial result that the oracle names is beyond the largest number and the output is not."""

    def region(at: Points) -> npt.NDArray[np.bool_]:
        wanted = at.truth.outputs()[output]
        if wanted.partial is None:
            return np.zeros(np.shape(wanted.exact), np.bool_)
        top = at.precision.largest
        return np.asarray((wanted.partial[1] > top) & (np.abs(wanted.exact) <= top), np.bool_)

    return region
