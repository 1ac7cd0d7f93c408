"""torch's multi_margin_loss: z = (margin - x[y]) + x[i], where z > 0 the sum of z**p * weight[y], then that over C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, depth
from harness.contracts.multi_margin_loss import CONTRACT, chosen
from harness.deviations import (
    GARBAGE,
    PARTIAL,
    Fault,
    Mask,
    Points,
    Region,
    Seen,
    Witness,
    nowhere,
    partial_leaves_range,
)
from harness.subjects.builtin import builtin
from harness.ulp import Array, distance
from reference.truth import Output


def value_is_nan(at: Points) -> Mask:
    return np.isnan(at.truth.value.exact)


def slope_is_nan(at: Points) -> Mask:
    return np.isnan(at.truth.gradients["input"].exact)


def overflows_alone(output: str) -> Region:
    """Where a part that the oracle names is beyond the largest number and the result is not."""
    leaves = partial_leaves_range(output)

    def region(at: Points) -> Mask:
        return np.asarray(leaves(at) & (np.abs(at.truth.outputs()[output].exact) <= at.precision.largest), np.bool_)

    return region


def agree(got: Array, want: Array, scale: Array, at: Points) -> Mask:
    """Equal up to the rounding of numbers of the size of ``scale``."""
    allowed = GRADIENT_CONSTANT * (at.precision.u * (np.abs(want) + scale) + at.precision.smallest_subnormal)
    return np.asarray(distance(got, want) <= np.where(np.isfinite(allowed), allowed, 0.0), np.bool_)


def _as_written(at: Points) -> tuple[Array, Array, Array]:
    """Value and gradient of the formula with a sum over z > 0 only, and the size of the numbers z is made of."""
    x, target, p = at["input"], chosen(at), at["p"]
    weight = (np.asarray(at["weight"]) * np.ones(x.shape[1]))[at["target"]][:, None] / x.shape[1]
    z = at["margin"] - x[target][:, None] + x
    counts = (z > 0.0) & ~target
    z = np.where(counts, z, 0.0)
    value = np.where(counts, weight * z**p, 0.0).sum(axis=1)
    slope = np.where(counts, weight * p * z ** (p - 1), 0.0)
    slope = np.where(target, -slope.sum(axis=1, keepdims=True), slope)
    return value, slope, at["margin"] + np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=1)


def _value_skips_nan(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
    value, _, size = _as_written(at)
    return agree(got, value, np.max(at["weight"]) * size ** at["p"], at)


def _slope_skips_nan(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
    _, slope, size = _as_written(at)
    return agree(got, slope, np.max(at["weight"]) * size[:, None] ** (at["p"] - 1), at)


def _long_sum(at: Points, constant: float) -> Mask:
    """Rows whose sum, one hinge after the other, may cost n / 2 roundings of it, more than a pairwise one may."""
    x, target = at["input"], chosen(at)
    n = ((at["margin"] - x[target][:, None] + x > 0.0) & ~target).sum(axis=1)
    return np.asarray(n / 2 > constant * (1.0 + depth(x.shape[1])), np.bool_)


def _one_by_one(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
    allowed = bound + at.precision.u * at["input"].shape[1] * np.abs(truth.exact)
    return np.asarray(distance(got, truth.exact) <= allowed, np.bool_)


MANY_CLASSES = Witness(args={"input": [[0.0] * 6000], "target": [0]}, parameters={"margin": 0.3})
ONE_BY_ONE = Seen(text="digits lost, at most a rounding a class", holds=_one_by_one, exact=False)

FAULTS = (
    Fault(
        name="a hinge that is nan counts as 0",
        where="a score or weight is nan, or an infinite score meets one of its sign: z > 0 is false of nan",
        region=value_is_nan,
        outputs=("value",),
        seen=Seen(text="the hinges above 0 alone", holds=_value_skips_nan, exact=True),
        witnesses=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [0]}),
            Witness(args={"input": [["nan", 0.0, 3.0]], "target": [0]}),
            Witness(args={"input": [["inf", "inf"]], "target": [0]}),
        ),
    ),
    Fault(
        name="the gradient of a hinge that is nan is 0",
        where="the classes of a hinge that is nan: z > 0 is false of nan",
        region=slope_is_nan,
        outputs=("input",),
        seen=Seen(text="the gradient of the hinges above 0 alone", holds=_slope_skips_nan, exact=True),
        witnesses=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [0]}),
            Witness(args={"input": [["inf", "inf"]], "target": [0]}),
        ),
    ),
    Fault(
        name="thousands of hinges are added one after the other",
        where="so many hinges above 0 that half of them is more than a pairwise sum may cost",
        region=lambda at: _long_sum(at, VALUE_CONSTANT),
        outputs=("value",),
        dtypes=("float64", "float32"),
        seen=ONE_BY_ONE,
        witnesses=(MANY_CLASSES, replace(MANY_CLASSES, dtype="float64")),
    ),
    Fault(
        name="thousands of gradients are added one after the other",
        where="the target of so many hinges above 0 that half of them is more than a pairwise sum may cost",
        region=lambda at: chosen(at) & _long_sum(at, GRADIENT_CONSTANT)[:, None],
        outputs=("input",),
        dtypes=("float64", "float32"),
        seen=ONE_BY_ONE,
        witnesses=(MANY_CLASSES, replace(MANY_CLASSES, dtype="float64")),
    ),
    Fault(
        name="the power or the sum of hinges overflows before weight and number of classes bring it back",
        where="a hinge, its square or the weighted sum over the classes beyond the largest number, the loss is not",
        region=overflows_alone("value"),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [["0x1p+127", "0x1p+127", 0.0]], "target": [2]}),
            Witness(args={"input": [["0x1p+64", 0.0]], "target": [1], "weight": [1.0, "0x1p-12"]}, parameters={"p": 2}),
            Witness(args={"input": [["0x1p+64", 0.0]], "target": [1], "weight": [1.0, 0.0]}, parameters={"p": 2}),
            Witness(args={"input": [["0x1p+1023", "0x1p+1023", 0.0]], "target": [2]}, dtype="float64"),
        ),
    ),
    Fault(
        name="the hinge overflows before weight and number of classes bring its gradient back",
        where="p = 2, x[i] - x[y] beyond the largest number, the gradient is not",
        region=overflows_alone("input"),
        outputs=("input",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [["0x1p+127", "-0x1p+127", 0.0, 0.0, 0.0]], "target": [1]}, parameters={"p": 2}),
            Witness(
                args={"input": [["0x1p+1023", "-0x1p+1023", 0.0, 0.0, 0.0]], "target": [1]},
                parameters={"p": 2},
                dtype="float64",
            ),
        ),
    ),
)
UNSUPPORTED = {
    "float16": "\"multi_margin_loss_cpu_kernel\" not implemented for 'Half'",
    "bfloat16": "\"multi_margin_loss_cpu_kernel\" not implemented for 'BFloat16'",
    "double backward": "derivative for aten::multi_margin_loss_backward is not implemented",
    "forward-mode": "forward AD with multi_margin_loss that does not support it",
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
