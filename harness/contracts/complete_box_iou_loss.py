"""1 - CIoU of two boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.contracts.boxes import ARGS, COORDINATES, DIMS, LAWS, arranged, known, near_kink
from harness.contracts.distance_box_iou_loss import FIGURES
from harness.deviations import Points
from reference.boxes import complete_box_iou_loss
from reference.mp import boxes

ALIKE = 1e-3


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    """Boxes of unlike shapes too: where v is not 0 the gradient, to which alpha is constant, is no derivative."""
    a, b = np.asarray(at["input"], np.float64), np.asarray(at["target"], np.float64)
    first, second = (np.arctan2(x[..., 2] - x[..., 0], x[..., 3] - x[..., 1]) for x in (a, b))
    return near_kink(at) | np.asarray(np.abs(first - second) > ALIKE, np.bool_)


CONTRACT = Contract(
    name="complete_box_iou_loss",
    module="CIoULoss",
    summary="The distance IoU loss of two boxes, and a penalty of unlike ratios of their sides.",
    formula="1 - I / U + (distance of centres)**2 / (W**2 + H**2) + alpha v; alpha = v / (1 - I / U + v), "
    "v = (2 / pi (atan(target w / h) - atan(input w / h)))**2; alpha, 0 where v is, is a constant to the gradient",
    sources=(
        "Zheng, Wang, Liu, Li, Ye, Ren, Distance-IoU Loss (2020), equations 8 to 12",
        "torchvision.ops.complete_box_iou_loss, which adds eps to the denominators and has alpha without gradient",
    ),
    dims=DIMS,
    args=ARGS,
    oracle=complete_box_iou_loss,
    definition=boxes.complete_box_iou_loss,
    scales="B_ref as of the distance IoU loss + (16 / pi**2) alpha abs(a) (abs(a) + (w ht + wt h) / hypot), a the "
    "difference of arc tangents; B_abs = 3",
    layouts=("rows", "strided"),
    specials=(
        *COORDINATES,
        *known(FIGURES),
        *known(
            {
                "a square across a box half as wide": ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0], 0.5345),
            }
        ),
    ),
    laws=LAWS,
    near_kink=_near_kink,
    arrange=arranged,
)
