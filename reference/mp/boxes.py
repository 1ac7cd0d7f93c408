"""The definitions of the losses of boxes in mpmath, one row at a time, at the precision in force.

Lists of floats x1, y1, x2, y2 in, the value and the gradients out, by the chain rule over the areas of the formula as
it is written. Where a minimum or a maximum has two equal arguments each may take any share of the derivative, so an
entry is the pair (lowest, highest) over all choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from mpmath import mp

Real = Any
Row = Sequence[float]
Definition = tuple[Real, dict[str, list[Any]]]
Slope = Callable[..., Real]
"""(d area, d intersection, d side of the enclosing box, along which axis, twice d of the distance of centres, of the
first box) -> the derivative as an edge moves outwards."""


class Boxes:
    """The areas of two boxes: of each, of their intersection, of their union, and the sides of the enclosing box."""

    def __init__(self, a: Row, b: Row) -> None:
        self.a, self.b = [mp.mpf(v) for v in a], [mp.mpf(v) for v in b]
        self.common = [max(mp.zero, min(self.a[k + 2], self.b[k + 2]) - max(self.a[k], self.b[k])) for k in (0, 1)]
        self.hull = [max(self.a[k + 2], self.b[k + 2]) - min(self.a[k], self.b[k]) for k in (0, 1)]
        self.intersection = self.common[0] * self.common[1]
        self.areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (self.a, self.b)]
        self.union = self.areas[0] + self.areas[1] - self.intersection
        self.enclosing = self.hull[0] * self.hull[1]

    def gradients(self, slope: Slope) -> dict[str, list[Any]]:
        return {
            "input": [self.entry(self.a, self.b, i, slope) for i in range(4)],
            "target": [self.entry(self.b, self.a, i, slope) for i in range(4)],
        }

    def entry(self, mine: list[Real], other: list[Real], i: int, slope: Slope) -> Any:
        axis, upper = i % 2, i >= 2
        sign = 1 if upper else -1
        here, same, opposite = sign * mine[i], sign * other[i], sign * other[(i + 2) % 4]
        # Going outwards the edge stretches the common part before it passes its like, the enclosing box after that.
        stretches = {True, False} if here in (same, opposite) else {opposite < here < same}
        widens = {True, False} if here == same else {here > same}
        height = mine[3 - axis] - mine[1 - axis]
        first = mine is self.a
        found = [
            sign * slope(height, self.common[1 - axis] * s, mp.mpf(w), axis, sign if first else -sign, first)
            for s, w in product(stretches, widens)
        ]
        return found[0] if min(found) == max(found) else (min(found), max(found))


def box_iou_loss(input: Row, target: Row) -> Definition:
    at = Boxes(input, target)
    i, u = at.intersection, at.union

    def slope(area: Real, common: Real, wide: Real, axis: int, side: int, first: bool) -> Real:
        return -common / u + i * (area - common) / u**2

    return 1 - i / u, at.gradients(slope)


def generalized_box_iou_loss(input: Row, target: Row) -> Definition:
    """1 - GIoU with GIoU = IoU - (enclosing - union) / enclosing."""
    at = Boxes(input, target)
    i, u, c = at.intersection, at.union, at.enclosing

    def slope(area: Real, common: Real, wide: Real, axis: int, side: int, first: bool) -> Real:
        grown, hull = area - common, wide * at.hull[1 - axis]
        return -common / u + i * grown / u**2 + (hull - grown) / c - (c - u) * hull / c**2

    return 1 - (i / u - (c - u) / c), at.gradients(slope)


def iou_log_loss(input: Row, target: Row) -> Definition:
    at = Boxes(input, target)
    i, u = at.intersection, at.union

    def slope(area: Real, common: Real, wide: Real, axis: int, side: int, first: bool) -> Real:
        return -common / i + (area - common) / u

    return -mp.log(i / u), at.gradients(slope)


def distance_box_iou_loss(input: Row, target: Row) -> Definition:
    return distance_iou(Boxes(input, target), mp.zero, lambda axis, side, first: mp.zero)


def distance_iou(at: Boxes, penalty: Real, bent: Slope) -> Definition:
    """``bent``: what the penalty adds to a derivative, in an outward move of an edge of an axis."""
    i, u = at.intersection, at.union
    centre = [(at.a[k] + at.a[k + 2]) / 2 - (at.b[k] + at.b[k + 2]) / 2 for k in (0, 1)]
    squared, diagonal = centre[0] ** 2 + centre[1] ** 2, at.hull[0] ** 2 + at.hull[1] ** 2

    def slope(area: Real, common: Real, wide: Real, axis: int, side: int, first: bool) -> Real:
        overlap = -common / u + i * (area - common) / u**2
        moved, longer = centre[axis] * side, 2 * at.hull[axis] * wide
        return overlap + moved / diagonal - squared * longer / diagonal**2 + bent(axis, side, first)

    return 1 - i / u + squared / diagonal + penalty, at.gradients(slope)


def complete_box_iou_loss(input: Row, target: Row) -> Definition:
    """alpha is taken as a constant."""
    at = Boxes(input, target)
    sides = [(box[2] - box[0], box[3] - box[1]) for box in (at.a, at.b)]
    angle = mp.atan(sides[1][0] / sides[1][1]) - mp.atan(sides[0][0] / sides[0][1])
    v = 4 / mp.pi**2 * angle**2
    alpha = v / (1 - at.intersection / at.union + v) if v else mp.zero

    def bent(axis: int, side: int, first: bool) -> Real:
        w, h = sides[0 if first else 1]
        turned = (h if axis == 0 else -w) / (w**2 + h**2)
        return alpha * 8 / mp.pi**2 * angle * (-turned if first else turned)

    return distance_iou(at, alpha * v, bent)
