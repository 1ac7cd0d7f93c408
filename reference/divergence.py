"""Oracle of the Kullback-Leibler divergence, pointwise. Elementwise: every argument has shape (R,)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reference.regression import FINITE
from reference.truth import Array, Truth, output


def without(absent: npt.NDArray[np.bool_], factor: Array, term: Array) -> Array:
    """``term``, or 0 where its coefficient is exactly zero: an infinite factor goes with it, a nan stays."""
    return np.where(absent & ~np.isnan(factor), 0.0, term)


def exp_times(x: Array, factor: Array) -> Array:
    """exp(x) * factor where exp(x) may leave float64 though the product does not; exp(-inf) removes the factor."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        plain = np.exp(x) * factor
        out = np.abs(x) > 700.0
        if not out.any():
            return np.asarray(plain, np.float64)
        half = np.exp(np.minimum(0.5 * x, 709.0))  # finite: a factor of zero removes it
        # An infinite factor outlives exp(x) > 0 even where that is below every float64.
        product = np.where(out, np.where(np.isinf(factor), factor, half * (half * factor)), plain)
        return without(x == -np.inf, factor, product)


def kl_div(input: Array, target: Array, *, log_target: bool = False) -> Truth:
    """t (log(t) - x), x a log-probability; with ``log_target`` exp(t) (t - x). Source: torch.nn.KLDivLoss.

    0 log 0 is 0: an element of probability zero (t = 0, or t = -inf in logarithms) adds nothing, whatever x is but nan.
    """
    x, t = input, target
    with np.errstate(all="ignore"):
        size = np.abs(x)
        if log_target:
            absent = t == -np.inf
            p, d = np.exp(t), t - x
            d = np.where(np.isinf(d) & np.isfinite(x) & np.isfinite(t), np.copysign(FINITE, d), d)
            growth = np.where(np.isinf(t), 0.0, np.abs(t))
            value = without(absent, x, exp_times(t, d))
            slope = without(absent, x, exp_times(t, d + 1.0))
            around = without(absent, x, exp_times(t, 1.0 + np.abs(d)))
            return Truth(
                value=output(value, absolute=p * np.minimum(1.0 + growth + size, FINITE), underflow=1.0 + np.abs(d)),
                gradients={
                    "input": output(-p, absolute=p),
                    "target": output(slope, reference=around, absolute=around, underflow=2.0 + np.abs(d)),
                },
            )
        log_t = np.log(t)
        absent = t == 0.0
        inner = without(absent, x, np.abs(t * log_t))
        value = without(absent, x, t * (log_t - x))
        slope = (log_t + 1.0) - x
        slope_scale = np.abs(log_t) + 1.0 + size
        return Truth(
            value=output(value, reference=inner + np.abs(value), absolute=np.abs(t) * (1.0 + size) + inner),
            gradients={
                "input": output(-t, absolute=np.abs(t)),
                "target": output(slope, reference=slope_scale, absolute=slope_scale),
            },
        )
