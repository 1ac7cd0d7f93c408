"""Soft Dice loss of memberships, with sums and with sums of squares below the fraction."""

from __future__ import annotations

from dataclasses import replace

from harness.contract import Contract, Parameter
from harness.contracts.overlaps import ARGS, DIMS, EMPTY, LAWS, MEMBERSHIPS, SMOOTH, UNDEFINED, counted
from harness.laws import exchanged
from reference.mp import overlap
from reference.overlap import dice_loss, dice_loss_squared

CONTRACT = Contract(
    name="dice_loss",
    module="DiceLoss",
    summary="1 less the Dice coefficient of predicted memberships and a target, smoothed.",
    formula="1 - (2 sum p g + smooth) / (sum p + sum g + smooth), over the P members of a row",
    sources=(
        "Sudre, Li, Vercauteren, Ourselin, Cardoso, Generalised Dice overlap as a deep learning loss function (2017)",
        "monai.losses.DiceLoss, which adds its smoothing to both sides of the fraction",
    ),
    dims=DIMS,
    args=ARGS,
    parameters=(SMOOTH,),
    oracle=dice_loss,
    definition=overlap.dice_loss,
    scales="B_ref = B_acc = abs(f), the form sum (p (1 - g) + (1 - p) g) / (sum p + sum g + smooth); B_abs = 1, of the "
    "gradient 6 / (sum p + sum g + smooth)",
    layouts=("rows", "strided"),
    specials=(
        *MEMBERSHIPS,
        EMPTY,
        UNDEFINED,
        counted("one of two in common, without smoothing: 1 - 2/4", 0.5, smooth=0.0),
        counted("one of two in common, smoothed: 1 - 3/5", 0.4),
    ),
    laws=(*LAWS, exchanged("input", "target")),
)

SQUARED = replace(
    CONTRACT,
    name="dice_loss_squared",
    module="VNetDiceLoss",
    summary="1 less the Dice coefficient with squares below the fraction, smoothed.",
    formula="1 - (2 sum p g + smooth) / (sum p**2 + sum g**2 + smooth), over the P members of a row",
    sources=(
        "Milletari, Navab, Ahmadi, V-Net (2016), section 3",
        "monai.losses.DiceLoss with squared_pred, which adds its smoothing to both sides of the fraction",
    ),
    # Without smoothing the squares of small memberships would leave the range and decide the result.
    parameters=(Parameter(name="smooth", values=(1.0, 1e-5)),),
    oracle=dice_loss_squared,
    definition=overlap.dice_loss_squared,
    scales="B_ref = abs(f), the form sum (p - g)**2 / (sum p**2 + sum g**2 + smooth); of the gradient the smaller of "
    "2 (abs(p - g) + f p) and 2 ((1 - f) p + g) over the same; B_abs = 1, of the gradient 4 max(p, g) over the same",
    specials=(
        *MEMBERSHIPS,
        EMPTY,
        counted("one of two in common, smoothed: 1 - 3/5", 0.4),
    ),
)
