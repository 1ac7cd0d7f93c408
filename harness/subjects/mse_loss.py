"""torch's mse_loss.

Without weight one kernel computes d**2 and 2 d. With weight the loss is composed of tensor operations, each rounded to
the dtype under test: d, d**2, weight * d**2; backward d, 2 d, weight * (2 d).
"""

from harness.contracts.mse_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import overflows_alone

SQUARE = Fault(
    name="the square overflows before the weight brings it back",
    where="with weight: (input - target)**2 is beyond the largest number, weight * (input - target)**2 is not",
    region=overflows_alone("value"),
    outputs=("value",),
    seen=PARTIAL,
    witnesses=(
        Witness(args={"input": [2.0**66], "target": [0.0], "weight": [0.0]}),
        Witness(args={"input": [2.0**65], "target": [0.0], "weight": [2.0**-10]}),
    ),
)
DOUBLE = Fault(
    name="twice the difference overflows before the weight brings it back",
    where="with weight: 2 abs(input - target) is beyond the largest number, weight * 2 abs(input - target) is not",
    region=overflows_alone("input"),
    outputs=("input", "target"),
    seen=PARTIAL,
    witnesses=(
        Witness(args={"input": [2.0**127], "target": [0.0], "weight": [0.0]}),
        Witness(args={"input": [2.0**127], "target": [0.0], "weight": [0.5]}),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=(SQUARE, DOUBLE))
