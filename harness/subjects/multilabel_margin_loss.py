"""torch's multilabel_margin_loss: z = (1 - x[y[j]]) + x[i], the sum of the z > 0, then that over K."""

from __future__ import annotations

import numpy as np

from harness.contracts.multilabel_margin_loss import CONTRACT, front, labelled
from harness.deviations import GARBAGE, PARTIAL, Fault, Mask, Points, Seen, Witness, nowhere
from harness.subjects.builtin import builtin
from harness.subjects.multi_margin_loss import agree, overflows_alone, slope_is_nan, value_is_nan
from harness.ulp import Array
from reference.truth import Output


def _as_written(at: Points) -> tuple[Array, Array, Array]:
    """Value and gradient of the formula with a sum over z > 0 only, and the size of the numbers z is made of."""
    x, classes = at["input"], at["input"].shape[1]
    times = np.zeros(x.shape)
    row, place = np.nonzero(front(at))
    np.add.at(times, (row, at["target"][row, place]), 1.0 / classes)
    z = 1.0 - x[:, :, None] + x[:, None, :]
    counts = (z > 0.0) & labelled(at)[:, :, None] & ~labelled(at)[:, None, :]
    value = np.where(counts, times[:, :, None] * np.where(counts, z, 0.0), 0.0).sum(axis=(1, 2))
    pulls = np.where(counts, times[:, :, None], 0.0)
    size = (1.0 + np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=1)) * classes
    return value, pulls.sum(axis=1) - pulls.sum(axis=2), size


def _value_skips_nan(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
    value, _, size = _as_written(at)
    return agree(got, value, size, at)


def _slope_skips_nan(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
    _, slope, _ = _as_written(at)
    return agree(got, slope, np.ones_like(slope), at)


FAULTS = (
    Fault(
        name="a hinge that is nan counts as 0",
        where="a score is nan, or an infinite score of a label meets one of its sign: z > 0 is false of nan",
        region=value_is_nan,
        outputs=("value",),
        seen=Seen(text="the hinges above 0 alone", holds=_value_skips_nan, exact=True),
        witnesses=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [[0, -1, -1]]}),
            Witness(args={"input": [["nan", 0.0, 3.0]], "target": [[0, -1, -1]]}),
            Witness(args={"input": [["inf", "inf"]], "target": [[0, -1]]}),
        ),
    ),
    Fault(
        name="the gradient of a hinge that is nan is 0",
        where="the classes of a hinge that is nan: z > 0 is false of nan",
        region=slope_is_nan,
        outputs=("input",),
        seen=Seen(text="the gradient of the hinges above 0 alone", holds=_slope_skips_nan, exact=True),
        witnesses=(
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
UNSUPPORTED = {
    "float16": "\"multilabel_margin_loss_forward_out_frame\" not implemented for 'Half'",
    "bfloat16": "\"multilabel_margin_loss_forward_out_frame\" not implemented for 'BFloat16'",
    "double backward": "derivative for aten::multilabel_margin_loss_backward is not implemented",
    "forward-mode": "forward AD with multilabel_margin_loss_forward that does not support it",
}
UNINITIALISED = Fault(
    name="an empty batch gives uninitialised memory",
    where="no rows, reduction sum or mean: the kernel returns before it writes its result",
    region=nowhere,
    outputs=("value",),
    dtypes=("float64", "float32"),
    seen=GARBAGE,
    rows={f"reductions: reduction={r}, empty batch": ("reduction",) for r in ("sum", "mean")},
)
SUBJECTS = builtin(CONTRACT, faults=(*FAULTS, UNINITIALISED), unsupported=UNSUPPORTED)
