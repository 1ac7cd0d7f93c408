"""-log(IoU) of two boxes that overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.contract import Contract
from harness.contracts.boxes import ARGS, COORDINATES, DIMS, LAWS, arranged, known, near_kink
from harness.domain.box import overlapping
from reference.boxes import iou_log_loss
from reference.mp import boxes


def _arranged(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    mended = arranged(args, parameters)
    first, second = overlapping(mended["input"], mended["target"])
    return {**mended, "input": first, "target": second}


CONTRACT = Contract(
    name="iou_log_loss",
    module="UnitBoxLoss",
    summary="Negative logarithm of the intersection over the union of two boxes that overlap.",
    formula="-log(I / U); I, U: areas of intersection and union, I > 0",
    sources=("Yu, Jiang, Wang, Cao, Huang, UnitBox: An Advanced Object Detection Network (2016), section 3",),
    dims=DIMS,
    args=ARGS,
    oracle=iou_log_loss,
    definition=boxes.iou_log_loss,
    scales="B_ref = abs(f), the form log1p((U - I) / I) of non-negative areas; B_abs = 1 + f, of the gradient in an "
    "edge 1 / w + 2 h / U, h the side it moves along and w the common part of the side across it",
    layouts=("rows", "strided"),
    specials=(
        *COORDINATES,
        *known(
            {
                "one box twice": ([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0], "0"),
                "a quarter of the other: log 4": ([-1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], 1.3863),
                "an intersection of a seventh: log 7": ([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], 1.9459),
            }
        ),
    ),
    laws=LAWS,
    near_kink=near_kink,
    arrange=_arranged,
)
