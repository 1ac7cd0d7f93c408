"""Focal Tversky loss of memberships."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.overlaps import ARGS, DIMS, EMPTY, LAWS, MEMBERSHIPS, SMOOTH, UNDEFINED, counted
from reference.mp import overlap
from reference.overlap import focal_tversky_loss

CONTRACT = Contract(
    name="focal_tversky_loss",
    module="FocalTverskyLoss",
    summary="A power of the Tversky loss, below 1 to keep the slope of small errors.",
    formula="(1 - TI)**gamma; TI = (TP + smooth) / (TP + alpha FN + beta FP + smooth), over the P members of a row",
    sources=(
        (
            "Abraham, Khan, A novel focal Tversky loss function with improved attention U-Net for lesion segmentation "
            "(2019), equations 2 and 3; their exponent is 1 / gamma with gamma = 4 / 3"
        ),
    ),
    dims=DIMS,
    args=ARGS,
    parameters=(
        Parameter(name="alpha", values=(0.7, 0.5)),
        Parameter(name="beta", values=(0.3, 0.5)),
        Parameter(name="gamma", values=(0.75, 0.5, 2.0)),
        SMOOTH,
    ),
    oracle=focal_tversky_loss,
    definition=overlap.focal_tversky_loss,
    scales="B_ref = B_acc = abs(f), a power of the cancellation-free Tversky loss; B_abs = 1, of the gradient "
    "3 gamma (1 - TI)**(gamma - 1) over its denominator",
    layouts=("rows", "strided"),
    specials=(
        *MEMBERSHIPS,
        EMPTY,
        UNDEFINED,
        counted("one of two in common, without smoothing: 0.5**0.75", 0.5946, smooth=0.0),
        counted("squared", 0.25, smooth=0.0, gamma=2.0),
    ),
    laws=LAWS,
)
