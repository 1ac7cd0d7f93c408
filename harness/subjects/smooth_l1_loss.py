"""torch's smooth_l1_loss.

Below beta the kernel takes 0.5 * z * z / beta from left to right in the dtype under test, z = abs(input - target).
"""

from __future__ import annotations

import numpy as np

from harness.contracts.smooth_l1_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Points, Witness
from harness.subjects.builtin import builtin
from harness.subjects.l1_loss import l1_faults
from harness.subjects.overflow import difference, part_overflows
from harness.ulp import Array, round_to


def _square(at: Points) -> tuple[Array, ...]:
    p = at.precision
    z = np.abs(difference(at))
    return (np.where(z < at["beta"], round_to(p, round_to(p, 0.5 * z) * z), z),)


FAULTS = (
    Fault(
        name="the square overflows before beta brings it back",
        where="half the square of a difference below beta, or a difference beyond it, is more than the largest number",
        region=part_overflows("value", _square),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [512.0], "target": [0.0]}, parameters={"beta": 1000.0}, dtype="float16"),
            Witness(args={"input": [2.0**65], "target": [0.0]}, parameters={"beta": 2.0**66}),
            Witness(args={"input": [2.0**520], "target": [0.0]}, parameters={"beta": 2.0**521}, dtype="float64"),
        ),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=(*FAULTS, *l1_faults(beta=0.0)))
