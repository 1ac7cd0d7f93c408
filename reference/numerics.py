"""Elementary functions in the forms that do not cancel. All take and return float64 arrays; nan propagates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.truth import Array


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-abs(x))): no overflow, no cancellation, relative error a few ulp."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) with the exponential of a non-positive number only: accurate in both tails."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def product(coefficient: Array, factor: Array) -> Array:
    """coefficient * factor where a coefficient of zero removes the factor, infinite or nan as it may be."""
    with np.errstate(invalid="ignore"):
        return np.where(coefficient == 0.0, 0.0, coefficient * factor)


class Softmax(NamedTuple):
    """Softmax over the last axis with the pieces that losses need, none of them from a cancelling difference."""

    gap: Array
    """max(x) - x_j, at least 0; shape (..., C)."""
    log_sum: Array
    """log of the sum of exp(x_j - max(x)), as log1p of the sum without the maximum; shape (...)."""
    probability: Array
    """exp(x_j) / sum of exp(x); shape (..., C)."""
    complement: Array
    """1 - probability, as the sum of the others; shape (..., C)."""
    spread: Array
    """Sum of probability * gap, the condition of log_sum; shape (...)."""


def softmax(x: Array) -> Softmax:
    """The softmax of rows of logits; -inf is a class of probability zero, a row of only -inf or with +inf is nan."""
    top = np.argmax(x, axis=-1)[..., None]
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.take_along_axis(x, top, axis=-1) - x
        e = np.exp(-gap)
        others = e.copy()
        np.put_along_axis(others, top, np.where(np.isnan(np.take_along_axis(e, top, axis=-1)), np.nan, 0.0), axis=-1)
        tail = others.sum(axis=-1)
        total = 1.0 + tail
        p = e / total[..., None]
        # 1 - p cancels only for the top class (every other p is at most 1/2), whose complement is the tail itself.
        complement = 1.0 - p
        np.put_along_axis(complement, top, (tail / total)[..., None], axis=-1)
        spread = product(p, gap).sum(axis=-1)
    return Softmax(gap, np.log1p(tail), p, complement, spread)


def sum_over_rows(x: Array) -> Array:
    """The sum over the first axis, by halves and with the rounding errors of every addition added at the end.

    As if summed in twice the precision: Ogita, Rump and Oishi, Accurate sum and dot product, SIAM J. Sci. Comput. 2005,
    theorem 3.4, with the depth of a tree. A sum down the columns of an array otherwise runs term by term.
    """
    lost = np.zeros(x.shape[1:])
    with np.errstate(invalid="ignore", over="ignore"):
        while len(x) > 1:
            half = len(x) // 2
            a, b, odd = x[:half], x[half : 2 * half], x[2 * half :]
            total = a + b
            part = total - a
            error = (a - (total - part)) + (b - part)
            lost = lost + np.where(np.isfinite(error), error, 0.0).sum(axis=0)
            x = np.concatenate([total, odd])
    corrected: Array = x.sum(axis=0) + lost
    return corrected
