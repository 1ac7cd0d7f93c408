"""What the losses with a projection to the classes share: where torch's log_softmax and matrix products lose the result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.deviations import Points, Region
from harness.judge import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, depth
from harness.ulp import Array
from reference.truth import Output

Mask = npt.NDArray[np.bool_]


def least_bound(output: str, at: Points) -> Array:
    """The error that the best algorithm may make, without that of moved inputs."""
    p, wanted = at.precision, at.truth.outputs()[output]
    constant = VALUE_CONSTANT if output == "value" else GRADIENT_CONSTANT
    rounding = p.u * wanted.reference + p.smallest_subnormal * wanted.underflow
    sums = accumulator(p).u * depth(np.shape(at["input"])[1]) * wanted.accumulation
    return np.asarray(constant * (rounding + sums))


def rounding_of_one_shows(output: str, of: Callable[[Points], tuple[Array, Array]]) -> Region:
    """Where a number that torch takes as a difference with 1 is worth more than the bound, and so is the rounding of that 1.

    ``of`` gives the number and the factor of the 1, both carried to the entries of the output.
    """

    def region(at: Points) -> Mask:
        number, factor = of(at)
        lost = np.minimum(number, accumulator(at.precision).u * factor)
        return np.asarray(least_bound(output, at) < lost, np.bool_)

    return region


def sum_leaves_range(output: str) -> Region:
    """Where a partial sum of the products is beyond the largest number."""

    def region(at: Points) -> Mask:
        wanted: Output = at.truth.outputs()[output]
        assert wanted.partial is not None
        return np.broadcast_to(wanted.partial[1] > at.precision.largest, np.shape(wanted.exact))

    return region
