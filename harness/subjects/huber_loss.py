"""torch's huber_loss.

The kernel takes z = abs(input - target) and then 0.5 * z * z or delta * (z - 0.5 * delta), step by step in the dtype
under test; the weight multiplies its result.
"""

from __future__ import annotations

import numpy as np

from harness.contracts.huber_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Points, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import difference, part_overflows
from harness.ulp import Array, round_to


def _unweighted(at: Points) -> tuple[Array, ...]:
    p, delta = at.precision, at["delta"]
    z = np.abs(difference(at))
    square = round_to(p, round_to(p, 0.5 * z) * z)
    return z, np.where(z < delta, square, round_to(p, delta * round_to(p, z - 0.5 * delta)))


FAULTS = (
    Fault(
        name="the difference or the unweighted loss overflows before delta or the weight brings it back",
        where="abs(input - target) or the loss without weight is beyond the largest number, the loss is not",
        region=part_overflows("value", _unweighted),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**127], "target": [-(2.0**127)]}, parameters={"delta": 0.1}),
            Witness(args={"input": [2.0**127], "target": [0.0], "weight": [0.0]}, parameters={"delta": 1000.0}),
        ),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
