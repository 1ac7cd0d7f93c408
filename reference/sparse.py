"""Oracles of the Fenchel-Young losses of sparse transforms. Scores have shape (R, C), class indices (R,).

The transform is a power of the distance d_j = max(x_j - tau, 0) from the threshold at which it sums to 1; entmax takes
half of the scores. Written in these distances, and in that of the target from below, no term of the loss
Omega*(x) + Omega(onehot) - x_y is negative. Its gradient is the transform less the one-hot target, at the target minus
the sum of the others. Source: Blondel, Martins and Niculae, Learning with Fenchel-Young Losses (2020).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.classification import Indices, sum_of_others
from reference.outputs import LARGEST, Mask
from reference.truth import Array, Truth, output

REACH = 2.0**-6
"""Share of the scale of a distance by which its rounding may carry it over the threshold, for any dtype under test."""
FAR = 2.0
"""Scores so far below the largest are in no support: the threshold is below it by at most 1."""


class _Distances(NamedTuple):
    above: Array
    """max(x_j - tau, 0)."""
    below: Array
    """max(tau - x_j, 0)."""
    size: Array
    """Scale of their rounding: of the gap to the largest score, and of the threshold, made of numbers of at most 1."""
    near: Array
    """That scale for the scores above the threshold or about at it, 0 for others."""


def _distances(gap: Array, threshold: Array) -> _Distances:
    apart, size = threshold - gap, gap + 1.0
    near = apart > -REACH * size
    return _Distances(np.maximum(apart, 0.0), np.maximum(-apart, 0.0), size, np.where(near, size, 0.0))


def _picked(array: Array, target: Indices) -> Array:
    taken: Array = np.take_along_axis(array, target.astype(np.int64)[:, None], axis=1)[:, 0]
    return taken


def _off(target: Indices, array: Array) -> Array:
    """0 at the target."""
    return np.where(np.arange(array.shape[1]) == target[:, None], 0.0, array)


def _sparsemax_threshold(gap: Array) -> Array:
    """max(x) - tau, shape (R, 1), from the gaps max(x) - x_j. Source: Martins and Astudillo (2016), algorithm 1."""
    rising = np.minimum(np.sort(gap, axis=1), FAR)
    total = np.cumsum(rising, axis=1, dtype=np.longdouble)
    count = np.arange(1, gap.shape[1] + 1)
    size = (1.0 + total > count * rising).sum(axis=1, keepdims=True)
    threshold: Array = ((1.0 + np.take_along_axis(total, size - 1, axis=1)) / size).astype(np.float64)
    return threshold


def _entmax_threshold(gap: Array) -> Array:
    """The same of 1.5-entmax, where squares of distances sum to 1. Source: Peters et al. (2019), algorithm 2."""
    rising = np.minimum(np.sort(gap, axis=1), FAR).astype(np.longdouble)
    count = np.arange(1, gap.shape[1] + 1)
    mean = np.cumsum(rising, axis=1) / count
    variance = np.cumsum(rising * rising, axis=1) / count - mean * mean
    root = np.sqrt(np.maximum(1.0 / count - variance, 0.0))
    size = (mean + root > rising).sum(axis=1, keepdims=True)
    mean = np.take_along_axis(mean, size - 1, axis=1)
    inside: Mask = np.arange(gap.shape[1]) < size
    squares = np.where(inside, (rising - mean) ** 2, 0.0).sum(axis=1, keepdims=True)
    threshold: Array = (mean + np.sqrt((1.0 - squares) / size)).astype(np.float64)
    return threshold


def _unknown(input: Array) -> Array:
    """nan of the rows whose transform has no value, 0 of the others."""
    lost = np.isnan(input).any(axis=1) | (input == np.inf).any(axis=1) | np.isneginf(input).all(axis=1)
    return np.where(lost, np.nan, 0.0)


def _truth(
    input: Array, target: Indices, value: Array, value_error: Array, behind: Array, p: Array, p_error: Array
) -> Truth:
    """``behind`` is the running error of the distance of the target below the threshold."""
    unknown = _unknown(input)
    at = target.astype(np.int64)[:, None]
    slope, error = p.copy(), p_error.copy()
    np.put_along_axis(slope, at, -_picked(sum_of_others(p), target)[:, None], axis=1)
    np.put_along_axis(error, at, _picked(sum_of_others(p_error), target)[:, None], axis=1)
    return Truth(
        value=output(
            value + unknown,
            reference=np.minimum(value + value_error + behind, LARGEST),
            accumulation=value_error + np.minimum(behind, 2.0),
            absolute=1.0 + np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=1),
            underflow=4.0,
        ),
        gradients={
            "input": output(
                slope + unknown[:, None],
                reference=np.abs(slope) + error,
                accumulation=error,
                absolute=2.0 * np.ones_like(slope),
                underflow=4.0,
            )
        },
    )


def sparsemax_loss(input: Array, target: Indices) -> Truth:
    """-x_y + sum over the support of (x_j**2 - tau**2) / 2 + 1/2.

    Source: Martins and Astudillo, From Softmax to Sparsemax (2016), equation 20. With p_j = max(x_j - tau, 0) it is
    norm(p - onehot)**2 / 2 + max(tau - x_y, 0).
    """
    with np.errstate(all="ignore"):
        gap = input.max(axis=1, keepdims=True) - input
        d = _distances(gap, _sparsemax_threshold(gap))
        p = d.above
        missing, below = _picked(sum_of_others(p), target), _picked(d.below, target)
        others, near = _off(target, p), _off(target, d.near)
        value = 0.5 * (missing * missing + (others * others).sum(axis=1)) + below
        error = missing * near.sum(axis=1) + (others * near).sum(axis=1) + ((REACH * near) ** 2).sum(axis=1)
        behind = np.where(below > 0.0, _picked(d.size, target), _picked(d.near, target) * (_picked(p, target) < REACH))
        return _truth(input, target, value, error, np.minimum(behind, LARGEST), p, d.near)


def entmax15_loss(input: Array, target: Indices) -> Truth:
    """(p - onehot) . x + (1 - sum of p**1.5) / 0.75 for p = max(x / 2 - tau, 0)**2, which sums to 1.

    Source: Peters, Niculae and Martins, Sparse Sequence-to-Sequence Models (2019), section 3.3. With d_j the root of
    p_j it is 2/3 (sum of d_j**3 but the target's + (1 - d_y)**2 (2 + d_y)) + 2 max(tau - x_y / 2, 0), where 1 - d_y is
    the sum of the other p over 1 + d_y.
    """
    with np.errstate(all="ignore"):
        gap = 0.5 * input.max(axis=1, keepdims=True) - 0.5 * input
        d = _distances(gap, _entmax_threshold(gap))
        p = d.above * d.above
        own, below = _picked(d.above, target), _picked(d.below, target)
        others, near = _off(target, d.above), _off(target, d.near)
        p_error = 2.0 * d.above * d.near + (REACH * d.near) ** 2
        short = _picked(sum_of_others(p), target) / (1.0 + own)
        value = 2.0 / 3.0 * ((others**3).sum(axis=1) + short * short * (2.0 + own)) + 2.0 * below
        error = (2.0 * others * others * near + REACH * (REACH * near) ** 2).sum(axis=1)
        error += 4.0 * short * _off(target, p_error).sum(axis=1)
        behind = 2.0 * np.where(below > 0.0, _picked(d.size, target), _picked(d.near, target) * (own < REACH))
        return _truth(input, target, value, error, np.minimum(behind, LARGEST), p, p_error)
