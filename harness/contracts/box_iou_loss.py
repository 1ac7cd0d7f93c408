"""1 - IoU of two boxes."""

from __future__ import annotations

from harness.contract import Contract
from harness.contracts.boxes import ARGS, COORDINATES, DIMS, LAWS, arranged, known, near_kink
from reference.boxes import box_iou_loss
from reference.mp import boxes

CONTRACT = Contract(
    name="box_iou_loss",
    module="IoULoss",
    summary="1 less the intersection over the union of two boxes.",
    formula="1 - I / U; I, U: areas of intersection and union",
    sources=(
        "Rahman, Wang, Optimizing Intersection-Over-Union in Deep Neural Networks (2016)",
        "Yu, Jiang, Wang, Cao, Huang, UnitBox (2016), section 3, for boxes",
    ),
    dims=DIMS,
    args=ARGS,
    oracle=box_iou_loss,
    definition=boxes.box_iou_loss,
    scales="B_ref = abs(f): U - I is a sum of products of the parts of sides; B_abs = 1, of the gradient in an edge "
    "2 h / U, h the side it moves along",
    layouts=("rows", "strided"),
    specials=(
        *COORDINATES,
        *known(
            {
                "one box twice": ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], "0"),
                "a quarter of the other": ([-1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 0.75),
                "an intersection of a seventh": ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], 0.8571),
                "touching at an edge": ([-1.0, -1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 2.0], 1.0),
                "apart": ([0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], 1.0),
            }
        ),
    ),
    laws=LAWS,
    near_kink=near_kink,
    arrange=arranged,
)
