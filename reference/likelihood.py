"""Oracles of the negative log-likelihoods of a count and of a Gaussian. Elementwise: every argument has shape (R,)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reference.numerics import product
from reference.regression import FINITE, difference
from reference.truth import Array, Truth, output

LOG_2PI = 1.8378770664093453  # log(2 pi)
# log(2) as a number of 33 bits, whose product with an exponent is exact, and the rest (W. Cody and W. Waite).
LOG_2, LOG_2_REST = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")


def excess(r: Array, v: Array) -> Array:
    """r - log(1 + r) for abs(v) <= 1/3, v = r / (2 + r), as r v - 2 (v**3 / 3 + v**5 / 5 + ...), without cancellation.

    Source: C. Loader, Fast and accurate computation of binomial probabilities (2000), the deviance bd0.
    """
    square = v * v
    series = np.full_like(v, 1.0 / 33.0)
    for odd in range(31, 1, -2):
        series = series * square + 1.0 / odd
    return np.asarray(v * (r - 2.0 * square * series), np.float64)


def minus_log(x: Array, t: Array) -> Array:
    """x - log(t) with the error of a number near 1, even where both are large: log(t) = k log(2) + log(t / 2**k)."""
    mantissa, exponent = np.frexp(t)
    low = mantissa < 0.75
    k, m = exponent - low, np.where(low, 2.0 * mantissa, mantissa)
    return np.asarray(((x - k * LOG_2) - np.log(m)) - k * LOG_2_REST, np.float64)


def poisson_nll_loss(
    input: Array, target: Array, *, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Truth:
    """exp(x) - t x, or x - t log(x + eps) when the input is the rate itself. Source: torch.nn.PoissonNLLLoss.

    ``full`` adds Stirling's t log(t) - t + log(2 pi t) / 2 where t > 1. There the sum of the terms as written cancels
    near exp(x) = t, and the loss is taken as the deviance, which is not negative, plus log(2 pi t) / 2.
    """
    with np.errstate(all="ignore"):
        return _log_rate(input, target, full) if log_input else _rate(input, target, full, eps)


def _log_rate(x: Array, t: Array, full: bool) -> Truth:
    """Full: t (exp(d) - 1 - d) + log(2 pi t) / 2 with d = x - log(t); exp(d) - 1 - d is the excess of exp(d) - 1."""
    # exp(x) leaves float64 before its difference with t x or t does: there all terms are taken at scale 2**-64.
    high = x > 700.0
    s = np.where(high, 2.0**-64, 1.0)
    root = np.where(high, np.exp(0.5 * x) * 2.0**-32, 1.0)
    rate = np.where(high, root * root, np.exp(x))
    true_rate, size = np.minimum(rate / s, 0.25 * FINITE), np.abs(t)
    pull = product(t * s, np.minimum(x, 1420.0))  # beyond, exp(x) exceeds t x for every float64 t
    value = (rate - pull) / s
    scale = true_rate + np.abs(pull / s)
    absolute = true_rate + size * (1.0 + np.abs(x))
    slope_scale = np.minimum(true_rate + size, FINITE)
    none, grown = np.zeros_like(x), np.exp(x)
    parts = np.fmax(grown, np.abs(t * x))
    slope_x = output((rate - t * s) / s, reference=slope_scale, absolute=slope_scale, partial=(none, grown))
    gradients = {"input": slope_x}
    slope, slope_scale = -x, np.abs(x)
    if full:
        above = t > 1.0
        u = np.where(above, t, 1.0)
        log_t = np.log(u)
        d = minus_log(x, u)
        r = np.expm1(d)
        v = r / (2.0 + r)
        near = np.abs(v) <= 1.0 / 3.0
        stirling = 0.5 * (log_t + LOG_2PI)
        far = (rate - (u * s) * (1.0 + np.minimum(d, 1420.0))) / s
        value = np.where(above, np.where(near, u * excess(r, v), far) + stirling, value)
        # An error e of d is felt through the slope t r, and to second order as t e**2 (e of float32, log(t) rounded).
        spread = np.where(near, u * (np.abs(r) + 2.0**-24 * log_t * log_t), true_rate + u * (1.0 + np.abs(d)))
        scale = np.where(above, np.abs(value) + spread + stirling, scale)
        absolute = absolute + np.where(above, u * (1.0 + log_t), 0.0)
        parts = np.where(above, np.fmax(parts, u * log_t), parts)
        slope = np.where(np.isnan(t), np.nan, np.where(above, 0.5 / u - d, slope))
        slope_scale = np.where(above, np.abs(d) + 0.5 + 0.5 / u, slope_scale)
    gradients["target"] = output(slope, reference=slope_scale, absolute=1.0 + np.abs(x) + slope_scale)
    scale = np.minimum(scale, FINITE)
    out = output(value, reference=scale, absolute=absolute, underflow=1.0 + size, partial=(none, parts))
    return Truth(value=out, gradients=gradients)


def _rate(x: Array, t: Array, full: bool, eps: float) -> Truth:
    """Full: t (r - log(1 + r)) - eps + log(2 pi t) / 2 with r = (x - t + eps) / t. The slope is t r / (x + eps)."""
    z = x + eps
    # Near 1 the rounding of x + eps would be lost digits of its logarithm.
    log_z = np.where(np.abs(x - 1.0) <= 0.5, np.log1p((x - 1.0) + eps), np.log(z))
    s = np.where(np.maximum(np.abs(x), np.abs(t)) > 1e290, 2.0**-64, 1.0)
    pull = product(t * s, np.minimum(log_z, 710.0))
    value = (x * s - pull) / s
    size, pull_size = np.abs(t), np.minimum(np.abs(pull / s), FINITE)
    absolute = np.abs(x) + pull_size + size
    scale = np.minimum(np.abs(x) + pull_size, FINITE)
    away = (x - t) + eps
    quotient = np.where((t == 0.0) & (z == 0.0), 0.0, t / z)
    slope_x = np.where(np.isinf(z) | (z == 0.0), 1.0 - quotient, away / z)
    reach = np.where(z == 0.0, 1.0 + quotient, (np.abs(x - t) + eps) / np.abs(z))
    slope, slope_scale, constant = -log_z, np.abs(log_z), np.zeros_like(log_z)
    parts = np.fmax(np.abs(x), np.fmax(np.abs(product(t, log_z)), np.abs(x - product(t, log_z))))
    if full:
        above = t > 1.0
        u = np.where(above, t, 1.0)
        log_t = np.log(u)
        r = away / u
        v = r / (2.0 + r)
        near = np.abs(v) <= 1.0 / 3.0
        ratio = z / u
        log_ratio = np.where((ratio > 1e-300) & np.isfinite(ratio), np.log(ratio), log_z - log_t)
        log_ratio = np.where(near, np.log1p(r), log_ratio)
        stirling = 0.5 * (log_t + LOG_2PI)
        deviance = u * np.where(near, excess(r, v), r - np.minimum(log_ratio, 1420.0))
        value = np.where(above, deviance + (stirling - eps), value)
        spread = np.where(near, deviance, u * (np.abs(r) + np.abs(log_ratio)))
        scale = np.where(above, np.minimum(spread + stirling + eps, FINITE), scale)
        absolute = absolute + np.where(above, u * (1.0 + log_t), 0.0)
        slope = np.where(np.isnan(t), np.nan, np.where(above, 0.5 / u - log_ratio, slope))
        slope_scale = np.where(above, np.abs(log_ratio) + (0.5 + eps) / u, slope_scale)
        constant = np.where(above, log_t, 0.0)
        parts = np.where(above, np.fmax(parts, u * log_t), parts)
    return Truth(
        value=output(
            value, reference=scale, absolute=absolute, underflow=1.0 + size, partial=(np.zeros_like(parts), parts)
        ),
        gradients={
            "input": output(slope_x, reference=reach, absolute=1.0 + np.minimum(np.abs(quotient), FINITE)),
            "target": output(slope, reference=slope_scale, absolute=1.0 + np.abs(log_z) + constant),
        },
    )


def gaussian_nll_loss(input: Array, target: Array, var: Array, *, full: bool = False, eps: float = 1e-6) -> Truth:
    """(log(m) + (input - target)**2 / m) / 2 with m = max(var, eps), plus log(2 pi) / 2 if ``full``.

    The gradient in var is (1 - d**2 / m) / (2 m) at the clamped variance: "the clamping of var is ignored with respect
    to autograd". Source: torch.nn.GaussianNLLLoss. :func:`gaussian_nll_loss_clamped_gradient` differentiates the clamp.
    """
    with np.errstate(all="ignore"):
        m = np.maximum(var, eps)
        d, s = difference(input, target)
        g = (d / m) * s
        square = d * d * s * s
        # half = d**2 / m / 2 is (d / m) d / 2 unless d / m leaves float64, which d**2 / m need not do where abs(d) < 1.
        half = np.where(np.isinf(g) & np.isfinite(d), 0.5 * (d / np.sqrt(m) * s) ** 2, (0.5 * g) * d * s)
        log_m = np.log(m)
        constant = 0.5 * LOG_2PI if full else 0.0
        size = np.abs(input) + np.abs(target)
        # The factored form where 1 / m can leave float64, else the form whose d**2 / m cannot.
        slope = np.where(m < 1e-290, (0.5 - half) / m, 0.5 / m - 0.5 * g * g)
        inverse = np.minimum(1.0 / m, FINITE)
        none, flow = np.zeros_like(d), np.minimum(1.0 + inverse, FINITE)
        # The partial results of 0.5 (log(m) + d d / m), of 0.5 / m * 2 d and of 0.5 / m - 0.5 d d / m / m.
        parts = np.fmax(square, square / m)
        parts_d = np.fmax(2.0 * np.abs(d) * s, 0.5 / m)
        parts_m = np.fmax(np.fmax(parts, square / m / m), 0.5 / m)
        return Truth(
            value=output(
                (0.5 * log_m + half) + constant,
                reference=(0.5 * np.abs(log_m) + half) + constant,
                absolute=0.5 * (1.0 + np.abs(log_m) + (size / m) * size) + constant,
                underflow=flow,
                partial=(none, parts),
            ),
            gradients={
                "input": output(g, absolute=size / m, underflow=flow, partial=(none, parts_d)),
                "target": output(-g, absolute=size / m, underflow=flow, partial=(none, parts_d)),
                "var": output(
                    slope,
                    reference=np.minimum(0.5 * inverse + 0.5 * g * g, FINITE),
                    absolute=0.5 * (inverse + (size / m) ** 2),
                    underflow=np.minimum(1.0 + inverse + inverse * inverse, FINITE),
                    partial=(none, parts_m),
                ),
            },
        )


def gaussian_nll_loss_clamped_gradient(
    input: Array, target: Array, var: Array, *, full: bool = False, eps: float = 1e-6
) -> Truth:
    """:func:`gaussian_nll_loss` with max(var, eps) differentiated: no gradient in var below eps, a kink at eps."""
    truth = gaussian_nll_loss(input, target, var, full=full, eps=eps)
    through = truth.gradients["var"]
    zero = np.zeros_like(through.exact)
    exact = np.where(var < eps, zero, through.exact)
    low = np.where(var == eps, np.minimum(exact, 0.0), exact)
    high = np.where(var == eps, np.maximum(exact, 0.0), exact)
    clamped = output(
        exact,
        reference=np.where(var < eps, zero, through.reference),
        absolute=through.absolute,
        underflow=through.underflow,
        interval=(low, high),
        partial=through.partial,
    )
    return Truth(value=truth.value, gradients={**truth.gradients, "var": clamped})


def gaussian_nll_loss_either_gradient(
    input: Array, target: Array, var: Array, *, full: bool = False, eps: float = 1e-6
) -> Truth:
    """:func:`gaussian_nll_loss`, whose gradient in var may also be that of the clamp, 0, where var is not above eps."""
    truth = gaussian_nll_loss(input, target, var, full=full, eps=eps)
    through = truth.gradients["var"]
    below = var <= eps
    low = np.where(below, np.minimum(through.exact, 0.0), through.exact)
    high = np.where(below, np.maximum(through.exact, 0.0), through.exact)
    return Truth(value=truth.value, gradients={**truth.gradients, "var": replace(through, interval=(low, high))})
