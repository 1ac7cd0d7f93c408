"""Oracles of the hinge losses of a margin y x, y a label -1 or 1. Elementwise: every argument has shape (R,)."""

from __future__ import annotations

import numpy as np

from reference.truth import Array, Truth, output


def _gap(input: Array, target: Array) -> Array:
    """1 - y x, with one rounding; exact near the kink. Undefined (nan) for any other label."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(np.abs(target) == 1.0, 1.0 - target * input, np.nan)


def hinge_loss(input: Array, target: Array) -> Truth:
    """max(0, 1 - y x). Source: Cortes and Vapnik, Support-Vector Networks (1995). Kink at y x = 1."""
    gap = _gap(input, target)
    slope = np.where(np.isnan(gap), np.nan, np.where(gap > 0.0, -target, 0.0))
    tie = gap == 0.0
    ends = np.where(tie, np.minimum(-target, 0.0), slope), np.where(tie, np.maximum(-target, 0.0), slope)
    return Truth(
        value=output(np.maximum(gap, 0.0), absolute=1.0 + np.abs(input)),
        gradients={"input": output(slope, absolute=1.0, interval=ends)},
    )


def squared_hinge_loss(input: Array, target: Array) -> Truth:
    """max(0, 1 - y x)**2. Source: Chapelle, Training a Support Vector Machine in the Primal (2007)."""
    gap = np.maximum(_gap(input, target), 0.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        size = 1.0 + np.abs(input)
        # 2 y is exact, so that only the product with the gap can overflow.
        return Truth(
            value=output(gap * gap, absolute=size * size),
            gradients={"input": output(-2.0 * target * gap, absolute=2.0 * size)},
        )
