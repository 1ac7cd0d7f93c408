"""Tversky loss of memberships."""

from __future__ import annotations

from harness.contract import Contract, Parameter
from harness.contracts.overlaps import ARGS, DIMS, EMPTY, LAWS, MEMBERSHIPS, SMOOTH, UNDEFINED, counted
from reference.mp import overlap
from reference.overlap import tversky_loss

CONTRACT = Contract(
    name="tversky_loss",
    module="TverskyLoss",
    summary="1 less the Tversky index of predicted memberships and a target, which weighs the two kinds of error.",
    formula="1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth); TP = sum p g, FP = sum p (1 - g), "
    "FN = sum (1 - p) g, over the P members of a row",
    sources=(
        "Salehi, Erdogmus, Gholipour, Tversky loss function for image segmentation using 3D FCNs (2017), equation 4",
    ),
    dims=DIMS,
    args=ARGS,
    parameters=(
        Parameter(name="alpha", values=(0.5, 0.3)),
        Parameter(name="beta", values=(0.5, 0.7)),
        SMOOTH,
    ),
    oracle=tversky_loss,
    definition=overlap.tversky_loss,
    scales="B_ref = B_acc = abs(f), the form (alpha FP + beta FN) / (TP + alpha FP + beta FN + smooth); B_abs = 1, of "
    "the gradient 3 over the same denominator",
    layouts=("rows", "strided"),
    specials=(
        *MEMBERSHIPS,
        EMPTY,
        UNDEFINED,
        counted("one of two in common, without smoothing: the Dice loss", 0.5, smooth=0.0),
        counted("one of two in common with alpha 0.3 and beta 0.7", 0.5, smooth=0.0, alpha=0.3, beta=0.7),
    ),
    laws=LAWS,
)
