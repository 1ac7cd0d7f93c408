"""The definitions of the losses of embeddings in mpmath, one row at a time, at the precision in force.

Floats and lists of floats in, the value and the gradients out; a kink gives an entry of its gradient as the pair
(lowest, highest). Transcribed from the documentation of torch.nn; gradients are those of the formula as it is written.
Sums are taken as written, so the precision must span the inputs: 2200 bits for inputs of any magnitude, and more to
resolve what cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

Real = Any
Vector = list[Any]
Row = Sequence[float]
Definition = tuple[Real, dict[str, Vector]]


def interval(entry: Any) -> tuple[Real, Real]:
    return entry if isinstance(entry, tuple) else (entry, entry)


def entry(low: Real, high: Real) -> Any:
    return low if low == high else (low, high)


def hull(*entries: Any) -> Any:
    ends = [interval(e) for e in entries]
    return entry(min(low for low, _ in ends), max(high for _, high in ends))


def minus(a: Any, b: Any) -> Any:
    (a_low, a_high), (b_low, b_high) = interval(a), interval(b)
    return entry(a_low - b_high, a_high - b_low)


def negated(gradient: Vector) -> Vector:
    return [minus(mp.zero, g) for g in gradient]


def exact(x: Row) -> Vector:
    return [mp.mpf(e) for e in x]


def dot(x: Vector, y: Vector) -> Real:
    return mp.fsum(a * b for a, b in zip(x, y, strict=True))


def length(x: Vector) -> Real:
    return mp.sqrt(dot(x, x))


def cosine_similarity(x1: Row, x2: Row, *, eps: float = 1e-8) -> Definition:
    """By the quotient rule in x of (x . y) / (max(norm(x), eps) max(norm(y), eps))."""
    x, y = exact(x1), exact(x2)
    n, m = length(x), length(y)
    divisor, other = max(n, mp.mpf(eps)), max(m, mp.mpf(eps))
    c = dot(x, y) / (divisor * other)

    def slope(a: Vector, b: Vector, norm: Real, largest: Real) -> Vector:
        fixed = [v / (divisor * other) for v in b]
        free = [v / (divisor * other) - c * u / largest**2 for u, v in zip(a, b, strict=True)]
        if norm == eps:
            return [hull(f, g) for f, g in zip(fixed, free, strict=True)]
        return free if norm > eps else fixed

    return c, {"x1": slope(x, y, n, divisor), "x2": slope(y, x, m, other)}


def cosine_distance(x1: Row, x2: Row, *, eps: float = 1e-8) -> Definition:
    c, gradients = cosine_similarity(x1, x2, eps=eps)
    return 1 - c, {name: negated(gradient) for name, gradient in gradients.items()}


def hinge(gap: Real, gradients: dict[str, Vector]) -> Definition:
    def side(gradient: Any) -> Any:
        return gradient if gap > 0 else mp.zero if gap < 0 else hull(mp.zero, gradient)

    return max(gap, mp.zero), {name: [side(g) for g in gradient] for name, gradient in gradients.items()}


def cosine_embedding_loss(input1: Row, input2: Row, target: float, *, margin: float = 0.0) -> Definition:
    """The cosine with a zero vector is 0, its gradient in that vector anything."""
    none = mp.mpf(0)
    if any(input1) and any(input2):
        c, slopes = cosine_similarity(input1, input2, eps=0.0)
        gradients = {"input1": slopes["x1"], "input2": slopes["x2"]}
    else:
        c, anything = none, (mp.ninf, mp.inf)
        gradients = {
            "input1": [none if any(input1) else anything for _ in input1],
            "input2": [none if any(input2) else anything for _ in input2],
        }
    if target == 1:
        return 1 - c, {name: negated(gradient) for name, gradient in gradients.items()}
    return hinge(c - mp.mpf(margin), gradients)


def pairwise_distance(x1: Row, x2: Row, *, p: float = 2.0, eps: float = 1e-6) -> Definition:
    """(sum of abs(x1 - x2 + eps)**p)**(1 / p), the largest abs(x1 - x2 + eps) for p = inf, the least for -inf."""
    d = [x - y + mp.mpf(eps) for x, y in zip(exact(x1), exact(x2), strict=True)]
    size = [abs(e) for e in d]
    if p in (mp.inf, mp.ninf):
        value = max(size) if p > 0 else min(size)
        active = [s == value for s in size]
        tied = sum(active) > 1
        slopes = [
            (mp.mpf(-1), mp.mpf(1))
            if a and not e
            else hull(mp.zero, mp.sign(e))
            if a and tied
            else mp.sign(e)
            if a
            else mp.zero
            for a, e in zip(active, d, strict=True)
        ]
    else:
        q = mp.mpf(p)
        value = mp.zero if q < 0 and not all(size) else mp.fsum(power(s, q) for s in size) ** (1 / q)
        slopes = [pairwise_slope(e, value, q) for e in d]
    return value, {"x1": slopes, "x2": negated(slopes)}


def power(base: Real, exponent: Real) -> Real:
    return base**exponent if base else mp.zero


def pairwise_slope(d: Real, value: Real, p: Real) -> Any:
    if not d and (p <= 1 or not value):
        end = mp.inf if 0 < p < 1 else mp.mpf(1)
        return (-end, end)
    if not d or not value:
        return mp.zero
    return mp.sign(d) * abs(d) ** (p - 1) * value ** (1 - p)


def squared_distance(x1: Row, x2: Row) -> Definition:
    d = [x - y for x, y in zip(exact(x1), exact(x2), strict=True)]
    slopes = [2 * e for e in d]
    return dot(d, d), {"x1": slopes, "x2": negated(slopes)}


def maximum_distance(x1: Row, x2: Row) -> Definition:
    return pairwise_distance(x1, x2, p=mp.inf, eps=0.0)


DISTANCES = {
    "euclidean": pairwise_distance,
    "cosine": cosine_distance,
    "squared": squared_distance,
    "maximum": maximum_distance,
}


def triplet(anchor: Row, positive: Row, negative: Row, margin: float, swap: bool, distance: Any) -> Definition:
    near, slopes = distance(anchor, positive)
    far, far_slopes = distance(anchor, negative)
    still = [mp.zero] * len(anchor)
    sides = [(far, {"anchor": far_slopes["x1"], "positive": still, "negative": far_slopes["x2"]})]
    if swap:
        other, other_slopes = distance(positive, negative)
        sides.append((other, {"anchor": still, "positive": other_slopes["x1"], "negative": other_slopes["x2"]}))
    least = min(value for value, _ in sides)
    reached = [gradients for value, gradients in sides if value == least]
    rising = {"anchor": slopes["x1"], "positive": slopes["x2"], "negative": still}
    gradients = {
        name: [hull(*(minus(g, side[name][i]) for side in reached)) for i, g in enumerate(rising[name])]
        for name in rising
    }
    return hinge(near - least + mp.mpf(margin), gradients)


def triplet_margin_loss(
    anchor: Row,
    positive: Row,
    negative: Row,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Definition:
    return triplet(anchor, positive, negative, margin, swap, lambda x, y: pairwise_distance(x, y, p=p, eps=eps))


def triplet_margin_with_distance_loss(
    anchor: Row,
    positive: Row,
    negative: Row,
    *,
    distance: str = "euclidean",
    margin: float = 1.0,
    swap: bool = False,
) -> Definition:
    return triplet(anchor, positive, negative, margin, swap, DISTANCES[distance])
