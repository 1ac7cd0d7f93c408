"""1 - DIoU of two boxes."""

from __future__ import annotations

from harness.contract import Contract
from harness.contracts.boxes import ARGS, COORDINATES, DIMS, LAWS, arranged, known, near_kink
from reference.boxes import distance_box_iou_loss
from reference.mp import boxes

FIGURES = {
    "one box twice": ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], "0"),
    "a quarter of the other": ([-1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 0.8125),
    "touching at an edge": ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 2.0], 1.1923),
    "touching at a corner": ([-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0], 1.25),
    "about one centre: 1 - IoU": ([-2.0, -2.0, 2.0, 2.0], [-1.0, -1.0, 1.0, 1.0], 0.75),
}
"""Of squares, which the complete IoU finds alike."""

CONTRACT = Contract(
    name="distance_box_iou_loss",
    module="DIoULoss",
    summary="1 - IoU of two boxes, and the squared distance of their centres over the squared diagonal around both.",
    formula="1 - I / U + (distance of centres)**2 / (W**2 + H**2); W, H: sides of the enclosing box",
    sources=(
        "Zheng, Wang, Liu, Li, Ye, Ren, Distance-IoU Loss (2020), equation 7",
        "torchvision.ops.distance_box_iou_loss, which adds eps to both denominators",
    ),
    dims=DIMS,
    args=ARGS,
    oracle=distance_box_iou_loss,
    definition=boxes.distance_box_iou_loss,
    scales="B_ref = abs(f) + sum over axes of abs(d) (abs(a1 - b1) + abs(a2 - b2)) / 2 (W**2 + H**2), d the distance "
    "of centres; B_abs = 2, of the gradient in an edge 2 h / U + 2 W / (W**2 + H**2)",
    layouts=("rows", "strided"),
    specials=(*COORDINATES, *known(FIGURES)),
    laws=LAWS,
    near_kink=near_kink,
    arrange=arranged,
)
