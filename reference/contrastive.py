"""Oracles of contrastive losses: pairs at a distance, and the logits that one similarity has to win against.

A row is one loss value: a pair, a query with its negatives, or a whole batch of embeddings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from reference.classification import Indices, sum_of_others
from reference.distance import pairwise, rescaled, squared
from reference.outputs import LARGEST, Mask, ends, select, weighed
from reference.truth import Array, Output, Truth, output

REACH = 2.0**-6
"""Share of a difference by which its rounding, a few units of any dtype under test, may move it."""


def contrastive_loss(input1: Array, input2: Array, target: Array, *, margin: float = 1.0) -> Truth:
    """target d**2 / 2 + (1 - target) max(0, margin - d)**2 / 2 with d = norm(x1 - x2), target 1 for a similar pair.

    Source: Hadsell, Chopra and LeCun, CVPR 2006, equation 4, where Y = 1 - target. The squares of a similar pair are
    summed without a root. Of a dissimilar pair only margin - d cancels. Two equal embeddings have every direction:
    the gradient is an interval there.
    """
    with np.errstate(all="ignore"):
        similar = target == 1.0
        known = np.where(similar | (target == 0.0), 0.0, np.nan)
        square, length = squared(input1, input2), pairwise(input1, input2, 2.0, 0.0)
        near = rescaled(square.value, square.power - 1)
        near = replace(near, absolute=0.5 * near.absolute)
        d = rescaled(length.value, length.power)
        gap = np.where(np.isnan(d.exact), np.nan, margin - d.exact)
        hinge, size = np.maximum(gap, 0.0), abs(margin) + d.reference
        # Where the rounding may carry the hinge over its kink, it has a square of its own.
        doubt = np.where(gap >= -REACH * size, REACH * size, 0.0)
        live = np.where(gap >= -REACH * size, size, 0.0)
        far = output(
            0.5 * hinge * hinge,
            reference=0.5 * hinge * hinge + (hinge + doubt) * live,
            accumulation=weighed(hinge, d.accumulation),
            absolute=0.5 * (abs(margin) + d.absolute) ** 2,
            underflow=np.fmin(1.0 + weighed(hinge + doubt, d.underflow), LARGEST),
            partial=d.partial,
        )
        value = select(similar, near, far)
        gradients = {}
        for name, pull, slope in zip(("input1", "input2"), square.gradients, length.gradients, strict=True):
            push = _hinged(slope, hinge, live, d)
            half = replace(
                rescaled(pull, np.full((len(gap), 1), -1)), absolute=0.5 * pull.absolute, underflow=pull.underflow
            )
            chosen = select(similar[:, None], half, replace(push, absolute=push.absolute + abs(margin)))
            gradients[name] = replace(chosen, exact=chosen.exact + known[:, None])
    return Truth(value=replace(value, exact=value.exact + known, interval=None), gradients=gradients)


def _hinged(slope: Output, hinge: Array, live: Array, d: Output) -> Output:
    """-hinge * d's slope."""
    h, size = hinge[:, None], live[:, None]
    low, high = (weighed(h, end) for end in ends(slope))
    steep = np.maximum(np.abs(low), np.abs(high)) / np.where(h > 0.0, h, 1.0)
    steep = np.maximum(steep, np.abs(slope.exact))
    return output(
        -weighed(h, slope.exact),
        reference=weighed(h, slope.reference) + weighed(size, steep),
        accumulation=weighed(d.accumulation[:, None], steep * (h > 0.0)),
        absolute=np.zeros_like(slope.exact),
        underflow=np.fmin(1.0 + weighed(h, slope.underflow) + weighed(steep, d.underflow[:, None]), LARGEST),
        interval=(np.minimum(-low, -high), np.maximum(-low, -high)),
        partial=slope.partial,
    )


class Contest(NamedTuple):
    """-log of the softmax of the first of several logits, and the probabilities that are its slopes, with scales."""

    value: Array
    value_scale: Array
    lost: Array
    """1 - the probability of the first: the sum of the others."""
    lost_scale: Array
    probability: Array
    """Shape (..., K)."""
    probability_scale: Array


def _grown(share: Array, error: Array) -> Array:
    """log of the sum of share * exp(REACH * error), over REACH; the shares sum to at most 1."""
    moved = REACH * error
    grown = np.log1p(weighed(share, np.expm1(np.minimum(moved, 300.0))).sum(axis=-1))
    far = np.where((moved > 300.0) & (share > 0.0), np.log(share) + moved, 0.0).max(axis=-1, initial=0.0)
    return np.asarray(np.maximum(grown, far) / REACH, np.float64)


def _among_others(p: Array, complement: Array, error: Array) -> tuple[Array, Array]:
    """For every logit the mean of the error of the others, and log of the mean of exp(REACH * error) over REACH."""
    whole = np.where(complement > 0.0, complement, 1.0)
    moved = REACH * error
    mean = sum_of_others(weighed(p, error)) / whole
    grown = np.log1p(sum_of_others(weighed(p, np.expm1(np.minimum(moved, 300.0)))) / whole)
    far = np.where((moved > 300.0) & (p > 0.0), np.log(p) + moved, -np.inf)
    if (far > -np.inf).any():
        top = np.argmax(far, axis=-1)[..., None] == np.arange(far.shape[-1])
        second = np.where(top, -np.inf, far).max(axis=-1, keepdims=True)
        grown = np.fmax(grown, np.where(top, second, far.max(axis=-1, keepdims=True)) - np.log(whole))
    return mean, np.asarray(grown / REACH, np.float64)


def _moved(p: Array, complement: Array, rise: Array, fall: Array) -> Array:
    """How far a probability goes whose log-odds rise and fall by so much times REACH, over REACH."""
    up, down = np.expm1(np.minimum(REACH * rise, 700.0)), -np.expm1(-REACH * fall)
    return np.asarray((weighed(p * complement, up) / (1.0 + p * up) + p * down) / REACH, np.float64)


def contest(behind: Array, error: Array) -> Contest:
    """The first of logits that are ``behind`` the largest, shape (..., K), with the running error of each logit.

    ``behind`` + log1p(sum of exp(-behind) of all but the largest): terms that are not negative, so that a confident
    row keeps its digits. As exp turns an error of the logit of any size into one of the result, the scales are what
    REACH of the errors changes, over REACH: first-order where that is little.
    """
    top = np.argmin(behind, axis=-1)[..., None] == np.arange(behind.shape[-1])
    e = np.where(np.isnan(behind), np.nan, np.exp(-behind))
    tail = np.where(top, 0.0, e).sum(axis=-1)
    value = behind[..., 0] + np.log1p(tail)
    p = e / (1.0 + tail)[..., None]
    complement = sum_of_others(e) / (1.0 + tail)[..., None]
    own = error + behind
    mean, growth = _among_others(p, complement, own)
    scale = p + _moved(p, complement, own + mean, own + growth)
    of_lost = _moved(complement[..., 0], p[..., 0], own[..., 0] + growth[..., 0], own[..., 0] + mean[..., 0])
    rivals = error[..., 1:] + error[..., :1]
    of_value = value + _grown(p[..., 1:], rivals) + behind[..., 0] + weighed(p, behind).sum(axis=-1)
    return Contest(
        value, np.minimum(of_value, LARGEST), complement[..., 0], complement[..., 0] + of_lost, p, np.fmin(scale, 1e300)
    )


def _behind(query: Array, keys: Array) -> Array:
    """By how much q.k of every key is below the largest, as q.(k_top - k): equal keys are equal, and little cancels."""
    top = np.argmax((query[:, None, :] * keys).sum(axis=-1), axis=-1)
    for _ in range(2):
        best = np.take_along_axis(keys, top[:, None, None], axis=1)
        behind = (query[:, None, :] * (best - keys)).sum(axis=-1)
        top = np.argmin(behind, axis=-1)
    best = np.take_along_axis(keys, top[:, None, None], axis=1)
    behind = (query[:, None, :] * (best - keys)).sum(axis=-1)
    return np.where(behind < 0.0, 0.0, behind)


def info_nce_loss(query: Array, positive: Array, negatives: Array, *, temperature: float = 0.1) -> Truth:
    """-log(exp(q.p / t) / (exp(q.p / t) + sum over k of exp(q.n_k / t))), of vectors as they are given.

    Shapes (R, D), (R, D) and (R, K, D). Source: van den Oord, Li and Vinyals, arXiv:1807.03748, equation 4; the
    logits of He et al., CVPR 2020, equation 1. The logits are taken by their differences, q.(k_top - k) / t. Gradients
    are the probabilities of the negatives times (n_k - p) / t, -q / t and q / t.
    """
    with np.errstate(all="ignore"):
        keys = np.concatenate([positive[:, None, :], negatives], axis=1)
        error = np.abs(query[:, None, :] * keys).sum(axis=-1) / temperature
        behind = _behind(query, keys) / temperature
        c = contest(behind, error)
        size = error.max(axis=-1)
        known = np.where(np.isnan(behind).any(axis=-1), np.nan, 0.0)
        q, rivals, scales = query[:, None, :], c.probability[:, 1:, None], c.probability_scale[:, 1:, None]
        terms = np.abs(negatives) + np.abs(positive)[:, None, :]
        # Products of every entry and of every probability may underflow, and are divided by the temperature.
        lost = 1.0 + (2.0 * query.shape[-1] + negatives.shape[1]) / temperature
        largest = size * max(1.0, temperature)
        reach = np.abs(query) / temperature

        def slope(exact: Array, scale: Array, absolute: Array) -> Output:
            part = np.broadcast_to(largest.reshape(-1, *[1] * (exact.ndim - 1)), exact.shape)
            return output(
                exact + known.reshape(-1, *[1] * (exact.ndim - 1)),
                reference=np.minimum(scale, LARGEST),
                accumulation=np.abs(exact),
                absolute=absolute,
                underflow=np.fmin(lost * (1.0 + absolute), LARGEST),
                partial=(np.zeros_like(part), part),
            )

        return Truth(
            value=output(
                c.value,
                reference=c.value_scale,
                accumulation=np.minimum(weighed(rivals[..., 0], error[:, 1:] + error[:, :1]).sum(axis=-1), LARGEST),
                absolute=1.0 + size,
                underflow=2.0 + lost,
                partial=(np.zeros_like(largest), largest),
            ),
            gradients={
                "query": slope(
                    (rivals * (negatives - positive[:, None, :])).sum(axis=1) / temperature,
                    (scales * terms).sum(axis=1) / temperature,
                    terms.sum(axis=1) / temperature,
                ),
                "positive": slope(-c.lost[:, None] * query / temperature, c.lost_scale[:, None] * reach, reach),
                "negatives": slope(
                    rivals * q / temperature, scales * reach[:, None, :], reach[:, None, :] + 0.0 * negatives
                ),
            },
        )


def _among_units(z: Array, positives: Mask, temperature: float) -> tuple[Output, Output]:
    """Mean over the M embeddings of the mean over its positives of -log softmax of its cosines with all others.

    z has shape (R, M, D), positives (R, M, M) with an empty diagonal. An embedding without positives costs nothing.
    """
    rows, count, width = z.shape
    if count == 1:
        nothing = 0.0 * z
        return output(nothing.sum(axis=(1, 2)), absolute=1.0), output(nothing, absolute=1.0)
    norm = np.sqrt((z * z).sum(axis=-1, keepdims=True))
    unit = z / norm
    # Row i of ``others``: every index but i.
    others = np.array([[k for k in range(count) if k != i] for i in range(count)], np.intp).reshape(count, count - 1)
    keys = unit[:, others]
    query = np.broadcast_to(unit[:, :, None, :], keys.shape)
    error = np.abs(query * keys).sum(axis=-1) / temperature
    flat = _behind(unit.reshape(-1, width), keys.reshape(rows * count, count - 1, width))
    behind = flat.reshape(rows, count, count - 1) / temperature
    chosen = np.take_along_axis(positives, np.broadcast_to(others, behind.shape), axis=2)
    weight = np.where(chosen, 1.0 / np.maximum(chosen.sum(axis=2, keepdims=True), 1), 0.0) / count
    value, value_scale, terms = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    slope, slope_scale = np.zeros_like(behind), np.zeros_like(behind)
    for first in range(count - 1):
        order = np.array([first, *(k for k in range(count - 1) if k != first)])
        c, w = contest(behind[:, :, order], error[:, :, order]), weight[:, :, first]
        value += weighed(w, c.value).sum(axis=1)
        value_scale += weighed(w, c.value_scale).sum(axis=1)
        rivals = weighed(c.probability[:, :, 1:], error[:, :, order[1:]] + error[:, :, first : first + 1]).sum(axis=2)
        terms += weighed(w, rivals).sum(axis=1)
        slope[:, :, order[1:]] += weighed(w[:, :, None], c.probability[:, :, 1:])
        slope[:, :, first] -= weighed(w, c.lost)
        slope_scale[:, :, order[1:]] += weighed(w[:, :, None], c.probability_scale[:, :, 1:])
        slope_scale[:, :, first] += weighed(w, c.lost_scale)
    pull, scale, most = (np.zeros((rows, count, count)) for _ in range(3))
    np.put_along_axis(pull, np.broadcast_to(others, behind.shape), slope, axis=2)
    np.put_along_axis(scale, np.broadcast_to(others, behind.shape), slope_scale, axis=2)
    np.put_along_axis(most, np.broadcast_to(others, behind.shape), weight + weight.sum(axis=2, keepdims=True), axis=2)
    pull, scale, most = (a + a.swapaxes(1, 2) for a in (pull, scale, most))
    pairs = unit[:, :, None, :] * unit[:, None, :, :]
    cosine, size = pairs.sum(axis=-1)[..., None], np.abs(pairs).sum(axis=-1)[..., None]
    # The part of every other unit vector that is orthogonal to this one.
    across = unit[:, None, :, :] - cosine * unit[:, :, None, :]
    whole = np.abs(unit)[:, None, :, :] + size * np.abs(unit)[:, :, None, :]
    reference = (scale[..., None] * whole).sum(axis=2) / temperature / norm
    per_entry = np.broadcast_to((2.0 * most.sum(axis=2)[..., None] / temperature / norm), z.shape)
    return (
        output(
            value,
            reference=value_scale,
            accumulation=terms,
            absolute=np.full(rows, 1.0 + 2.0 / temperature),
            underflow=2.0 + 2.0 * width / temperature * (1.0 + (1.0 / norm**2).sum(axis=(1, 2))),
        ),
        output(
            (pull[..., None] * across).sum(axis=2) / temperature / norm,
            reference=reference,
            accumulation=reference,
            absolute=per_entry,
            underflow=1.0 + 4.0 * width * per_entry * (1.0 + 1.0 / temperature) * (1.0 + 1.0 / norm**2),
        ),
    )


def nt_xent_loss(z1: Array, z2: Array, *, temperature: float = 0.5) -> Truth:
    """The normalised temperature-scaled cross-entropy of 2B embeddings, the two views of B examples of shape (R, B, D).

    The mean over all embeddings i of -log(exp(cos(i, j) / t) / sum over k != i of exp(cos(i, k) / t)), j the other view
    of the same example; a row is a whole batch. Source: Chen et al., ICML 2020, equation 1 and algorithm 1 (SimCLR).
    """
    views = z1.shape[1]
    pair = np.roll(np.eye(2 * views, dtype=np.bool_), views, axis=1)
    with np.errstate(all="ignore"):
        z = np.concatenate([z1, z2], axis=1)
        value, slope = _among_units(z, np.broadcast_to(pair, (len(z), *pair.shape)), temperature)
        index = np.arange(2 * views)
        parts = [_part(slope, index < views), _part(slope, index >= views)]
    return Truth(value=value, gradients=dict(zip(("z1", "z2"), parts, strict=True)))


def _part(a: Output, chosen: Mask) -> Output:
    return replace(
        a,
        exact=a.exact[:, chosen],
        reference=a.reference[:, chosen],
        accumulation=a.accumulation[:, chosen],
        absolute=a.absolute[:, chosen],
        underflow=a.underflow[:, chosen],
    )


def supervised_contrastive_loss(embeddings: Array, labels: Indices, *, temperature: float = 0.1) -> Truth:
    """The supervised contrastive loss L_out of a batch of embeddings of shape (R, B, D) with labels (R, B).

    The mean over the embeddings i of the mean over the others p of its label of
    -log(exp(cos(i, p) / t) / sum over a != i of exp(cos(i, a) / t)); 0 for an embedding without another of its label.
    A row is a whole batch. Source: Khosla et al., NeurIPS 2020, equation 2, as the mean of its sum over i.
    """
    same = (labels[:, :, None] == labels[:, None, :]) & ~np.eye(labels.shape[1], dtype=np.bool_)
    with np.errstate(all="ignore"):
        value, slope = _among_units(embeddings, same, temperature)
    return Truth(value=value, gradients={"embeddings": slope})
