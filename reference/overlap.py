"""Oracles of the losses of two soft sets, memberships of shape (R, P) in [0, 1]. One row is one loss value.

With products p g of what both hold, p (1 - g) of what only the input and (1 - p) g of what only the target holds, an
overlap falls short of 1 by a quotient of sums of non-negative terms. Two empty sets without smoothing are 0 / 0: nan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reference.outputs import LARGEST
from reference.truth import Array, Truth, output


class _Index(NamedTuple):
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), and what its gradients are made of; (R, 1).

    Sums are over ``unit``, so that products of small memberships stay in the range.
    """

    value: Array
    both: Array
    """TP + smooth."""
    one: Array
    """alpha FP + beta FN."""
    total: Array
    unit: Array
    """A power of two near the largest membership or the smoothing."""
    lost: Array
    """Of the value, whose products may underflow."""

    @property
    def whole(self) -> Array:
        return self.total * self.unit


def _index(p: Array, g: Array, alpha: float, beta: float, smooth: float) -> _Index:
    largest = np.maximum(np.maximum(p, g).max(axis=-1, keepdims=True), smooth)
    unit = np.where(largest > 0.0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)
    share, other = p / unit, g / unit
    both = (share * g).sum(axis=-1, keepdims=True) + smooth / unit
    false_positives = (share * (1.0 - g)).sum(axis=-1, keepdims=True)
    one = alpha * false_positives + beta * ((1.0 - p) * other).sum(axis=-1, keepdims=True)
    total = both + one
    lost = np.fmin(1.0 + 4.0 * p.shape[-1] / (total * unit), LARGEST)
    return _Index(one / total, both, one, total, unit, lost)


class _Slope(NamedTuple):
    exact: Array
    size: Array


def _slope(at: _Index, other: Array, alone: float, missed: float) -> _Slope:
    """d value / d p = (alpha (1 - g) TP - g (beta TP + N)) / total**2 with N = alpha FP + beta FN.

    The quotient rule with total - N = TP put in: of a hard label one term is left.
    """
    up = alone * (1.0 - other) * (at.both / at.total) / at.total / at.unit
    down = other * ((missed * at.both + at.one) / at.total) / at.total / at.unit
    return _Slope(up - down, up + down)


def _gradients(at: _Index, p: Array, g: Array, alpha: float, beta: float) -> dict[str, _Slope]:
    return {"input": _slope(at, g, alpha, beta), "target": _slope(at, p, beta, alpha)}


def _steepest(at: _Index) -> Array:
    """The largest term of a gradient as the formula is written."""
    return np.fmin(3.0 / at.whole, LARGEST)


def _truth(at: _Index, slopes: dict[str, _Slope]) -> Truth:
    value, steepest = at.value[:, 0], _steepest(at)
    return Truth(
        value=output(value, accumulation=2.0 * value, absolute=1.0, underflow=at.lost[:, 0]),
        gradients={
            name: output(
                slope.exact,
                reference=np.fmin(slope.size, LARGEST),
                accumulation=np.fmin(2.0 * slope.size, LARGEST),
                absolute=steepest,
                underflow=np.fmin(1.0 + steepest * (1.0 + at.lost), LARGEST),
            )
            for name, slope in slopes.items()
        },
    )


def tversky_loss(input: Array, target: Array, *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0) -> Truth:
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), as (alpha FP + beta FN) over the same denominator.

    TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g. Source: Salehi, Erdogmus, Gholipour, Tversky loss function for
    image segmentation using 3D fully convolutional deep networks (2017), equation 4, without smoothing.
    """
    with np.errstate(all="ignore"):
        at = _index(input, target, alpha, beta, smooth)
        return _truth(at, _gradients(at, input, target, alpha, beta))


def dice_loss(input: Array, target: Array, *, smooth: float = 1.0) -> Truth:
    """1 - (2 sum p g + smooth) / (sum p + sum g + smooth): Tversky with alpha = beta = 1/2 and half the smoothing.

    Source: Sudre, Li, Vercauteren, Ourselin, Cardoso, Generalised Dice overlap as a deep learning loss function (2017).
    """
    return tversky_loss(input, target, alpha=0.5, beta=0.5, smooth=0.5 * smooth)


def focal_tversky_loss(
    input: Array,
    target: Array,
    *,
    alpha: float = 0.7,
    beta: float = 0.3,
    gamma: float = 0.75,
    smooth: float = 1.0,
) -> Truth:
    """(1 - TI)**gamma with the Tversky index TI.

    Below gamma = 1 its slope is infinite at a perfect prediction; there every number between 0 and that is admissible.
    Source: Abraham, Khan, A novel focal Tversky loss function with improved attention U-Net for lesion segmentation
    (2019), equation 3, whose exponent is 1 / gamma and whose alpha weighs the false negatives.
    """
    with np.errstate(all="ignore"):
        at = _index(input, target, beta, alpha, smooth)
        t = at.value
        value, factor = t**gamma, gamma * t ** (gamma - 1.0)
        # Without any error every product is 0 or 1, and none underflows.
        lost = np.where(t == 0.0, 1.0, np.fmin(1.0 + factor * at.lost, LARGEST))
        steepest = np.fmin(factor * _steepest(at), LARGEST)
        gradients = {}
        for name, slope in _gradients(at, input, target, beta, alpha).items():
            exact, size = factor * slope.exact, np.fmin(factor * slope.size, LARGEST)
            # The root of an error that is 0 or about to underflow has any slope up to its own.
            bent = (t == 0.0) & (gamma < 1.0)
            ends = np.where(bent, 0.0, exact)
            gradients[name] = output(
                exact,
                reference=2.0 * np.fmin(size, LARGEST / 4.0),
                accumulation=2.0 * np.fmin(size, LARGEST / 4.0),
                absolute=steepest,
                underflow=np.where(t == 0.0, 1.0, np.fmin(1.0 + steepest * (1.0 + at.lost * (1.0 + 1.0 / t)), LARGEST)),
                interval=(np.minimum(exact, ends), np.maximum(exact, ends)),
            )
        return Truth(
            value=output(value[:, 0], accumulation=2.0 * value[:, 0], absolute=1.0, underflow=lost[:, 0]),
            gradients=gradients,
        )


def dice_loss_squared(input: Array, target: Array, *, smooth: float = 1.0) -> Truth:
    """1 - (2 sum p g + smooth) / (sum p**2 + sum g**2 + smooth), as sum (p - g)**2 over the same denominator.

    Source: Milletari, Navab, Ahmadi, V-Net (2016), section 3, without smoothing.
    """
    p, g = input, target
    with np.errstate(all="ignore"):
        d = p - g
        total = (p * p + g * g).sum(axis=-1, keepdims=True) + smooth
        value = (d * d).sum(axis=-1, keepdims=True) / total
        overlap = (2.0 * (p * g).sum(axis=-1, keepdims=True) + smooth) / total
        lost = 1.0 + 4.0 * p.shape[-1] / total
        gradients = {}
        for name, mine, other, sign in (("input", p, g, 1.0), ("target", g, p, -1.0)):
            # (p - g) - value p and overlap p - g are the same; one of them does not cancel near 0, the other near 1.
            near = sign * d - value * mine, np.abs(d) + value * mine
            far = overlap * mine - other, overlap * mine + other
            better = near[1] <= far[1]
            size = 2.0 * np.where(better, near[1], far[1]) / total
            gradients[name] = output(
                2.0 * np.where(better, near[0], far[0]) / total,
                reference=size,
                accumulation=4.0 * np.minimum(value, overlap) * mine / total,
                absolute=4.0 * np.maximum(mine, other) / total,
                underflow=1.0 + 2.0 * lost / total,
            )
        return Truth(
            value=output(value[:, 0], accumulation=2.0 * value[:, 0], absolute=1.0, underflow=lost[:, 0]),
            gradients=gradients,
        )
