"""Oracles of the losses of a difference d = input - target. Elementwise: every argument has shape (R,)."""

from __future__ import annotations

import numpy as np

from reference.truth import Array, Truth, output

FINITE = np.finfo(np.float64).max


def difference(input: Array, target: Array) -> tuple[Array, Array | float]:
    """(d, s) with input - target = d * s: one rounding, s = 2 in the rows whose difference leaves float64, else 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        d = input - target
        left = np.isinf(d) & np.isfinite(input) & np.isfinite(target)
        if not left.any():
            return d, 1.0
        return np.where(left, 0.5 * input - 0.5 * target, d), np.where(left, 2.0, 1.0)


def multiply(*factors: Array | float, over: Array | float = 1.0) -> Array:
    """The product of the factors over a divisor; only the result itself can overflow or underflow, no part of it."""
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(factors[0])
        for factor in factors[1:]:
            m, e = np.frexp(factor)
            mantissa, exponent = mantissa * m, exponent + e
        m, e = np.frexp(over)
        return np.asarray(np.ldexp(mantissa / m, exponent - e), np.float64)


def mse_loss(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """weight * (input - target)**2. Source: torch.nn.MSELoss; weight: torch.nn.functional.mse_loss.

    d is one rounding and every following step a product, so the loss and its gradients are good to a few ulp.
    """
    w = np.ones_like(input) if weight is None else weight
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input, target)
        size, heft = np.abs(input) + np.abs(target), np.abs(w)
        square = d * d * s * s
        value = square if weight is None else multiply(w, d, d, s, s)
        slope = multiply(2.0, w, d, s)
        gradient_scale = 2.0 * size * heft
        # Partial products exist where a weight follows: d * d, and 2 d, which is exact wherever it is small.
        double = np.abs(2.0 * d * s)
        of_value = None if weight is None else (square, square)
        of_slope = None if weight is None else (np.maximum(double, 1.0), double)
        return Truth(
            value=output(value, absolute=heft * size * size, underflow=1.0 + heft, partial=of_value),
            gradients={
                "input": output(slope, absolute=gradient_scale, underflow=1.0 + heft, partial=of_slope),
                "target": output(-slope, absolute=gradient_scale, underflow=1.0 + heft, partial=of_slope),
            },
        )


def l1_loss(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """weight * abs(input - target). Source: torch.nn.L1Loss; weight: torch.nn.functional.l1_loss.

    Kink at input = target, which holds exactly when the rounded difference is zero.
    """
    w = np.ones_like(input) if weight is None else weight
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input, target)
        size, heft = np.abs(input) + np.abs(target), np.abs(w)
        slope = w * np.sign(d)
        low, high = np.where(d == 0.0, -heft, slope), np.where(d == 0.0, heft, slope)
        gap = np.abs(d) * s
        return Truth(
            value=output(
                gap if weight is None else multiply(w, np.abs(d), s),
                absolute=heft * size,
                underflow=1.0 + heft,
                partial=(np.zeros_like(gap), gap),
            ),
            gradients={
                "input": output(slope, absolute=heft, interval=(low, high)),
                "target": output(-slope, absolute=heft, interval=(-high, -low)),
            },
        )


def complex_l1_loss(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """weight * abs(input - target) of complex numbers, given as real and imaginary part in the last of axes (R, 2).

    Source: torch.nn.L1Loss, "real-valued and complex-valued inputs". The gradient is d / abs(d), a unit vector taken
    from d scaled by a power of two, since abs of a subnormal d has few digits; at d = 0 it is the unit disc.
    """
    w = np.ones(len(input)) if weight is None else weight
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        re, re_scale = difference(input[:, 0], target[:, 0])
        im, im_scale = difference(input[:, 1], target[:, 1])
        # Halving both parts where one has left float64: an exact step, or one lost beside the larger part.
        s = np.maximum(re_scale, im_scale)
        re, im = re * (re_scale / s), im * (im_scale / s)
        largest = np.fmax(np.abs(re), np.abs(im))
        exponent = np.where(np.isfinite(largest), np.frexp(largest)[1], 0)
        modulus = np.hypot(np.ldexp(re, -exponent), np.ldexp(im, -exponent))
        size, heft = np.abs(input).sum(axis=-1) + np.abs(target).sum(axis=-1), np.abs(w)[:, None]
        tie = modulus == 0.0
        divisor = np.where(tie, 1.0, modulus)
        back = np.ldexp(1.0, -(exponent // 2)), np.ldexp(1.0, exponent // 2 - exponent)
        slope = np.stack([multiply(w, part, *back, over=divisor) for part in (re, im)], axis=-1)
        # Of one infinite part the direction is known; beside a second one, or a nan, it is not.
        alone = np.isinf(re) ^ np.isinf(im)
        unknown = np.isnan(re) | np.isnan(im) | ~alone
        axis = np.stack([w * np.where(np.isinf(part), np.sign(part), 0.0) for part in (re, im)], axis=-1)
        slope = np.where(np.isinf(largest)[:, None], np.where(unknown[:, None], np.nan, axis), slope)
        tie = tie[:, None]
        low, high = np.where(tie, -heft, slope), np.where(tie, heft, slope)
        value = multiply(w, np.ldexp(modulus, exponent), s)
        gap = np.ldexp(modulus, exponent) * s
        absolute = np.broadcast_to(heft, slope.shape)
        return Truth(
            value=output(
                value, absolute=np.abs(w) * size, underflow=1.0 + np.abs(w), partial=(np.zeros_like(gap), gap)
            ),
            gradients={
                "input": output(slope, absolute=absolute, underflow=1.0 + heft, interval=(low, high)),
                "target": output(-slope, absolute=absolute, underflow=1.0 + heft, interval=(-high, -low)),
            },
        )


def smooth_l1_loss(input: Array, target: Array, *, beta: float = 1.0) -> Truth:
    """d**2 / (2 beta) where abs(d) < beta, else abs(d) - beta / 2. Source: torch.nn.SmoothL1Loss.

    Taken as d (d / beta) / 2, whose quotient is below 1. The subtraction of beta / 2 <= abs(d) / 2 does not cancel.
    "When beta is 0, Smooth L1 loss is equivalent to L1 loss".
    """
    if beta == 0.0:
        return l1_loss(input, target)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input, target)
        near = np.abs(d) * s < beta
        ratio = np.where(near, d, 0.0) / beta
        value = np.where(near, 0.5 * d * ratio, (np.abs(d) - 0.5 * beta / s) * s)
        slope = np.where(near, ratio, np.sign(d))
        size = np.abs(input) + np.abs(target)
        saturation = np.minimum(size / beta, 1.0)
        partial = np.where(near, 0.5 * d * d, np.abs(d) * s)
        underflow = min(1.0 + 1.0 / np.float64(beta), FINITE)
        return Truth(
            value=output(value, absolute=size * saturation, underflow=underflow, partial=(np.zeros_like(d), partial)),
            gradients={
                "input": output(slope, absolute=saturation),
                "target": output(-slope, absolute=saturation),
            },
        )


def huber_loss(input: Array, target: Array, *, delta: float = 1.0, weight: Array | None = None) -> Truth:
    """weight * (d**2 / 2 where abs(d) < delta, else delta (abs(d) - delta / 2)). Source: torch.nn.HuberLoss.

    The subtraction of delta / 2 <= abs(d) / 2 does not cancel; all else are products.
    """
    w = np.ones_like(input) if weight is None else weight
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input, target)
        near = np.abs(d) * s < delta
        left, right = np.where(near, 0.5 * d, delta), np.where(near, d, np.abs(d) - 0.5 * delta / s)
        plain = left * right * s
        size, heft = np.abs(input) + np.abs(target), np.abs(w)
        slope = w * np.where(near, d, np.copysign(delta, d))
        slope = np.where(np.isnan(d), np.nan, slope)
        saturation = np.minimum(size, delta)
        gap = np.maximum(np.abs(d) * s, plain)
        return Truth(
            value=output(
                plain if weight is None else multiply(w, left, right, s),
                absolute=heft * size * saturation,
                underflow=1.0 + heft,
                partial=(np.zeros_like(gap), gap),
            ),
            gradients={
                "input": output(slope, absolute=heft * saturation, underflow=1.0 + heft),
                "target": output(-slope, absolute=heft * saturation, underflow=1.0 + heft),
            },
        )
