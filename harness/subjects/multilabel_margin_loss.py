"""torch's multilabel_margin_loss: z = (1 - x[y[j]]) + x[i], the sum of the z > 0, then that over K."""

from __future__ import annotations

import numpy as np

from harness.contracts.multilabel_margin_loss import CONTRACT, front, labelled
from harness.deviations import PARTIAL, Fault, Points, Witness
from harness.subjects.builtin import builtin
from harness.subjects.hinges import EMPTY_BATCH, AsWritten, skips_nan, unsupported
from harness.subjects.overflow import overflows_alone


def _as_written(at: Points) -> AsWritten:
    x, classes = at["input"], at["input"].shape[1]
    times = np.zeros(x.shape)
    row, place = np.nonzero(front(at))
    np.add.at(times, (row, at["target"][row, place]), 1.0 / classes)
    z = 1.0 - x[:, :, None] + x[:, None, :]
    counts = (z > 0.0) & labelled(at)[:, :, None] & ~labelled(at)[:, None, :]
    pulls = np.where(counts, times[:, :, None], 0.0)
    return AsWritten(
        value=np.where(counts, times[:, :, None] * np.where(counts, z, 0.0), 0.0).sum(axis=(1, 2)),
        slope=pulls.sum(axis=1) - pulls.sum(axis=2),
        value_scale=(1.0 + np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=1)) * classes,
        slope_scale=np.ones(x.shape),
    )


FAULTS = (
    *skips_nan(
        "a score is nan, or an infinite score of a label meets one of its sign",
        _as_written,
        values=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [[0, -1, -1]]}),
            Witness(args={"input": [["nan", 0.0, 3.0]], "target": [[0, -1, -1]]}),
            Witness(args={"input": [["inf", "inf"]], "target": [[0, -1]]}),
        ),
        slopes=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [[0, -1, -1]]}),
            Witness(args={"input": [["inf", "inf"]], "target": [[0, -1]]}),
        ),
    ),
    Fault(
        name="the sum of hinges overflows before the number of classes brings it back",
        where="a hinge or the sum of them beyond the largest number, the loss is not",
        region=overflows_alone("value"),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [["0x1p+127", "0x1p+127", 0.0]], "target": [[2, -1, -1]]}),
            Witness(args={"input": [["0x1p+1023", "0x1p+1023", 0.0]], "target": [[2, -1, -1]]}, dtype="float64"),
        ),
    ),
)
UNSUPPORTED = unsupported(
    "multilabel_margin_loss", "multilabel_margin_loss_forward_out_frame", "multilabel_margin_loss_forward"
)
SUBJECTS = builtin(CONTRACT, faults=(*FAULTS, EMPTY_BATCH), unsupported=UNSUPPORTED)
