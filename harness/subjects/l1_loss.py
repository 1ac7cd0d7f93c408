"""torch's l1_loss, of real and of complex tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.binding import bind
from harness.contracts.l1_loss import COMPLEX, CONTRACT
from harness.deviations import PARTIAL, Fault, Witness
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.overflow import part_overflows

FAULTS = (
    Fault(
        name="the difference overflows before the weight brings it back",
        where="abs(input - target) is beyond the largest number, weight * abs(input - target) is not",
        region=part_overflows("value"),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [2.0**127], "target": [-(2.0**127)], "weight": [0.0]}),
            Witness(args={"input": [2.0**127], "target": [-(2.0**127)], "weight": [0.25]}),
        ),
    ),
)


def l1_loss_complex(
    input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None = None, reduction: str = "mean"
) -> torch.Tensor:
    """F.l1_loss of complex tensors that are handed over as real and imaginary part."""
    return F.l1_loss(
        torch.complex(*input.unbind(-1)), torch.complex(*target.unbind(-1)), weight=weight, reduction=reduction
    )


SUBJECTS = (
    *builtin(CONTRACT, faults=FAULTS),
    bind(
        l1_loss_complex,
        COMPLEX,
        name="F.l1_loss_complex",
        expression=(
            "lambda input, target, **k: F.l1_loss(torch.complex(*input.unbind(-1)), torch.complex(*target.unbind(-1)), **k)"
        ),
        setup=FUNCTIONAL,
        origin="torch",
        unsupported={"bfloat16": "Expected both inputs to be Half, Float or Double tensors but got BFloat16"},
    ),
)
