"""Oracles of the margin losses over classes. Scores have shape (R, C), one loss a row, class weights (C,)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from reference.classification import LARGEST, Indices
from reference.numerics import product, sigmoid, softplus
from reference.truth import Array, Truth, output

Mask = npt.NDArray[np.bool_]

REACH = 2.0**-6
"""Share of a difference by which its rounding, a few units of any dtype under test, may carry a hinge over its kink."""


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its rounding error, exactly (Knuth)."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _hinge(margin: float, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """margin - low + high to an ulp and with the right sign, high - low, and the unit, 1 or 2, that both are in.

    Three terms may cancel twice, so both roundings are added back. Where the difference overflows all is halved.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        d, error = _two_sum(high, -low)
        s, last = _two_sum(np.full_like(d, margin), d)
        h = np.where(np.isfinite(s), s + (last + error), s)
        unit = np.ones_like(h)
        over = np.isinf(d) | np.isinf(h)
        if over.any():
            half = 0.5 * high - 0.5 * low
            d, h = np.where(over, half, d), np.where(over, 0.5 * margin + half, h)
            unit = np.where(over, 2.0, 1.0)
    return h, d, unit


def _margin_loss(input: Array, target: Indices, kept: Mask, coefficient: Array, margin: float, p: int) -> Truth:
    """coefficient * sum over kept targets y_j and classes i that are none of them of max(0, margin - x[y_j] + x_i)**p.

    ``target`` and ``kept`` have shape (R, A). What a target that is not kept holds does not matter.
    """
    rows = np.arange(len(input))[:, None]
    y = np.where(kept, target, 0).astype(np.int64)
    others = np.ones(input.shape, np.bool_)
    others[np.broadcast_to(rows, y.shape)[kept], y[kept]] = False
    pairs = kept[:, :, None] & others[:, None, :]
    h, d, unit = _hinge(margin, input[rows, y][:, :, None], input[:, None, :])
    c = np.reshape(coefficient, (-1, 1, 1))

    def over_classes(per_pair: Array) -> tuple[Array, Array]:
        """Sums of a quantity of pairs: what a class gets as one of the others, and what it gets as a target."""
        low = np.zeros_like(input)
        np.add.at(low, (np.broadcast_to(rows, y.shape), y), per_pair.sum(axis=2))
        high: Array = per_pair.sum(axis=1)
        return high, low

    def largest_of_classes(per_pair: Array) -> Array:
        """The largest quantity of the pairs that a class is part of."""
        largest: Array = per_pair.max(axis=1, initial=0.0)
        np.maximum.at(largest, (np.broadcast_to(rows, y.shape), y), per_pair.max(axis=2, initial=0.0))
        return largest

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        excess = np.where(pairs, np.maximum(h, 0.0), 0.0)
        gap = np.where(pairs & (h >= -REACH * np.abs(d)), np.abs(d), 0.0)
        size = abs(margin) + np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=-1)
        count = pairs.sum(axis=(1, 2)) * coefficient
        saturated = coefficient[:, None] * np.add(*over_classes(np.where(pairs, 1.0, 0.0)))
        interval = part = None
        if p == 1:
            terms = product(c, excess) * unit
            scale = product(c, excess + gap) * unit
            power = excess * unit
            live = np.where(pairs, np.where(np.isnan(h), np.nan, h > 0), 0.0)
            up, down = over_classes(live)
            slope = slope_scale = coefficient[:, None] * (up - down)
            kink = pairs & (h == 0)
            if kink.any():
                rising, falling = over_classes(np.where(kink, 1.0, 0.0))
                interval = (slope - coefficient[:, None] * falling, slope + coefficient[:, None] * rising)
        else:
            terms = product(product(c, excess), excess) * unit**2
            scale = terms + product(2.0 * product(c, excess), gap) * unit**2
            scale += product(product(c, REACH * gap), REACH * gap) * unit**2
            power = excess * excess * unit**2
            up, down = over_classes(2.0 * product(c, excess) * unit)
            slope = up - down
            slope_scale = np.add(*over_classes(2.0 * product(c, excess + gap) * unit))
            saturated = 2.0 * saturated * size[:, None]
            # Without its weight: the hinge itself, then twice the hinge over C.
            steepest = largest_of_classes(max(1.0, 2.0 / input.shape[1]) * excess * unit)
            part = (np.zeros_like(steepest), steepest)
        value = terms.sum(axis=(1, 2))
        # As it is written: powers of hinges, then their weighted sum, then that over C.
        largest = np.maximum(power.max(axis=(1, 2), initial=0.0), value * input.shape[1])
        return Truth(
            value=output(
                value,
                reference=np.minimum(scale.sum(axis=(1, 2)), LARGEST),
                accumulation=value,
                underflow=1.0 + count,
                absolute=product(count, size**p),
                partial=(np.zeros_like(largest), largest),
            ),
            gradients={
                "input": output(
                    slope,
                    reference=np.minimum(np.abs(slope_scale), LARGEST),
                    accumulation=np.abs(slope),
                    underflow=1.0 + count[:, None],
                    absolute=saturated,
                    interval=interval,
                    partial=part,
                )
            },
        )


def multi_margin_loss(
    input: Array, target: Indices, *, p: int = 1, margin: float = 1.0, weight: Array | None = None
) -> Truth:
    """weight[y] * sum over i != y of max(0, margin - x[y] + x[i])**p, over C. Source: torch.nn.MultiMarginLoss.

    Running error of the hinge: the rounding of x[i] - x[y] and of the sum with the margin.
    """
    y = target.astype(np.int64)[:, None]
    w = np.ones(len(input)) if weight is None else weight[y[:, 0]]
    return _margin_loss(input, y, np.ones(y.shape, np.bool_), w / input.shape[1], margin, p)


def multiclass_hinge_loss(input: Array, target: Indices, *, margin: float = 1.0) -> Truth:
    """Sum over i != y of max(0, margin + x[i] - x[y]).

    Source: Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition (1999), equation 4.
    """
    y = target.astype(np.int64)[:, None]
    truth = _margin_loss(input, y, np.ones(y.shape, np.bool_), np.ones(len(input)), margin, 1)
    # The sum is the loss itself, not divided.
    return replace(truth, value=replace(truth.value, partial=None))


def crammer_singer_loss(input: Array, target: Indices, *, margin: float = 1.0) -> Truth:
    """max(0, margin + max over i != y of x[i] - x[y]); 0 for one class.

    Source: Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-Based Vector Machines (2001),
    equation 4. Which of the other scores is largest is decided by the scores themselves, without a rounding: where
    several are, each may have any share of the gradient.
    """
    rows, y = np.arange(len(input)), target.astype(np.int64)
    others = input.copy()
    others[rows, y] = -np.inf
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        top = others.max(axis=1)
        h, d, unit = _hinge(margin, input[rows, y], top)
        none = np.isneginf(top)
        h, d = np.where(none, -np.inf, h), np.where(none, 0.0, d)
        value = np.maximum(h, 0.0) * unit
        gap = np.where(h >= -REACH * np.abs(d), np.abs(d), 0.0) * unit
        live = np.where(np.isnan(h), np.nan, h > 0)
        first, last = live, np.where(h == 0, 1.0, live)
        winner = (others == top[:, None]) & ~none[:, None] | np.isnan(others)
        alone = winner.sum(axis=1) == 1
        first_of_them = (np.arange(input.shape[1]) == others.argmax(axis=1)[:, None]) & ~none[:, None]
        slope = np.where(first_of_them, live[:, None], 0.0)
        low, high = np.where(winner & alone[:, None], first[:, None], 0.0), np.where(winner, last[:, None], 0.0)
        slope[rows, y], low[rows, y], high[rows, y] = -live, -last, -first
        size = abs(margin) + np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=1)
        return Truth(
            value=output(value, reference=np.minimum(value + gap, LARGEST), absolute=size),
            gradients={"input": output(slope, absolute=np.ones_like(slope), interval=(low, high))},
        )


def multilabel_margin_loss(input: Array, target: Indices) -> Truth:
    """Sum over targets y[j] and classes i that are no target of max(0, 1 - (x[y[j]] - x[i])), over C.

    The targets are the non-negative indices before the first negative one; one given twice counts twice.
    Source: torch.nn.MultiLabelMarginLoss.
    """
    front = np.logical_and.accumulate(target >= 0, axis=1)
    longest = int(front.sum(axis=1).max(initial=0))
    coefficient = np.full(len(input), 1.0 / input.shape[1])
    return _margin_loss(input, target[:, :longest], front[:, :longest], coefficient, 1.0, 1)


def multilabel_soft_margin_loss(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """Mean over classes of weight * [y softplus(-x) + (1 - y) softplus(x)]. Source: torch.nn.MultiLabelSoftMarginLoss.

    -log(1 / (1 + exp(-x))) is softplus(-x) and -log(exp(-x) / (1 + exp(-x))) is softplus(x): non-negative terms. The
    target gradient, their difference, is -x.
    """
    x, y = input, target
    classes = x.shape[1]
    # Divided first: the mean may be a number though the sum is not.
    w = np.ones_like(x) / classes if weight is None else np.broadcast_to(weight / classes, x.shape)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rising, falling = softplus(x), softplus(-x)
        positive, negative = product(w * y, falling), product(w * (1.0 - y), rising)
        pull, push = product(w * (1.0 - y), sigmoid(x)), product(w * y, sigmoid(-x))
        value = (positive + negative).sum(axis=1)
        scale = (np.abs(positive) + np.abs(negative)).sum(axis=1)
        saturated = w * (np.abs(y) + np.abs(1.0 - y))
        finite = np.where(np.isfinite(x), np.abs(x), 0.0)
        return Truth(
            value=output(
                value,
                reference=scale,
                accumulation=scale,
                underflow=1.0 + w.sum(axis=1),
                absolute=(saturated * (1.0 + finite)).sum(axis=1),
                partial=(np.zeros_like(scale), scale * classes),  # the sum over classes, divided last
            ),
            gradients={
                "input": output(
                    pull - push, reference=np.abs(pull) + np.abs(push), underflow=1.0 + w, absolute=saturated
                ),
                "target": output(
                    -product(w, x),
                    reference=product(w, rising + falling),
                    underflow=1.0 + w,
                    absolute=w * (1.0 + finite),
                ),
            },
        )
