"""Oracles of the binary focal losses. Elementwise: every argument has shape (R,), a target is 0 or 1."""

from __future__ import annotations

import numpy as np

from reference.numerics import product, sigmoid, softplus
from reference.truth import Array, Truth, output


def _of_labels(target: Array, positive: Array | float, negative: Array | float) -> Array:
    """One number of each label; nan for any other target."""
    return np.where(target == 1.0, positive, np.where(target == 0.0, negative, np.nan))


def _of_logits(input: Array, target: Array, alpha: Array, gamma: float) -> Truth:
    """alpha s**gamma softplus(-z), z the logit turned to the side of its label and s = sigmoid(-z) = 1 - p_t.

    1 - p_t is never a difference. d/dz is -alpha s**gamma (gamma p_t softplus(-z) + s), whose terms have one sign.
    The rounding of s is amplified gamma times by the power.
    """
    with np.errstate(all="ignore"):
        side = _of_labels(target, 1.0, -1.0)
        z = side * input
        miss, loss = sigmoid(-z), softplus(-z)
        focus = alpha * miss**gamma
        value = product(focus, loss)
        slope = focus * (gamma * product(sigmoid(z), loss) + miss)
        known = np.where(np.isnan(z), np.nan, 0.0)
        amplified = 1.0 + gamma
        return Truth(
            value=output(
                value + known,
                reference=amplified * np.abs(value),
                absolute=alpha * (1.0 + np.abs(z)),
                underflow=amplified,
            ),
            gradients={
                "input": output(
                    -side * slope + known,
                    reference=amplified * np.abs(slope),
                    absolute=alpha * amplified,
                    underflow=amplified,
                )
            },
        )


def sigmoid_focal_loss(input: Array, target: Array, *, alpha: float = 0.25, gamma: float = 2.0) -> Truth:
    """alpha_t (1 - p_t)**gamma times binary cross-entropy, alpha_t = alpha of a positive, 1 - alpha of a negative.

    Source: Lin et al., Focal Loss for Dense Object Detection (2017), equation 5; torchvision.ops.sigmoid_focal_loss.
    """
    return _of_logits(input, target, _of_labels(target, alpha, 1.0 - alpha), gamma)


def sigmoid_focal_loss_scalar_alpha(input: Array, target: Array, *, alpha: float = 1.0, gamma: float = 2.0) -> Truth:
    """alpha (1 - p_t)**gamma times binary cross-entropy, for both labels. Source: Lin et al. (2017), equation 4."""
    return _of_logits(input, target, _of_labels(target, alpha, alpha), gamma)


def binary_focal_loss(input: Array, target: Array, *, alpha: float = 0.25, gamma: float = 2.0) -> Truth:
    """-alpha_t (1 - p_t)**gamma log(p_t), p_t = x of a positive, 1 - x of a negative. Source: Lin et al. (2017).

    log(1 - x) is log1p(-x). The gradient -alpha_t (1 - p_t)**gamma (gamma log(p_t) / (1 - p_t) - 1 / p_t) has two terms
    of one sign; log(p_t) / (1 - p_t) is -1 at p_t = 1.
    """
    with np.errstate(all="ignore"):
        x = input + 0.0  # -0 is 0
        share, side = _of_labels(target, alpha, 1.0 - alpha), _of_labels(target, 1.0, -1.0)
        miss, hit = _of_labels(target, 1.0 - x, x), _of_labels(target, x, 1.0 - x)
        loss = _of_labels(target, -np.log(x), -np.log1p(-x))
        focus = share * miss**gamma
        value = product(focus, loss)
        ratio = np.where(miss == 0.0, 1.0, loss / miss)
        slope = focus / hit + product(gamma * focus, ratio)
        amplified = 1.0 + gamma
        return Truth(
            value=output(
                value,
                reference=amplified * np.abs(value),
                absolute=share * (1.0 + loss),
                underflow=amplified,
            ),
            gradients={
                "input": output(
                    -side * slope,
                    reference=amplified * np.abs(slope),
                    absolute=share * amplified / hit,
                    underflow=amplified,
                )
            },
        )
