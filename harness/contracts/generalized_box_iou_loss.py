"""1 - GIoU of two boxes."""

from __future__ import annotations

from harness.contract import Contract
from harness.contracts.boxes import ARGS, COORDINATES, DIMS, LAWS, arranged, known, near_kink
from reference.boxes import generalized_box_iou_loss
from reference.mp import boxes

CONTRACT = Contract(
    name="generalized_box_iou_loss",
    module="GIoULoss",
    summary="1 - IoU of two boxes, and the share of the smallest box around both that belongs to none.",
    formula="1 - I / U + (C - U) / C; I, U: areas of intersection and union, C: of the enclosing box",
    sources=(
        "Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese, Generalized Intersection over Union (2019), algorithm 2",
        "torchvision.ops.generalized_box_iou_loss, which adds eps to both denominators",
    ),
    dims=DIMS,
    args=ARGS,
    oracle=generalized_box_iou_loss,
    definition=boxes.generalized_box_iou_loss,
    scales="B_ref = abs(f): (U - I) and (C - U) are sums of products of the parts of sides; B_abs = 2, of the "
    "gradient in an edge 2 h / U + h / C + 1 / W, h the side it moves along and W the enclosing side across it",
    layouts=("rows", "strided"),
    specials=(
        *COORDINATES,
        *known(
            {
                "one box twice": ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], "0"),
                "a quarter of the other: 1 - IoU": ([-1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 0.75),
                "touching at an edge": ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 2.0], 1.1667),
                "touching at a corner": ([-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0], 1.4444),
                "overlapping by a ninth of the enclosing box": ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], 1.0794),
                "far apart: 2 less a 145th": ([0.0, 0.0, 64.0, 64.0], [1024.0, 1024.0, 1088.0, 1088.0], 1.9931),
            }
        ),
    ),
    laws=LAWS,
    near_kink=near_kink,
    arrange=arranged,
)
