"""Oracles of the losses of the softmax probability of one class. Logits have shape (R, C), class indices (R,).

Each is a function f of the cross-entropy L = -log p_t and of the rest r = 1 - p_t. Since dr/dx = p_t dL/dx, its
gradient is (df/dL + p_t df/dr) (p - onehot): a factor of one sign times the gradient of the cross-entropy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.classification import Indices
from reference.numerics import product, softmax
from reference.outputs import LARGEST
from reference.truth import Array, Truth, output


class Chosen(NamedTuple):
    """The softmax seen from the target, nothing from a cancelling difference; ``*_error`` in units of the roundoff.

    Running errors of the shifted form: Blanchard, Higham and Higham, IMA J. Numer. Anal. 41 (2021), section 4.
    """

    loss: Array
    """L = -log p_t; shape (R,), as all but the slope."""
    loss_error: Array
    probability: Array
    probability_error: Array
    rest: Array
    """r = 1 - p_t, as the sum of the other probabilities."""
    rest_error: Array
    slope: Array
    """dL/dx = p - onehot(target), at the target -r; shape (R, C)."""
    slope_error: Array
    half: Array
    """Half of max(x) - x_t, which is finite where the difference is not."""
    largest: Array
    """Largest finite abs(x) of a row."""


def chosen(input: Array, target: Indices) -> Chosen:
    """The pieces of a loss of the probability of ``target`` under the softmax of ``input``."""
    s = softmax(input)
    at = target.astype(np.int64)[:, None]

    def picked(array: Array) -> Array:
        taken: Array = np.take_along_axis(array, at, axis=1)[:, 0]
        return taken

    gap, probability, rest = picked(s.gap), picked(s.probability), picked(s.complement)
    gaps = np.where(np.isfinite(s.gap), s.gap, 0.0)
    # exp(x_j - m) carries the rounding of its argument, and so does the sum of the others.
    of_probability = s.probability * (1.0 + gaps + s.spread[:, None])
    of_rest = s.spread + rest * (1.0 + s.spread)
    slope, of_slope = s.probability.copy(), of_probability.copy()
    np.put_along_axis(slope, at, -rest[:, None], axis=1)
    np.put_along_axis(of_slope, at, of_rest[:, None], axis=1)
    return Chosen(
        loss=gap + s.log_sum,
        loss_error=np.minimum(2.0 * gap + s.log_sum + s.spread, LARGEST),
        probability=probability,
        probability_error=picked(of_probability),
        rest=rest,
        rest_error=of_rest,
        slope=slope,
        slope_error=of_slope,
        half=0.5 * input.max(axis=1) - 0.5 * picked(input),
        largest=np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=1),
    )


def _truth(
    c: Chosen,
    value: Array,
    value_error: Array,
    factor: Array,
    factor_error: Array,
    *,
    growth: float,
    steepest: float,
    absolute: Array | None = None,
    partial: tuple[Array, Array] | None = None,
) -> Truth:
    """The loss with the gradient factor * (p - onehot).

    ``growth``: how often a sum of exponentials enters, as a factor of the result; ``steepest``: the largest factor.
    """
    factor, factor_error = factor[:, None], factor_error[:, None]
    gradient = product(c.slope, factor)
    return Truth(
        value=output(
            value,
            reference=np.minimum(value_error, LARGEST),
            accumulation=np.minimum(growth * np.abs(value), LARGEST),
            underflow=1.0 + steepest,
            absolute=1.0 + c.largest if absolute is None else absolute,
            partial=partial,
        ),
        gradients={
            "input": output(
                gradient,
                reference=np.abs(gradient) + product(c.slope_error, np.abs(factor)) + np.abs(c.slope) * factor_error,
                accumulation=(1.0 + growth) * np.abs(gradient),
                underflow=1.0 + 2.0 * steepest,
                absolute=2.0 * steepest * np.ones_like(gradient),
            )
        },
    )


def focal_loss(input: Array, target: Indices, *, gamma: float = 2.0) -> Truth:
    """(1 - p_t)**gamma * -log p_t. Source: Lin et al., Focal Loss for Dense Object Detection (2017), section 3.2.

    The slope r**gamma + gamma r**(gamma - 1) p_t L is taken as r**gamma (1 + gamma p_t L / r), whose quotient tends to
    1 where both vanish.
    """
    with np.errstate(all="ignore"):
        c = chosen(input, target)
        power = c.rest**gamma
        gone = c.rest == 0.0
        relative = np.where(gone, 0.0, c.rest_error / c.rest)
        surprise = product(c.probability, c.loss)
        share = np.where(gone, 1.0, surprise / c.rest)
        of_loss = np.where(c.loss == 0.0, 0.0, c.loss_error / c.loss)
        value = product(power, c.loss)
        of_share = share * (1.0 + of_loss + relative) + product(c.probability_error, c.loss) / np.where(gone, 1, c.rest)
        return _truth(
            c,
            value,
            value + product(power, c.loss_error) + gamma * value * relative,
            power * (1.0 + gamma * share),
            power * (1.0 + gamma * relative) * (1.0 + gamma * share) + gamma * power * of_share,
            growth=1.0 + gamma,
            steepest=1.0 + gamma,
        )


TERMS = 24
"""Of the series in (1/3)**2 up to which it is used."""


def _beyond_first_order(loss: Array, rest: Array) -> Array:
    """L - r = -log(1 - r) - r, not negative: with s = r / (2 - r) it is r s + 2 (s**3 / 3 + s**5 / 5 + ...)."""
    s = np.minimum(rest, 0.5) / (2.0 - np.minimum(rest, 0.5))
    square = s * s
    total = np.zeros_like(s)
    for k in range(TERMS, 0, -1):
        total = square * (1.0 / (2 * k + 1) + total)
    return np.where(rest <= 0.5, rest * s + 2.0 * s * total, loss - rest)


def poly1_cross_entropy(input: Array, target: Indices, *, epsilon: float = 1.0) -> Truth:
    """-log p_t + epsilon (1 - p_t). Source: Leng et al., PolyLoss (2022), section 4.

    Taken as (L - r) + (1 + epsilon) r, and its slope 1 + epsilon p_t as r + (1 + epsilon) p_t: for epsilon of at least
    -1 no term is negative, and at -1 the leading term of the cross-entropy is gone rather than cancelled.
    """
    with np.errstate(all="ignore"):
        c = chosen(input, target)
        rest_of_series = _beyond_first_order(c.loss, c.rest)
        kept = abs(1.0 + epsilon)
        # d(L - r)/dr = r / p_t, which does not see the rounding of r where r is small.
        error = np.where(
            c.rest <= 0.5, rest_of_series + c.rest / c.probability * c.rest_error, c.loss_error + c.rest_error
        )
        return _truth(
            c,
            rest_of_series + (1.0 + epsilon) * c.rest,
            error + kept * (c.rest + c.rest_error),
            c.rest + (1.0 + epsilon) * c.probability,
            c.rest_error + kept * c.probability_error,
            growth=2.0,
            steepest=1.0 + abs(epsilon),
        )


def generalised_cross_entropy(input: Array, target: Indices, *, q: float = 0.7) -> Truth:
    """(1 - p_t**q) / q, as -expm1(-q L) / q.

    Source: Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels
    (2018), equation 6.
    """
    with np.errstate(all="ignore"):
        c = chosen(input, target)
        value, power = -np.expm1(-q * c.loss) / q, np.exp(-q * c.loss)
        return _truth(
            c,
            value,
            value + product(power, c.loss_error),
            power,
            power + product(power, q * c.loss_error),
            growth=2.0,
            steepest=1.0,
            absolute=np.full(len(value), 1.0 + 1.0 / q),
        )


def symmetric_cross_entropy(
    input: Array, target: Indices, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0
) -> Truth:
    """alpha * -log p_t + beta * -log_zero (1 - p_t), the reverse cross-entropy with a number for log 0.

    Source: Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels (2019), equations 6 and 7.
    """
    with np.errstate(all="ignore"):
        c = chosen(input, target)
        reverse = -log_zero * beta
        forward = np.where(np.isinf(c.loss), 2.0 * (alpha * c.half), alpha * c.loss)
        value = forward + reverse * c.rest
        return _truth(
            c,
            value,
            value + alpha * c.loss_error + abs(reverse) * c.rest_error,
            alpha + reverse * c.probability,
            alpha + abs(reverse) * (c.probability + c.probability_error),
            growth=1.0,
            steepest=alpha + abs(reverse),
            absolute=alpha * (1.0 + c.largest) + abs(reverse),
            partial=(np.zeros_like(value), c.loss),
        )


def categorical_cross_entropy(input: Array, target: Indices) -> Truth:
    """-log p_t of given probabilities, which are taken as they are. Source: keras.losses.SparseCategoricalCrossentropy.

    The gradient is -1 / p_t at the target and 0 elsewhere.
    """
    rows, at = np.arange(len(target)), target.astype(np.int64)
    with np.errstate(all="ignore"):
        p = input[rows, at]
        value = -np.log(p)
        slope, size = np.zeros_like(input), np.zeros_like(input)
        slope[rows, at] = -1.0 / p
        size[rows, at] = np.minimum(np.abs(slope[rows, at]), LARGEST)
        return Truth(
            value=output(value, absolute=1.0 + np.minimum(np.abs(value), LARGEST)),
            gradients={"input": output(slope, reference=np.minimum(np.abs(slope), LARGEST), absolute=size)},
        )
