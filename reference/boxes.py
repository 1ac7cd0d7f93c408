"""Oracles of the losses of two axis-aligned boxes (x1, y1, x2, y2), of shape (R, 4). One row is one pair of boxes.

Along an axis, two sides have a common part, the rest of each, and a gap where they are apart. Every area that a loss
compares is a sum of products of these, which are non-negative: nothing cancels. A box of which a side is not positive
is no box, and its losses are nan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.truth import Array, Output, Truth, output

Mask = npt.NDArray[np.bool_]


class _Side(NamedTuple):
    """One box beside another, per axis (R, 2)."""

    low: Array
    high: Array
    length: Array
    rest: Array
    """What of the side is outside the other one."""


class _Pair(NamedTuple):
    first: _Side
    second: _Side
    common: Array
    gap: Array
    over: Array
    """Length of the common part, negative where there is a gap."""
    hull: Array
    known: Array
    """0, or nan where a number is nan or a box is none; shape (R,)."""
    intersection: Array
    union: Array
    difference: Array
    """Area that belongs to one box only, union - intersection."""
    enclosing: Array
    """Area of the smallest box around both."""
    excess: Array
    """Area of that box that belongs to none, enclosing - union."""


def _pair(a: Array, b: Array) -> _Pair:
    low_a, high_a, low_b, high_b = a[:, :2], a[:, 2:], b[:, :2], b[:, 2:]
    left, right = np.maximum(low_a, low_b), np.minimum(high_a, high_b)
    over = right - left
    apart = over <= 0.0
    length_a, length_b = high_a - low_a, high_b - low_b
    rest_a = np.where(apart, length_a, (left - low_a) + (high_a - right))
    rest_b = np.where(apart, length_b, (left - low_b) + (high_b - right))
    common, gap = np.maximum(over, 0.0), np.maximum(-over, 0.0)
    hull = np.maximum(high_a, high_b) - np.minimum(low_a, low_b)
    covered = np.where(apart, length_a + length_b, hull)
    legal = np.concatenate([length_a > 0.0, length_b > 0.0], axis=-1).all(axis=-1)
    (rax, ray), (rbx, rby), (wi, hi) = rest_a.T, rest_b.T, common.T
    return _Pair(
        first=_Side(low_a, high_a, length_a, rest_a),
        second=_Side(low_b, high_b, length_b, rest_b),
        common=common,
        gap=gap,
        over=over,
        hull=hull,
        known=np.where(legal, 0.0, np.nan),
        intersection=wi * hi,
        union=length_a.prod(axis=-1) + length_b.prod(axis=-1) - wi * hi,
        difference=rax * length_a[:, 1] + rbx * length_b[:, 1] + wi * (ray + rby),
        enclosing=hull.prod(axis=-1),
        excess=rax * rby + rbx * ray + gap[:, 0] * hull[:, 1] + gap[:, 1] * covered[:, 0],
    )


class _Edges(NamedTuple):
    """What the four coordinates of one box meet, (R, 4): along the axis that they move on, and across it."""

    sign: Array
    outer: Mask
    """The edge is an edge of the enclosing box, and moving it moves no edge of the intersection."""
    tied: Mask
    """The same edge of both boxes is at one place."""
    apart: Mask
    """The edge is an edge of neither, since there is a gap."""
    touching: Mask
    """The edge meets the opposite one of the other box."""
    common: Array
    rest: Array
    other_length: Array
    other_rest: Array
    gap: Array
    hull: Array
    across: Array
    """Of the axis across: its common part."""
    length_across: Array
    rest_across: Array
    other_length_across: Array
    other_rest_across: Array
    hull_across: Array


def _edges(at: _Pair, mine: _Side, other: _Side) -> _Edges:
    def along(a: Array) -> Array:
        return np.concatenate([a, a], axis=-1)

    def across(a: Array) -> Array:
        return along(a[:, ::-1])

    over = along(at.over)
    tied = np.concatenate([mine.low == other.low, mine.high == other.high], axis=-1)
    outer = np.concatenate([mine.low < other.low, mine.high > other.high], axis=-1)
    return _Edges(
        sign=np.array([-1.0, -1.0, 1.0, 1.0]),
        outer=outer,
        tied=tied,
        apart=~outer & ~tied & (over <= 0.0),
        touching=~outer & ~tied & (over == 0.0),
        common=along(at.common),
        rest=along(mine.rest),
        other_length=along(other.length),
        other_rest=along(other.rest),
        gap=along(at.gap),
        hull=along(at.hull),
        across=across(at.common),
        length_across=across(mine.length),
        rest_across=across(mine.rest),
        other_length_across=across(other.length),
        other_rest_across=across(other.rest),
        hull_across=across(at.hull),
    )


class _Terms(NamedTuple):
    """A derivative and the sum of the magnitudes of its terms."""

    exact: Array
    size: Array


def _term(value: Array) -> _Terms:
    return _Terms(value, np.abs(value))


def _sum(*terms: _Terms) -> _Terms:
    return _Terms(sum((t.exact for t in terms), np.zeros(())), sum((t.size for t in terms), np.zeros(())))


class _Slope(NamedTuple):
    """A derivative with its scale and its ends at kinks."""

    exact: Array
    size: Array
    low: Array
    high: Array


def _branched(e: _Edges, inner: _Terms, apart: _Terms, outer: _Terms) -> _Slope:
    """The derivative in an edge by where it is; at ties and where boxes touch, all between both sides."""
    exact = np.where(e.outer, outer.exact, np.where(e.apart, apart.exact, inner.exact))
    size = np.where(e.outer, outer.size, np.where(e.apart, apart.size, inner.size))
    second = np.where(e.tied, outer.exact, np.where(e.touching, inner.exact, exact))
    size = np.where(e.tied, np.maximum(size, outer.size), np.where(e.touching, np.maximum(size, inner.size), size))
    exact, second = e.sign * exact, e.sign * second
    return _Slope(exact, size, np.minimum(exact, second), np.maximum(exact, second))


def _plus(a: _Slope, b: _Slope) -> _Slope:
    return _Slope(a.exact + b.exact, a.size + b.size, a.low + b.low, a.high + b.high)


def _others(e: _Edges) -> Array:
    """The union without the part common * rest_across of this box, as the sum of its other parts."""
    return (
        e.common * e.across
        + e.common * e.other_rest_across
        + e.rest * e.length_across
        + e.other_rest * e.other_length_across
    )


def _overlap(at: _Pair, e: _Edges) -> tuple[_Terms, _Terms, _Terms]:
    """d(-IoU) in an inner edge, an edge apart and an outer edge.

    (-dI U + I dU) / U**2 with dI = across and dU = rest_across: the difference of across U and across common
    rest_across is across times what else the union holds.
    """
    union, intersection = at.union[:, None], at.intersection[:, None]
    inner = -(e.across / union) * (_others(e) / union)
    outer = (intersection / union) * (e.length_across / union)
    return _term(inner), _term(np.zeros_like(inner)), _term(outer)


def _gradient(at: _Pair, slope: _Slope, absolute: Array, underflow: Array) -> Output:
    known = at.known[:, None]
    return output(
        slope.exact + known,
        reference=slope.size,
        absolute=absolute,
        underflow=underflow,
        interval=(slope.low + known, slope.high + known),
    )


def _lost(at: _Pair, reach: Array) -> Array:
    """Of a gradient of size ``reach``, whose areas and ratios may each underflow."""
    return 1.0 + reach * (1.0 + 4.0 / at.union[:, None])


def _sides(at: _Pair) -> dict[str, _Edges]:
    return {"input": _edges(at, at.first, at.second), "target": _edges(at, at.second, at.first)}


def box_iou_loss(input: Array, target: Array) -> Truth:
    """1 - IoU, as (union - intersection) / union.

    Source: Yu, Jiang, Wang, Cao, Huang, UnitBox (2016), and Rahman, Wang, Optimizing Intersection-Over-Union (2016).
    """
    with np.errstate(all="ignore"):
        at = _pair(input, target)
        union = at.union[:, None]
        gradients = {}
        for name, e in _sides(at).items():
            reach = 2.0 * e.length_across / union
            gradients[name] = _gradient(at, _branched(e, *_overlap(at, e)), reach, _lost(at, reach))
        value = output(at.difference / at.union + at.known, absolute=1.0, underflow=1.0 + 4.0 / at.union)
    return Truth(value=value, gradients=gradients)


def generalized_box_iou_loss(input: Array, target: Array) -> Truth:
    """1 - IoU + (enclosing - union) / enclosing.

    Source: Rezatofighi, Tsoi, Gwak, Sadeghian, Reid, Savarese, Generalized Intersection over Union (2019), algorithm 2.
    """
    with np.errstate(all="ignore"):
        at = _pair(input, target)
        union, enclosing = at.union[:, None], at.enclosing[:, None]
        gradients = {}
        for name, e in _sides(at).items():
            inner, _, outer = _overlap(at, e)
            # d(-union / enclosing): an outer edge moves both, and union hull - length enclosing is this difference.
            gain, loss, far = (
                e.other_length * e.other_rest_across,
                e.other_rest * e.rest_across,
                e.length_across * e.gap,
            )
            per = (1.0 / enclosing) / e.hull
            grown = _Terms(per * (gain - loss - far), per * (gain + loss + far))
            slope = _branched(
                e,
                _sum(inner, _term(-e.rest_across / enclosing)),
                _term(-e.length_across / enclosing),
                _sum(outer, grown),
            )
            reach = 2.0 * e.length_across / union + e.length_across / enclosing + 1.0 / e.hull
            gradients[name] = _gradient(at, slope, reach, _lost(at, reach))
        exact = at.difference / at.union + at.excess / at.enclosing
        value = output(exact + at.known, absolute=2.0, underflow=1.0 + 4.0 / at.union)
    return Truth(value=value, gradients=gradients)


def iou_log_loss(input: Array, target: Array) -> Truth:
    """-log(IoU) of boxes that overlap, as log1p((union - intersection) / intersection); inf of boxes that do not.

    Source: Yu, Jiang, Wang, Cao, Huang, UnitBox (2016), equation 2 with IoU as in section 3.
    """
    with np.errstate(all="ignore"):
        at = _pair(input, target)
        union = at.union[:, None]
        gradients = {}
        for name, e in _sides(at).items():
            inner = _term(-(_others(e) / e.common) / union)
            slope = _branched(e, inner, inner, _term(e.length_across / union))
            reach = 1.0 / e.common + 2.0 * e.length_across / union
            lost = 1.0 + reach * (1.0 + 4.0 / at.intersection[:, None])
            gradients[name] = _gradient(at, slope, reach, lost)
        exact = np.log1p(at.difference / at.intersection)
        value = output(exact + at.known, absolute=1.0 + exact, underflow=1.0 + 4.0 / at.intersection)
    return Truth(value=value, gradients=gradients)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its rounding error, exactly (Knuth)."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _centres(a: Array, b: Array) -> tuple[Array, Array]:
    """Centre of the first box less that of the second, (R, 2), as the mean of two differences, and its scale."""
    low, low_error = _two_sum(a[:, :2], -b[:, :2])
    high, high_error = _two_sum(a[:, 2:], -b[:, 2:])
    total, error = _two_sum(low, high)
    # Low and high edges may move in opposite directions, so the three roundings are added back.
    return 0.5 * (total + (error + (low_error + high_error))), 0.5 * (np.abs(low) + np.abs(high))


class _Distance(NamedTuple):
    """Squared distance of centres over the squared diagonal of the enclosing box."""

    value: Array
    size: Array
    slopes: dict[str, tuple[_Slope, Array, Array]]
    """Of each box: the derivative, its absolute scale, what underflow may take."""
    underflow: Array


def _distance(at: _Pair, sides: dict[str, _Edges], a: Array, b: Array) -> _Distance:
    centre, scale = _centres(a, b)
    diagonal = (at.hull**2).sum(axis=-1)
    value, size = (centre**2).sum(axis=-1) / diagonal, (np.abs(centre) * scale).sum(axis=-1) / diagonal
    across = diagonal[:, None]
    slopes = {}
    for name, sign in (("input", 1.0), ("target", -1.0)):
        e = sides[name]
        moved = np.concatenate([centre, centre], axis=-1) / across
        doubt = np.concatenate([scale, scale], axis=-1) / across
        pulled = _Slope(sign * moved, doubt, sign * moved, sign * moved)
        spread = 2.0 * e.hull / across
        # An outer edge lengthens the diagonal.
        outer = _Terms(-spread * value[:, None], spread * (value + size)[:, None])
        none = _term(np.zeros_like(spread))
        slopes[name] = _plus(pulled, _branched(e, none, none, outer)), spread, spread * (1.0 + 1.0 / across)
    return _Distance(value, value + size, slopes, 2.0 / diagonal)


def _distance_iou(input: Array, target: Array, *, aspect: bool) -> Truth:
    at = _pair(input, target)
    sides = _sides(at)
    far = _distance(at, sides, input, target)
    overlap = at.difference / at.union
    ratio = _aspect(at, overlap) if aspect else None
    gradients = {}
    for name, e in sides.items():
        slope, spread, lost = far.slopes[name]
        slope = _plus(_branched(e, *_overlap(at, e)), slope)
        reach = 2.0 * e.length_across / at.union[:, None]
        if ratio is not None:
            slope, spread = _plus(slope, ratio.slopes[name]), spread + ratio.slopes[name].size
        gradients[name] = _gradient(at, slope, reach + spread, _lost(at, reach) + lost)
    exact, size = overlap + far.value, overlap + far.size
    if ratio is not None:
        exact, size = exact + ratio.value, size + ratio.size
    value = output(
        exact + at.known,
        reference=size,
        absolute=3.0 if aspect else 2.0,
        underflow=1.0 + 4.0 / at.union + far.underflow,
    )
    return Truth(value=value, gradients=gradients)


def distance_box_iou_loss(input: Array, target: Array) -> Truth:
    """1 - IoU + (distance of centres / diagonal of the enclosing box)**2.

    Source: Zheng, Wang, Liu, Li, Ye, Ren, Distance-IoU Loss (2020), equation 7.
    """
    with np.errstate(all="ignore"):
        return _distance_iou(input, target, aspect=False)


class _Ratio(NamedTuple):
    """alpha v, the part of the complete IoU that compares the shapes of boxes."""

    value: Array
    size: Array
    slopes: dict[str, _Slope]


def _aspect(at: _Pair, overlap: Array) -> _Ratio:
    (wa, ha), (wb, hb) = at.first.length.T, at.second.length.T
    # A difference of arc tangents is the arc tangent of one quotient, which cancels only where the shapes are alike.
    cross, along = wb * ha - wa * hb, ha * hb + wa * wb
    angle = np.arctan2(cross, along)
    doubt = np.abs(angle) + (wb * ha + wa * hb) / np.hypot(cross, along)
    unit = 4.0 / np.pi**2
    v = unit * angle**2
    alpha = np.where(v == 0.0, 0.0, v / (overlap + v))
    slopes = {}
    for name, side, sign in (("input", at.first, -1.0), ("target", at.second, 1.0)):
        flipped = side.length[:, ::-1]
        across = np.hypot(side.length[:, :1], side.length[:, 1:])
        per = 2.0 * unit * alpha[:, None] * (flipped / across) / across
        wide = np.array([1.0, -1.0]) * sign * per * angle[:, None]
        slope = np.concatenate([-wide, wide], axis=-1)
        size = 3.0 * per * doubt[:, None]
        slopes[name] = _Slope(slope, np.concatenate([size, size], axis=-1), slope, slope)
    return _Ratio(alpha * v, 4.0 * unit * alpha * np.abs(angle) * doubt, slopes)


def complete_box_iou_loss(input: Array, target: Array) -> Truth:
    """The distance IoU loss and alpha v, v = (2 / pi (atan(wt / ht) - atan(w / h)))**2, alpha = v / (1 - IoU + v).

    alpha is a constant to the gradient: "a positive trade-off parameter", which torchvision computes without gradient.
    It is 0 where v is. Source: Zheng, Wang, Liu, Li, Ye, Ren, Distance-IoU Loss (2020), equations 8 to 12.
    """
    with np.errstate(all="ignore"):
        return _distance_iou(input, target, aspect=True)
