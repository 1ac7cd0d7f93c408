"""Oracle of the cross-entropy over the k largest logits. Logits have shape (R, C), class indices (R,)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.classification import Indices
from reference.numerics import Softmax, softmax
from reference.outputs import LARGEST, Mask
from reference.truth import Array, Truth, output


class _Choice(NamedTuple):
    """One choice of the k largest, shape (R, C)."""

    chosen: Mask
    open: Mask
    """Tied for the last places of the k: another choice is as good."""


def _choice(x: Array, k: int) -> _Choice:
    order = np.argsort(-x, axis=1, kind="stable")
    chosen = np.zeros(x.shape, np.bool_)
    np.put_along_axis(chosen, order[:, :k], True, axis=1)
    least = np.take_along_axis(x, order[:, k - 1 : k], axis=1)
    crowded = (x >= least).sum(axis=1, keepdims=True) > k
    return _Choice(chosen, crowded & (x == least))


class _Share(NamedTuple):
    """Of each class where it is chosen, shape (R, C)."""

    probability: Array
    complement: Array
    growth: Array
    """Relative error scale of the probability: the rounding of the arguments of exp."""


def _share(s: Softmax, choice: _Choice, gap: Array) -> _Share:
    # What is tied is at most 1/2 of several, or all of one: 1 less it does not cancel.
    tied = np.where(choice.chosen & choice.open, s.probability, 0.0).max(axis=1, keepdims=True)
    p = np.where(choice.open, tied, s.probability)
    growth = 1.0 + np.where(np.isfinite(gap), gap, 0.0) + s.spread[:, None]
    return _Share(p, np.where(choice.open, 1.0 - p, s.complement), growth)


def top_k_cross_entropy(input: Array, target: Indices, *, k: int = 10) -> Truth:
    """log of the sum of exp(x_j) over the k largest logits, less x_y; of all logits where there are no more than k.

    Source: Sun et al., Sparse-softmax: A Simpler and Faster Alternative Softmax Transformation (2021), whose p_j is
    exp(x_j) over that sum for the k largest and 0 for others. The target need not be among the k: none of them is then
    below it, so that the loss is at least log k. It is never negative, and as max(x) - x_y + log1p(sum of the others of
    the k) no term cancels. The gradient is p less the one-hot target, at a target among the k the sum of the others.
    Logits tied for the last places of the k are chosen among at will: the gradient is an interval there.
    """
    rows, y = np.arange(len(input)), target.astype(np.int64)
    with np.errstate(all="ignore"):
        top = input.max(axis=1)
        lost = np.isnan(top) | np.isinf(top)
        unknown = np.where(lost, np.nan, 0.0)
        x = np.where(lost[:, None], 0.0, input)
        choice = _choice(x, min(k, input.shape[1]))
        s = softmax(np.where(choice.chosen, x, -np.inf))
        gap = x.max(axis=1, keepdims=True) - x
        share = _share(s, choice, gap)
        low, high = np.where(choice.open, 0.0, s.probability), share.probability.copy()
        slope, size = s.probability.copy(), share.probability * share.growth
        here, doubtful = choice.chosen[rows, y], choice.open[rows, y]
        inside = -share.complement[rows, y]
        slope[rows, y] = np.where(here, inside, -1.0)
        low[rows, y] = np.where(here & ~doubtful, inside, -1.0)
        high[rows, y] = np.where(here | doubtful, inside, -1.0)
        size[rows, y] = np.where(here | doubtful, s.spread - inside * (1.0 + s.spread), 1.0)
        behind = gap[rows, y]
        value = behind + s.log_sum
        return Truth(
            value=output(
                value + unknown,
                reference=np.minimum(2.0 * behind + s.log_sum + s.spread, LARGEST),
                accumulation=np.minimum(value, LARGEST),
                absolute=1.0 + np.where(np.isfinite(x), np.abs(x), 0.0).max(axis=1),
                underflow=2.0,
            ),
            gradients={
                "input": output(
                    slope + unknown[:, None],
                    reference=size,
                    accumulation=np.maximum(np.abs(low), np.abs(high)),
                    absolute=2.0 * np.ones_like(x),
                    underflow=2.0,
                    interval=(low + unknown[:, None], high + unknown[:, None]),
                )
            },
        )
