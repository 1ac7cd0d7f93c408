"""Oracles of the losses of one decision. Elementwise: every argument has shape (R,)."""

from __future__ import annotations

import numpy as np

from reference.divergence import exp_times
from reference.numerics import product, sigmoid, softplus
from reference.regression import FINITE, difference, multiply
from reference.truth import Array, Truth, output


def weighed(weight: Array, term: Array) -> Array:
    """weight * term; a term of zero stays zero under an infinite weight, and is nan under nan."""
    return np.where((term == 0.0) & np.isinf(weight), 0.0, weight * term)


def binary_cross_entropy_with_logits(
    input: Array, target: Array, *, weight: Array | None = None, pos_weight: Array | None = None
) -> Truth:
    """weight * [(1 - y) softplus(x) + pos_weight y softplus(-x)]. Source: torch.nn.BCEWithLogitsLoss.

    Both terms are non-negative, so nothing cancels in the value. With p = pos_weight the target gradient
    p softplus(-x) - softplus(x) is (p - 1) softplus(-x) - x, by softplus(x) - softplus(-x) = x; where p < 1 and x < 0
    that form cancels, and the first does not.
    """
    w = np.ones_like(input) if weight is None else weight
    p = np.ones_like(input) if pos_weight is None else pos_weight
    x, y = input, target
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        up, down, wp = softplus(x), softplus(-x), w * p
        # The weights come first: no sum of unweighted terms that could overflow.
        negative, positive = weighed(w, product(1.0 - y, up)), weighed(wp, product(y, down))
        falling, rising = weighed(wp, product(y, sigmoid(-x))), weighed(w, product(1.0 - y, sigmoid(x)))
        apart = product(wp, down) - product(w, up)
        label_slope = np.where((p < 1.0) & (x < 0.0), apart, product(p - 1.0, w * down) - product(w, x))
        at_saturation = w * (np.abs(1.0 - y) + np.maximum(p, 1.0) * np.abs(y))
        underflow = np.minimum(1.0 + w * (1.0 + p), FINITE)
        # As torch writes it: (1 - y) x + (1 + (p - 1) y) softplus(-x), then the weight; p softplus(-x) - softplus(x).
        plain = product(1.0 - y, up) + product(p, product(y, down))
        largest = np.maximum(np.abs(1.0 + (p - 1.0) * y) * down, np.maximum(np.abs((1.0 - y) * x), plain))
        of_value = None if weight is None and pos_weight is None else (largest, largest)
        largest = np.maximum(p * down, up)
        of_label = None if weight is None and pos_weight is None else (largest, largest)
        return Truth(
            value=output(
                negative + positive,
                reference=np.abs(negative) + np.abs(positive),
                absolute=at_saturation * (1.0 + np.abs(x)),
                underflow=underflow,
                partial=of_value,
            ),
            gradients={
                "input": output(
                    rising - falling,
                    reference=np.abs(rising) + np.abs(falling),
                    absolute=at_saturation,
                    underflow=underflow,
                ),
                "target": output(
                    label_slope,
                    reference=product(wp, down) + product(w, up),
                    absolute=w * (1.0 + p) * (1.0 + np.abs(x)),
                    underflow=underflow,
                    partial=of_label,
                ),
            },
        )


def binary_cross_entropy(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """-weight * [y log(x) + (1 - y) log(1 - x)], x a probability. Source: torch.nn.BCELoss, without its clamp.

    Both terms are non-negative; a term whose coefficient is zero is left out, and so is a row of weight zero. The
    gradient is (x - y) / (x (1 - x)), which for a hard y is -1 / x or 1 / (1 - x); the target gradient log((1 - x) / x)
    is taken as log1p((1 - 2 x) / x) near 1/2, where 1 - 2 x is exact.
    """
    w = np.ones_like(input) if weight is None else weight
    x, y = input + 0.0, target  # + 0.0: x = -0 is 0
    with np.errstate(all="ignore"):
        falling, rising = product(y, -np.log(x)), product(1.0 - y, -np.log1p(-x))
        rest = 1.0 - x
        numerator = np.where(y == 1.0, -1.0, np.where(y == 0.0, 1.0, x - y))
        divisor = np.where(y == 1.0, x, np.where(y == 0.0, rest, x * rest))
        slope, quotient = multiply(w, numerator, over=divisor), np.abs(numerator / divisor)
        odds = np.where(np.abs(x - 0.5) <= 0.25, np.log1p((1.0 - 2.0 * x) / x), np.log1p(-x) - np.log(x))
        value, heft = product(w, falling + rising), np.abs(w)
        scale = product(heft, np.abs(falling) + np.abs(rising))
        terms = product(np.abs(y), 1.0 / x) + product(np.abs(1.0 - y), 1.0 / rest)
        return Truth(
            value=output(value, reference=scale, absolute=heft + scale, underflow=1.0 + heft),
            gradients={
                "input": output(
                    np.where(w == 0.0, 0.0, slope),
                    absolute=product(heft, terms),
                    underflow=1.0 + heft,
                    partial=None if weight is None else (quotient, quotient),
                ),
                "target": output(product(w, odds), absolute=product(heft, 1.0 + np.abs(odds)), underflow=1.0 + heft),
            },
        )


def binary_cross_entropy_clamped(input: Array, target: Array, *, weight: Array | None = None) -> Truth:
    """-weight * [y max(log(x), -100) + (1 - y) max(log(1 - x), -100)]. Source: torch.nn.BCELoss, "clamps its log".

    Only the value and the target gradient, in which the loss is linear, hold the clamp; the gradient in x is that of
    :func:`binary_cross_entropy`, the documentation naming none.
    """
    w = np.ones_like(input) if weight is None else weight
    x, y = input + 0.0, target
    plain = binary_cross_entropy(input, target, weight=weight)
    with np.errstate(all="ignore"):
        log_x, log_rest = np.maximum(np.log(x), -100.0), np.maximum(np.log1p(-x), -100.0)
        value, heft = w * (-y * log_x - (1.0 - y) * log_rest), np.abs(w)
        scale = heft * (np.abs(y * log_x) + np.abs((1.0 - y) * log_rest))
        clamped = (log_x == -100.0) | (log_rest == -100.0)
        odds = np.where(clamped, w * (log_rest - log_x), plain.gradients["target"].exact)
        return Truth(
            value=output(value, reference=scale, absolute=heft + scale, underflow=1.0 + heft),
            gradients={
                "input": plain.gradients["input"],
                "target": output(odds, absolute=heft + np.abs(odds), underflow=1.0 + heft),
            },
        )


def soft_margin_loss(input: Array, target: Array) -> Truth:
    """log(1 + exp(-y x)) = softplus(-y x). Source: torch.nn.SoftMarginLoss.

    y x is exact for the labels 1 and -1. For any other y its rounding is part of the reference scale.
    """
    x, y = input, target
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        z = x * y
        value = softplus(-z)
        below, whole = np.minimum(-z, 0.0), 1.0 + np.exp(-np.abs(z))  # sigmoid(-z) = exp(below) / whole
        growth = np.where(np.abs(y) == 1.0, 0.0, np.where(np.isfinite(z), np.abs(z), 0.0))
        slope, label_slope = exp_times(below, -y) / whole, exp_times(below, -x) / whole

        def scaled(exact: Array) -> Array:
            return np.minimum(np.abs(exact) * (1.0 + growth), FINITE)

        return Truth(
            value=output(value, reference=np.minimum(value + growth * np.exp(below), FINITE), absolute=1.0 + np.abs(z)),
            gradients={
                "input": output(slope, reference=scaled(slope), absolute=np.abs(y)),
                "target": output(label_slope, reference=scaled(label_slope), absolute=np.abs(x)),
            },
        )


def hinge_embedding_loss(input: Array, target: Array, *, margin: float = 1.0) -> Truth:
    """x where y = 1, max(0, margin - x) where y = -1, undefined (nan) elsewhere. Source: torch.nn.HingeEmbeddingLoss.

    Kink at x = margin, where y = -1.
    """
    x, y = input, target
    with np.errstate(over="ignore", invalid="ignore"):
        gap = margin - x
        pushed = np.where(np.isnan(gap), np.nan, np.where(gap > 0.0, -1.0, 0.0))
        value = np.where(y == 1.0, x, np.where(y == -1.0, np.maximum(gap, 0.0), np.nan))
        slope = np.where(y == 1.0, 1.0, np.where(y == -1.0, pushed, np.nan))
        low = np.where((y == -1.0) & (gap == 0.0), -1.0, slope)
        return Truth(
            value=output(value, absolute=np.abs(x) + np.where(y == -1.0, abs(margin), 0.0)),
            gradients={"input": output(slope, absolute=1.0, interval=(low, slope))},
        )


def margin_ranking_loss(input1: Array, input2: Array, target: Array, *, margin: float = 0.0) -> Truth:
    """max(0, margin - y (x1 - x2)). Source: torch.nn.MarginRankingLoss.

    The rounding error of x1 - x2 is exact in float64 (Knuth's TwoSum) and is added back, so that margin - y (x1 - x2)
    keeps its digits and its sign down to the kink at 0.
    """
    y = target
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, s = difference(input1, input2)
        # At a quarter where a part of the sum could leave float64.
        q = np.where(np.maximum(np.abs(input1), np.abs(input2)) > 1e300, 0.25, 1.0)
        whole, one, two = d * q, input1 / s * q, input2 / s * q
        kept = whole - one
        lost = np.where(np.isfinite(d), ((one - (whole - kept)) - (two + kept)) / q, 0.0)
        gap = ((margin / s - y * d) - y * lost) * s
        on = np.where(np.isnan(gap), np.nan, np.where(gap > 0.0, 1.0, 0.0))
        tie = gap == 0.0
        d = d * s
        size, soft = np.abs(input1) + np.abs(input2), np.abs(y) != 1.0

        def slope(factor: Array) -> tuple[Array, tuple[Array, Array]]:
            exact = product(on, factor)
            if not tie.any():
                return exact, (exact, exact)
            return exact, (np.where(tie, np.minimum(factor, 0.0), exact), np.where(tie, np.maximum(factor, 0.0), exact))

        (first, first_ends), (second, second_ends), (label, label_ends) = slope(-y), slope(y), slope(-d)
        reach = np.abs(gap) + np.where(soft, np.abs(y * d), 0.0)
        return Truth(
            value=output(
                np.maximum(gap, 0.0),
                reference=np.where(gap > 0.0, reach, 0.0),
                absolute=abs(margin) + np.abs(y) * size,
                underflow=1.0 + np.abs(y),
                partial=(np.zeros_like(d), np.abs(d)),
            ),
            gradients={
                "input1": output(first, absolute=np.abs(y), interval=first_ends),
                "input2": output(second, absolute=np.abs(y), interval=second_ends),
                "target": output(label, absolute=size, interval=label_ends),
            },
        )
