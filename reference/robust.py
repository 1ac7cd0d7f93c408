"""Oracles of losses of a difference that resist outliers, and of its root mean square."""

from __future__ import annotations

import numpy as np

from reference.outputs import present
from reference.regression import difference, multiply
from reference.truth import Array, Truth, output

NEAR = 4.0
"""Below it log(cosh) is taken from the hyperbolic sine, whose square cannot overflow there."""


def log_cosh_loss(input: Array, target: Array) -> Truth:
    """log(cosh(input - target)). Elementwise. Source: Keras, LogCosh.

    cosh(d) = 1 + 2 sinh(d / 2)**2 makes log1p keep every digit near 0. Far from it cosh(d) is exp(abs(d)) (1 +
    exp(-2 abs(d))) / 2, and abs(d) - log(2) does not cancel. The gradient is tanh(d).
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input, target)
        gap = np.abs(d)
        sinh = np.sinh(0.5 * np.minimum(gap, NEAR))
        tail = np.log1p(np.exp(-2.0 * gap * s))
        value = np.where(gap <= NEAR, np.log1p(sinh * (2.0 * sinh)), ((gap - np.log(2.0) / s) + tail) * s)
        slope = np.tanh(d * s)
        return Truth(
            value=output(value, absolute=1.0 + gap * s),
            gradients={"input": output(slope, absolute=1.0), "target": output(-slope, absolute=1.0)},
        )


def quantile_loss(input: Array, target: Array, *, quantile: float = 0.5) -> Truth:
    """q d where d = target - input is positive, else (q - 1) d. Elementwise. Source: Koenker and Bassett (1978).

    Kink at d = 0, which holds exactly when the rounded difference is zero.
    """
    above, below = quantile, 1.0 - quantile
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(target, input)
        share = np.where(d > 0.0, above, below)
        gap = np.abs(d) * s
        slope = np.where(np.isnan(d), np.nan, np.where(d > 0.0, -above, np.where(d < 0.0, below, 0.0)))
        low, high = np.where(d == 0.0, -above, slope), np.where(d == 0.0, below, slope)
        heft = max(above, below)
        return Truth(
            value=output(
                multiply(share, np.abs(d), s),
                absolute=heft * (np.abs(input) + np.abs(target)),
                partial=(np.zeros_like(gap), gap),
            ),
            gradients={
                "input": output(slope, absolute=heft, interval=(low, high)),
                "target": output(-slope, absolute=heft, interval=(-high, -low)),
            },
        )


def rmse_loss(input: Array, target: Array) -> Truth:
    """sqrt(mean((input - target)**2)) of rows (R, D). One row is one value. Source: the root of torch.nn.MSELoss.

    The differences are divided by a power of two near the largest, so that no square leaves the range. The gradient is
    d / (D value), a vector of length 1 / sqrt(D); at d = 0 it is the ball of that radius.
    """
    terms = input.shape[-1]
    with np.errstate(all="ignore"):
        d, s = difference(input, target)
        # Halves the whole row where one of its differences has left float64.
        unit = np.broadcast_to(s, d.shape).max(axis=-1)[:, None]
        d = d * (s / unit)
        largest = np.abs(d).max(axis=-1)[:, None]
        exponent = np.where(np.isfinite(largest), np.frexp(largest)[1], 0)
        part = np.ldexp(d, -exponent)
        mean = (part * part).sum(axis=-1)[:, None] / terms
        root = np.sqrt(mean)
        value = (np.ldexp(root, exponent) * unit)[:, 0]
        # A difference that is tiny beside the largest keeps its digits: the quotient by mantissas and exponents.
        slope = multiply(d, np.ldexp(1.0, -(exponent // 2)), np.ldexp(1.0, exponent // 2 - exponent), over=root * terms)
        radius = 1.0 / np.sqrt(terms)
        tie = root == 0.0
        slope = np.where(tie, 0.0, slope)
        low, high = np.where(tie, -radius, slope), np.where(tie, radius, slope)
        size = np.abs(input) + np.abs(target)
        # As written the formula passes through the sum of the squares and their mean.
        distance = np.abs(value)
        squares = present(distance * distance, distance), distance * distance * terms
        whole = squares[0][:, None], squares[1][:, None]
        return Truth(
            value=output(
                value,
                accumulation=value,
                absolute=size.max(axis=-1),
                underflow=np.sqrt(terms),
                partial=squares,
            ),
            gradients={
                "input": output(
                    slope, accumulation=np.abs(slope), absolute=radius, interval=(low, high), partial=whole
                ),
                "target": output(
                    -slope, accumulation=np.abs(slope), absolute=radius, interval=(-high, -low), partial=whole
                ),
            },
        )
