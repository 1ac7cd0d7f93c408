"""torch's multilabel_soft_margin_loss: -weight * [y logsigmoid(x) + (1 - y) logsigmoid(-x)], summed, then over C."""

from __future__ import annotations

from harness.contracts.multilabel_soft_margin_loss import CONTRACT
from harness.deviations import PARTIAL, Fault, Witness, partial_leaves_range
from harness.subjects.builtin import builtin

FAULTS = (
    Fault(
        name="the sum over classes overflows before it is divided by their number",
        where="the sum of the weighted losses of the classes beyond the largest number, its mean is not",
        region=partial_leaves_range("value"),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [["0x1p+127", "0x1p+127"]], "target": [[0.0, 0.0]]}),
            Witness(args={"input": [["0x1p+1023", "0x1p+1023"]], "target": [[0.0, 0.0]]}, dtype="float64"),
            Witness(args={"input": [[32768.0, 32768.0]], "target": [[0.0, 0.0]]}, dtype="float16"),
            Witness(args={"input": [["0x1p+127", "0x1p+127"]], "target": [[0.0, 0.0]]}, dtype="bfloat16"),
        ),
    ),
)
SUBJECTS = builtin(CONTRACT, faults=FAULTS)
