"""torch's multi_margin_loss: z = (margin - x[y]) + x[i], where z > 0 the sum of z**p * weight[y], then that over C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, depth
from harness.contracts.multi_margin_loss import CONTRACT, chosen
from harness.deviations import PARTIAL, Fault, Mask, Points, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.hinges import EMPTY_BATCH, AsWritten, skips_nan, unsupported
from harness.subjects.overflow import overflows_alone
from harness.ulp import Array, distance
from reference.truth import Output


def _as_written(at: Points) -> AsWritten:
    x, target, p = at["input"], chosen(at), at["p"]
    weight = (np.asarray(at["weight"]) * np.ones(x.shape[1]))[at["target"]][:, None] / x.shape[1]
    z = at["margin"] - x[target][:, None] + x
    counts = (z > 0.0) & ~target
    z = np.where(counts, z, 0.0)
    slope = np.where(counts, weight * p * z ** (p - 1), 0.0)
    size = at["margin"] + np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=1)
    return AsWritten(
        value=np.where(counts, weight * z**p, 0.0).sum(axis=1),
        slope=np.where(target, -slope.sum(axis=1, keepdims=True), slope),
        value_scale=np.max(at["weight"]) * size**p,
        slope_scale=np.max(at["weight"]) * size[:, None] ** (p - 1),
    )


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
    *skips_nan(
        "a score or weight is nan, or an infinite score meets one of its sign",
        _as_written,
        values=(
            Witness(args={"input": [[0.0, "nan", 3.0]], "target": [0]}),
            Witness(args={"input": [["nan", 0.0, 3.0]], "target": [0]}),
            Witness(args={"input": [["inf", "inf"]], "target": [0]}),
        ),
        slopes=(
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
UNSUPPORTED = unsupported("multi_margin_loss", "multi_margin_loss_cpu_kernel", "multi_margin_loss")
SUBJECTS = builtin(CONTRACT, faults=(*FAULTS, EMPTY_BATCH), unsupported=UNSUPPORTED)
