"""Oracles of the losses of embeddings, of shape (R, D): cosines with a label, and triplets. One row is one loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from reference.cosine import cosine_distance, cosine_of
from reference.distance import Integers, Measure, Measured, apart, lead_of_squares, pairwise, rescaled, squared
from reference.outputs import Mask, hinge, hull, minus, plus, select, times
from reference.truth import Array, Output, Truth

Distance = Callable[[Array, Array], Truth]
"""An oracle of two embeddings whose Truth holds two gradients, of the first argument and then of the second."""


def cosine_embedding_loss(input1: Array, input2: Array, target: Array, *, margin: float = 0.0) -> Truth:
    """1 - cos(x1, x2) where target is 1, max(0, cos(x1, x2) - margin) where it is -1, else nan.

    Source: torch.nn.CosineEmbeddingLoss, which documents no eps. The cosine with a zero vector, which the source leaves
    open, is 0 as in torch.nn.CosineSimilarity, and any gradient in that vector is admissible. cos - margin is
    (1 - margin) - (1 - cos) near 1 and (1 + cos) - (1 + margin) near -1, so that only margins cancel.
    """
    with np.errstate(all="ignore"):
        cosine = cosine_of(input1, input2, None)
        c, positive = cosine.cosine.exact, target == 1.0
        gap = select(
            np.abs(c) <= 0.5,
            plus(cosine.cosine, -margin),
            select(c > 0.0, plus(times(cosine.distance, -1.0), 1.0 - margin), plus(cosine.opposite, -1.0 - margin)),
        )
        gradients = dict(zip(("input1", "input2"), cosine.gradients, strict=True))
        apart = hinge(gap, gradients)
        value = select(positive, cosine.distance, apart.value)
        known = np.where(np.abs(target) == 1.0, 0.0, np.nan)
        for name, gradient in gradients.items():
            slope = select(positive[:, None], times(gradient, -1.0), apart.gradients[name])
            gradients[name] = replace(slope, exact=slope.exact + known[:, None])
        absolute = np.asarray(2.0 + abs(margin))
        return Truth(
            value=replace(value, exact=value.exact + known, absolute=absolute, interval=None), gradients=gradients
        )


def _extremes(outputs: Sequence[Output], sizes: Sequence[Array]) -> tuple[Array, Array]:
    """Smallest and largest partial product of several outputs, and of the distances that are subtracted."""
    partials = [o.partial for o in outputs if o.partial is not None] + [(size, size) for size in sizes]
    return reduce(np.fmin, [low for low, _ in partials]), reduce(np.fmax, [high for _, high in partials])


Lead = Callable[[Array, Array, Array], tuple[Array, Array]]
"""d(x, y) - d(x, z) and its slope in x."""


def _triplet(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float,
    swap: bool,
    measure: Measured,
    shift: Integers,
    lead: Lead | None = None,
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0), with swap the least of d(a, n) and d(p, n) for d(a, n).

    The embeddings, and with them the gradients, are in units of 2**(shift / 2). ``lead`` is for distances whose
    difference has a better formula than their subtraction.
    """
    finite: Mask = np.isfinite(np.concatenate([anchor, positive, negative], axis=-1)).all(axis=-1, keepdims=True)

    def ahead(a: Measure, b: Measure, slope: Output, x: Array, y: Array, z: Array) -> tuple[Output, Output]:
        """a - b, of x and y and of x and z, and its slope in x, which is as given where there is no better formula."""
        difference = apart(a, b)
        if lead is None:
            return difference, slope
        exact, steep = lead(x, y, z)
        return (
            replace(difference, exact=np.where(finite[:, 0], exact, difference.exact), interval=None),
            replace(slope, exact=np.where(finite, steep, slope.exact), interval=None),
        )

    near, far = measure(anchor, positive), measure(anchor, negative)
    gap, rising = ahead(near, far, minus(near.gradients[0], far.gradients[0]), anchor, positive, negative)
    gradients = {
        "anchor": rising,
        "positive": near.gradients[1],
        "negative": times(far.gradients[1], -1.0),
    }
    if swap:
        other = measure(positive, negative)
        closer, _ = ahead(other, far, far.gradients[1], negative, positive, anchor)
        choice = ~(closer.exact >= 0.0)
        falling = minus(near.gradients[1], other.gradients[0])
        nearer, falling = ahead(near, other, falling, positive, anchor, negative)
        gap = select(choice, nearer, gap)
        swapped = {"anchor": near.gradients[0], "positive": falling, "negative": times(other.gradients[1], -1.0)}
        for name, plain in gradients.items():
            chosen, dropped = (select(c[:, None], swapped[name], plain) for c in (choice, ~choice))
            gradients[name] = hull(closer, chosen, dropped)
    measures = [near, far, other] if swap else [near, far]
    sizes = [np.ldexp(m.value.exact, m.power + shift) for m in measures]
    gap = plus(rescaled(gap, shift), margin)
    gap = replace(gap, absolute=gap.absolute + abs(margin), partial=_extremes([m.value for m in measures], sizes))
    # What is nan in the gradient of one distance is nan in every gradient: 0 times nan.
    slopes = [g for m in measures for g in m.gradients]
    for name, gradient in gradients.items():
        scaled = rescaled(gradient, shift[:, None] // 2) if shift.any() else gradient
        gradients[name] = replace(scaled, partial=_extremes(slopes, [s[:, None] for s in sizes]))
    return hinge(gap, gradients)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0) with d = pairwise_distance; swap: min(d(a, n), d(p, n)) for d(a, n).

    Source: torch.nn.TripletMarginLoss; swap: Balntas et al., BMVC 2016. Distances are held with an exponent of their
    own, as their difference may be within the range. Ties of the swap and of the hinge have intervals.
    """
    plain = np.zeros(len(anchor), np.int32)
    with np.errstate(all="ignore"):
        return _triplet(anchor, positive, negative, margin, swap, lambda x, y: pairwise(x, y, p, eps), plain)


def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance: str | Distance = "euclidean",
    margin: float = 1.0,
    swap: bool = False,
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0) with the distance given. Source: torch.nn.TripletMarginWithDistanceLoss.

    ``distance`` is "euclidean" (pairwise_distance), "cosine", "squared", "maximum" (of differences) or an oracle.
    """
    if distance == "euclidean":
        return triplet_margin_loss(anchor, positive, negative, margin=margin, swap=swap)
    plain = np.zeros(len(anchor), np.int32)
    with np.errstate(all="ignore"):
        if distance == "squared":
            # Differences of slopes of up to 2**1026 may be within the range: rows that large are divided by 4.
            top = np.max([np.abs(x).max(axis=-1, initial=0.0) for x in (anchor, positive, negative)], axis=0)
            shift = np.where(top > 2.0**1020, 4, plain)
            a, p, n = (np.ldexp(x, -shift[:, None] // 2) for x in (anchor, positive, negative))
            return _triplet(a, p, n, margin, swap, squared, shift, lead_of_squares)
        if distance == "maximum":
            return _triplet(anchor, positive, negative, margin, swap, lambda x, y: pairwise(x, y, np.inf, 0.0), plain)
        chosen = cosine_distance if distance == "cosine" else distance
        if isinstance(chosen, str):
            known = "'euclidean', 'cosine', 'squared', 'maximum'"
            raise ValueError(f"distance must be {known} or an oracle, got {distance!r}")

        def measure(x: Array, y: Array) -> Measure:
            truth = chosen(x, y)
            first, second = truth.gradients.values()
            return Measure(truth.value, plain, (first, second))

        return _triplet(anchor, positive, negative, margin, swap, measure, plain)
