"""Oracle of the additive angular margin: embeddings (R, D), class weights (C, D) that all rows share, labels (R,).

The angle is taken from the wedge x_k w_i - x_i w_k, whose norm is the sine: it is 0 for parallel vectors just where
they are, where 1 - cosine**2 has lost all digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.classification import Indices
from reference.contrastive import Contest, contest
from reference.numerics import sum_over_rows
from reference.outputs import LARGEST, Mask, U, ends, hull, weighed
from reference.truth import Array, Output, Truth, output

Wide = npt.NDArray[np.longdouble]


def _narrow(a: Wide) -> Array:
    return a.astype(np.float64)


class _Angles(NamedTuple):
    """Of every embedding and every class, and of the class of its label."""

    x: Array
    """Unit embeddings, (R, D)."""
    w: Array
    """Unit class weights, (C, D)."""
    x_norm: Array
    w_norm: Array
    cosine: Wide
    """(R, C)."""
    size: Array
    """Sums of absolute products in the cosines, (R, C)."""
    sine: Array
    """Of the angle to the own class, (R,)."""
    rise: Array
    """What is left of the unit weight of the own class across the embedding, of length ``sine``; (R, D)."""
    fall: Array
    """What is left of the unit embedding across that weight."""


def _angles(embeddings: Array, weight: Array, labels: Indices) -> _Angles:
    x, w = embeddings.astype(np.longdouble), weight.astype(np.longdouble)
    own = w[labels]
    n, m = np.sqrt((x * x).sum(axis=1)), np.sqrt((w * w).sum(axis=1))
    across = x[:, :, None] * own[:, None, :]
    # x_k w_i - x_i w_k: equal products of parallel vectors round to equal numbers.
    wedge = (across - across.swapaxes(1, 2)) / n[:, None, None] / m[labels][:, None, None]
    unit, other = x / n[:, None], w / m[:, None]
    return _Angles(
        _narrow(unit),
        _narrow(other),
        _narrow(n),
        _narrow(m),
        unit @ other.T,
        _narrow(np.abs(unit) @ np.abs(other).T),
        _narrow(np.sqrt(0.5 * (wedge * wedge).sum(axis=(1, 2)))),
        _narrow((unit[:, :, None] * wedge).sum(axis=1)),
        _narrow(-(other[labels][:, :, None] * wedge).sum(axis=1)),
    )


class _Margin(NamedTuple):
    """The logit of the own class over the scale, and its slope in minus the angle; (R,)."""

    value: Wide
    error: Array
    slope: Array
    slope_error: Array
    inside: Mask
    """theta + margin is at most pi."""


def _margin(a: _Angles, labels: Indices, margin: float, inside: Mask) -> _Margin:
    rows = np.arange(len(labels))
    c, size = a.cosine[rows, labels], a.size[rows, labels]
    near, far = np.cos(margin), np.sin(margin)
    return _Margin(
        np.where(inside, c * near - a.sine * far, c - margin * far),
        np.where(inside, size * abs(near) + (1.0 + size) * abs(far), size + abs(margin * far)),
        np.where(inside, a.sine * near + _narrow(c) * far, a.sine),
        np.where(inside, (1.0 + size) * abs(near) + size * abs(far), 1.0 + size),
        inside,
    )


class _Pull(NamedTuple):
    """The gradient of the logit of the own class over the scale, times the norm of that side; (R, D)."""

    exact: Array
    size: Array
    kink: Array
    """How far each entry goes either way, of parallel vectors between which every direction is the steepest."""


def _pull(a: _Angles, m: _Margin, across: Array, one: Array, other: Array, size: Array) -> _Pull:
    """``across`` is what is left of the unit vector ``other`` across ``one``."""
    parallel = (a.sine == 0.0)[:, None]
    sine = np.where(a.sine == 0.0, 1.0, a.sine)[:, None]
    slope, error = np.abs(m.slope)[:, None], m.slope_error[:, None]
    direction = across / sine
    rough = np.abs(other) + size[:, None] * np.abs(one)
    # The direction of vectors so nearly parallel is that of their rounding; of parallel ones the interval has it all.
    turning = np.minimum((rough + np.abs(direction) * (1.0 + size[:, None])) / sine, 1.0 / U)
    # Beyond the threshold the slope is the sine, which the length of what is across makes up for.
    scale = np.where(
        m.inside[:, None],
        slope * (turning + np.abs(direction)) + error * np.abs(direction),
        rough + (error - 1.0 - size[:, None]) * np.abs(direction),
    )
    free = np.where(parallel, slope * np.sqrt(np.maximum(1.0 - one * one, 0.0)), 0.0)
    return _Pull(np.where(m.inside[:, None], m.slope[:, None] * direction, across), scale, free)


class _Slopes(NamedTuple):
    """The gradient of the loss in the logits over the scale, (R, C); 0 at the own class, which has a pull."""

    others: Array
    others_scale: Array
    own: Array
    """(R, 1), minus the slope."""
    own_scale: Array


def _slopes(c: Contest, rivals: Indices, labels: Indices, classes: int, scale: float) -> _Slopes:
    others, size = np.zeros((len(labels), classes)), np.zeros((len(labels), classes))
    np.put_along_axis(others, rivals, scale * c.probability[:, 1:], axis=1)
    np.put_along_axis(size, rivals, scale * c.probability_scale[:, 1:], axis=1)
    return _Slopes(others, size, scale * c.lost[:, None], scale * c.lost_scale[:, None])


def _to_embeddings(a: _Angles, s: _Slopes, pull: _Pull, lost: Array, scale: float) -> Output:
    norm = a.x_norm[:, None]
    cosine = _narrow(a.cosine)[:, :, None]
    across = a.w[None, :, :] - cosine * a.x[:, None, :]
    rough = np.abs(a.w)[None, :, :] + a.size[:, :, None] * np.abs(a.x)[:, None, :]
    exact = ((s.others[:, :, None] * across).sum(axis=1) - s.own * pull.exact) / norm
    size = (s.others_scale[:, :, None] * rough).sum(axis=1) + s.own_scale * np.abs(pull.exact) + s.own * pull.size
    reference = np.fmin((size + s.own * pull.kink) / norm, LARGEST)
    free = s.own * pull.kink / norm
    far = 2.0 * abs(scale) / norm * np.ones_like(exact)
    return output(
        exact,
        reference=reference,
        accumulation=(s.others_scale[:, :, None] * rough).sum(axis=1) / norm + s.own_scale * np.abs(pull.exact) / norm,
        absolute=far,
        underflow=1.0 + far * lost[:, None],
        interval=(exact - free, exact + free),
    )


def _to_weight(a: _Angles, s: _Slopes, pull: _Pull, labels: Indices, lost: Array) -> Output:
    """Of every row, (R, C, D)."""
    norm = a.w_norm[:, None]
    own = (labels[:, None] == np.arange(len(a.w)))[:, :, None]
    across = a.x[:, None, :] - _narrow(a.cosine)[:, :, None] * a.w[None, :, :]
    rough = np.abs(a.x)[:, None, :] + a.size[:, :, None] * np.abs(a.w)[None, :, :]
    mine, theirs = s.own[:, :, None], s.others[:, :, None]
    exact = np.where(own, -mine * pull.exact[:, None, :], theirs * across)
    terms = np.where(own, s.own_scale[:, :, None] * np.abs(pull.exact)[:, None, :], s.others_scale[:, :, None] * rough)
    size = terms + np.where(own, mine * (pull.size + pull.kink)[:, None, :], 0.0)
    free = np.where(own, mine * pull.kink[:, None, :], 0.0) / norm
    far = (s.own + s.others.sum(axis=1, keepdims=True) + 1.0)[:, :, None] / norm * np.ones_like(exact)
    return output(
        exact / norm,
        reference=np.fmin(size / norm, LARGEST),
        accumulation=np.fmin((terms + np.abs(exact)) / norm, LARGEST),
        absolute=far,
        underflow=1.0 + np.fmin(far * (lost + 1.0)[:, None, None], LARGEST),
        interval=((exact / norm) - free, (exact / norm) + free),
    )


def _summed(rows: Output, upstream: Array) -> Output:
    """The gradient of a tensor that all rows share: the sum of theirs, weighed by ``upstream``."""
    passed = upstream[:, None, None]

    def summed(per_row: Array) -> Array:
        total: Array = np.fmin((np.abs(passed) * per_row).sum(axis=0), LARGEST)
        return total

    lower, upper = (passed * end for end in ends(rows))
    return output(
        sum_over_rows(passed * rows.exact),
        reference=summed(rows.reference),
        accumulation=summed(rows.accumulation),
        absolute=summed(rows.absolute),
        underflow=1.0 + summed(rows.underflow),
        interval=(sum_over_rows(np.minimum(lower, upper)), sum_over_rows(np.maximum(lower, upper))),
        astray=tuple(a.each(summed) for a in rows.astray),
    )


class _Outputs(NamedTuple):
    value: Output
    embeddings: Output
    weight: Output
    """Of every row, (R, C, D)."""


def _outputs(a: _Angles, labels: Indices, scale: float, margin: float, inside: Mask, lost: Array) -> _Outputs:
    """The loss where ``inside`` says which logit the own class has."""
    rows, count = np.arange(len(labels)), len(a.w)
    m = _margin(a, labels, margin, inside)
    place = np.arange(count - 1)
    rivals = place + (place >= labels[:, None])
    logits = np.concatenate([m.value[:, None], np.take_along_axis(a.cosine, rivals, axis=1)], axis=1)
    error = np.concatenate([m.error[:, None], np.take_along_axis(a.size, rivals, axis=1)], axis=1)
    c = contest(_narrow(scale * (logits.max(axis=1, keepdims=True) - logits)), scale * error)
    s = _slopes(c, rivals, labels, count, scale)
    size = a.size[rows, labels]
    pulled = _pull(a, m, a.rise, a.x, a.w[labels], size)
    pushed = _pull(a, m, a.fall, a.w[labels], a.x, size)
    value = output(
        c.value,
        reference=c.value_scale,
        accumulation=np.minimum(
            weighed(c.probability[:, 1:], scale * (error[:, 1:] + error[:, :1])).sum(axis=1), LARGEST
        ),
        absolute=1.0 + scale * (2.0 + abs(margin)),
        underflow=1.0 + lost,
    )
    return _Outputs(value, _to_embeddings(a, s, pulled, lost, scale), _to_weight(a, s, pushed, labels, lost))


def arcface_loss(
    embeddings: Array,
    weight: Array,
    labels: Indices,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    upstream: Array | None = None,
) -> Truth:
    """-log softmax of scale * (cos(theta_j), at the label y cos(theta_y + margin)), theta_j the angle to class j.

    Source: Deng, Guo, Xue and Zafeiriou, ArcFace, CVPR 2019, equation 3. Where theta_y + margin is beyond pi the logit
    is scale * (cos(theta_y) - margin sin(margin)), as in the published code without ``easy_margin`` and in
    pytorch_metric_learning.losses.ArcFaceLoss; at that threshold it jumps. At an angle of 0 every direction is as
    steep: the gradient is an interval. That of the class weights is summed over the rows, weighed by ``upstream`` (R,).
    """
    passed = np.ones(len(embeddings)) if upstream is None else upstream
    y = labels.astype(np.int64)
    rows = np.arange(len(y))
    with np.errstate(all="ignore"):
        a = _angles(embeddings, weight, y)
        norms = 1.0 + 1.0 / a.x_norm**2 + (1.0 / a.w_norm**2).max()
        lost = 4.0 * embeddings.shape[1] * (1.0 + scale) * norms
        threshold = output(
            _narrow(a.cosine[rows, y] + np.cos(margin)),
            reference=a.size[rows, y] + abs(np.cos(margin)),
            absolute=1.0,
            underflow=lost,
        )
        inside = threshold.exact >= 0.0
        right, wrong = (_outputs(a, y, scale, margin, chosen, lost) for chosen in (inside, ~inside))
        value, of_embeddings, of_weight = (hull(threshold, r, w) for r, w in zip(right, wrong, strict=True))
        return Truth(value=value, gradients={"embeddings": of_embeddings, "weight": _summed(of_weight, passed)})
