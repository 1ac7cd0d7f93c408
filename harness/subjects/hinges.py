"""What torch's multi_margin_loss and multilabel_margin_loss share: both add up the z = (margin - x[y]) + x[i] > 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.bounds import GRADIENT_CONSTANT
from harness.deviations import (
    GARBAGE,
    Fault,
    Mask,
    Points,
    Seen,
    Witness,
    nowhere,
)
from harness.ulp import Array, distance
from reference.truth import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class AsWritten:
    """The formula with a sum over z > 0 alone, and the sizes of the numbers whose rounding it feels."""

    value: Array
    slope: Array
    value_scale: Array
    slope_scale: Array


def _agree(got: Array, want: Array, scale: Array, at: Points) -> Mask:
    """Equal up to the rounding of numbers of the size of ``scale``."""
    allowed = GRADIENT_CONSTANT * (at.precision.u * (np.abs(want) + scale) + at.precision.smallest_subnormal)
    return np.asarray(distance(got, want) <= np.where(np.isfinite(allowed), allowed, 0.0), np.bool_)


def skips_nan(
    where: str, written: Callable[[Points], AsWritten], values: tuple[Witness, ...], slopes: tuple[Witness, ...]
) -> tuple[Fault, Fault]:
    """z > 0 is false of nan: value and gradient are those of the other hinges, at the witnesses of each."""

    def of_value(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
        other = written(at)
        return _agree(got, other.value, other.value_scale, at)

    def of_slope(got: Array, truth: Output, at: Points, bound: Array) -> Mask:
        other = written(at)
        return _agree(got, other.slope, other.slope_scale, at)

    return (
        Fault(
            name="a hinge that is nan counts as 0",
            where=f"{where}: z > 0 is false of nan",
            region=lambda at: np.isnan(at.truth.value.exact),
            outputs=("value",),
            seen=Seen(text="the hinges above 0 alone", holds=of_value, exact=True),
            witnesses=values,
        ),
        Fault(
            name="the gradient of a hinge that is nan is 0",
            where="the classes of a hinge that is nan: z > 0 is false of nan",
            region=lambda at: np.isnan(at.truth.gradients["input"].exact),
            outputs=("input",),
            seen=Seen(text="the gradient of the hinges above 0 alone", holds=of_slope, exact=True),
            witnesses=slopes,
        ),
    )


def unsupported(loss: str, kernel: str, forward: str) -> dict[str, str]:
    """What torch says of dtypes and derivatives that ``loss`` does not have; ``kernel`` and ``forward`` as it does."""
    return {
        "float16": f"\"{kernel}\" not implemented for 'Half'",
        "bfloat16": f"\"{kernel}\" not implemented for 'BFloat16'",
        "double backward": f"derivative for aten::{loss}_backward is not implemented",
        "forward-mode": f"forward AD with {forward} that does not support it",
    }


EMPTY_BATCH = Fault(
    name="an empty batch gives uninitialised memory",
    where="no rows, reduction sum or mean: the kernel returns before it writes its result",
    region=nowhere,
    outputs=("value",),
    dtypes=("float64", "float32"),
    seen=GARBAGE,
    rows={f"reductions: reduction={r}, empty batch": ("reduction",) for r in ("sum", "mean")},
)
