"""torch's pairwise_distance."""

import numpy as np

from harness.contracts.pairwise_distance import CONTRACT
from harness.deviations import PARTIAL, Fault, Mask, Points, Witness
from harness.subjects.builtin import builtin
from harness.ulp import Array


def _lost(points: Points, sizes: Array) -> Mask:
    p = points.precision
    return np.asarray((sizes > p.largest) | (sizes < p.smallest_normal), np.bool_)


def _sum_of_powers(points: Points) -> Mask:
    """The norm is the root of the sum of abs(d)**p, which is not divided by the largest of them first."""
    norm, p = points.truth.value.exact, float(points["p"])
    return _lost(points, norm**p) & (norm > 0.0) & (p != 1.0) & np.isfinite(p)


def _apart(points: Points) -> Mask:
    """The slope is made of d, abs(d)**(p - 2) and norm**(1 - p), each a number of the dtype, as is the norm."""
    norm, p = points.truth.value.exact, float(points["p"])
    largest = points.precision.largest
    if p == 1.0 or np.isinf(p):
        return np.zeros(norm.shape, np.bool_)
    beyond = norm > largest
    if p != 2.0:
        power = norm ** (p - 1.0)
        beyond |= (np.maximum(power, 1.0 / power) > largest) & (norm > 0.0)
    if p < 1.0:
        d = np.abs(np.asarray(points["x1"], np.float64) - points["x2"] + points["eps"])
        power, least = d ** (p - 1.0), points.precision
        subnormal = (power < least.smallest_normal) & (power >= least.smallest_subnormal)
        return np.asarray(beyond[:, None] | ((power > largest) & (d > 0.0)) | subnormal, np.bool_)
    return np.asarray(beyond, np.bool_)


SUBJECTS = builtin(
    CONTRACT,
    fixed="none",
    faults=(
        Fault(
            name="the sum of powers leaves the range",
            where="norm**p beyond the largest or below the smallest normal number",
            region=_sum_of_powers,
            outputs=("value", "x1", "x2"),
            dtypes=("float64", "float32", "bfloat16"),
            seen=PARTIAL,
            witnesses=(
                Witness(args={"x1": [[3e19, 4e19]], "x2": [[0.0, 0.0]]}),
                Witness(args={"x1": [[3e199, 4e199]], "x2": [[0.0, 0.0]]}, dtype="float64"),
            ),
        ),
        Fault(
            name="the backward takes powers of the norm apart",
            where="the norm, or norm**(p - 1) or its reciprocal, or for p < 1 abs(d)**(p - 1), beyond the largest number; "
            "for p < 1 abs(d)**(p - 1) subnormal",
            region=_apart,
            outputs=("x1", "x2"),
            seen=PARTIAL,
            witnesses=(
                Witness(args={"x1": [[0.0]], "x2": [[0.0]]}, parameters={"p": 3.0}, dtype="float16"),
                Witness(args={"x1": [[300.0, 400.0]], "x2": [[0.0, 0.0]]}, parameters={"p": 3.0}, dtype="float16"),
                Witness(args={"x1": [[1e20]], "x2": [[0.0]]}, parameters={"p": -1.0}),
            ),
        ),
    ),
)
