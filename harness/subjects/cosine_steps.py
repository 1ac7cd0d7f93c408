"""The steps of torch's cosine_embedding_loss and of its backward, each rounded to the dtype."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, accumulator
from harness.deviations import Mask, Points
from harness.ulp import Array, Precision, round_to, step

EPSILON = float(np.float32(1e-12))
"""Added to each squared norm, in single precision even to float64; float16 rounds it to 0."""
INPUTS = ("input1", "input2")
OUTPUTS = ("value", *INPUTS)


def vectors(points: Points) -> tuple[Array, Array]:
    x, y = (np.asarray(points[name], np.float64) for name in INPUTS)
    return x, y


def squared_norms(points: Points) -> tuple[Array, Array]:
    a, b = ((x * x).sum(axis=-1) for x in vectors(points))
    return a, b


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """The steps of the forward, each rounded to the dtype."""

    dot: Array
    first: Array
    second: Array
    both: Array
    root: Array
    cosine: Array


ORDERS = (0.0, 0.5, -0.5, 1.0, -1.0)
"""What the order of a sum may round of it, as shares of the most that it may."""


def _sum(p: Precision, each: Array, order: Array | float) -> Array:
    """A sum in any order; of no more than two terms that are not 0 there is one."""
    wide, total, size = accumulator(p), each.sum(axis=-1), np.abs(each).sum(axis=-1)
    moved = np.where((each != 0.0).sum(axis=-1) > 2, (each.shape[-1] - 1) * wide.u * size, 0.0)
    # Terms that cancel may leave the range on the way to a sum within it.
    moved = np.where((moved > 0.0) & (size > wide.largest) & (np.abs(total) <= wide.largest), np.inf, moved)
    return round_to(p, total + np.where(np.asarray(order) == 0.0, 0.0, order * moved))


def _roots(p: Precision, both: Array) -> list[Array]:
    """A square root, which vector libraries give to 0.75 ulp, so that a neighbour may take its place."""
    root = round_to(p, np.sqrt(both))
    if p.bits == 16:
        return [root]
    exact, found = np.sqrt(both.astype(np.longdouble)), [root]
    for by in (-1, 1):
        beside = step(p, root, by)
        found.append(np.where(np.abs(beside - exact) <= 0.75 * np.abs(beside - root), beside, root))
    return found


def _ratio(p: Precision, x: Array, y: Array) -> Array:
    """The power of two that y is of x, or less it: all three sums then round alike. Elsewhere, and in 16 bits, 0."""
    largest = np.abs(x).argmax(axis=-1)[:, None]
    ratio = np.take_along_axis(y, largest, -1) / np.take_along_axis(x, largest, -1)
    found = (np.abs(np.frexp(ratio)[0]) == 0.5) & (y == ratio * x).all(axis=-1, keepdims=True) & (p.bits > 16)
    return np.where(found, ratio, 0.0)[:, 0]


def computed(points: Points) -> Iterator[Computed]:
    """torch's algorithm, every step rounded to the dtype, with all that its sums and its root may round to."""
    p = points.precision
    x, y = vectors(points)
    epsilon, ratio = float(round_to(p, EPSILON)), _ratio(p, x, y)
    products, squares, others = (round_to(p, a * b) for a, b in ((x, y), (x, x), (y, y)))
    norms = [round_to(p, each.sum(axis=-1)) for each in (squares, others)]
    normal = (np.minimum(*norms) >= p.smallest_normal) & (np.maximum(*norms) <= p.largest)
    alike = (ratio != 0.0) & normal
    for order in ORDERS if x.shape[-1] > 2 else ORDERS[:1]:
        dot = _sum(p, products, order)
        # The cosine is steepest where the squares are off to the other side.
        against = np.where(alike, order, -order * np.sign(dot))
        a, b = _sum(p, squares, against), _sum(p, others, against)
        dot, b = np.where(alike, a * ratio, dot), np.where(alike, a * ratio * ratio, b)
        first, second = round_to(p, a + epsilon), round_to(p, b + epsilon)
        both = round_to(p, first * second)
        for root in _roots(p, both):
            cosine = round_to(p, dot / root)
            yield Computed(dot=dot, first=first, second=second, both=both, root=root, cosine=cosine)


def losses_of(points: Points) -> Array:
    """Every loss that the algorithm may round to, one a row of the result."""
    p, positive = points.precision, np.asarray(points["target"]) == 1.0
    with np.errstate(all="ignore"):
        found = []
        for c in computed(points):
            apart = round_to(p, c.cosine - round_to(p, points["margin"]))
            found.append(np.where(positive, round_to(p, 1.0 - c.cosine), np.where(apart < 0.0, 0.0, apart)))
    return np.array(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """The backward of the cosine in one input, and what its roundings may add."""

    exact: Array
    allowed: Array
    live: Mask
    """The hinge lets it through."""
    still: Mask
    """The hinge may stop it."""
    lost: Mask
    """It is nan, or may be."""


def slope_of(points: Points, name: str) -> Slope:
    p, eta = points.precision, points.precision.smallest_subnormal
    x, y = vectors(points) if name == INPUTS[0] else vectors(points)[::-1]
    positive = np.asarray(points["target"]) == 1.0

    def r(values: Array) -> Array:
        return round_to(p, values)

    with np.errstate(all="ignore"):
        every = list(computed(points))
        c = every[0]
        other = (c.second if name == INPUTS[0] else c.first)[:, None]
        root = c.root[:, None]
        # d cos / d root = -(dot / root) / root; of the root of a product 1 / (2 root), times the other factor.
        of_dot, of_product = r(1.0 / root), r(r(r(c.dot[:, None] / root) / root) / r(2.0 * root))
        of_square = r(of_product * other)
        direct, along = r(of_dot * y), 2.0 * r(of_square * x)
        exact = np.where(positive, -1.0, 1.0)[:, None] * r(direct - along)
        steps = 1.0 + np.abs(y) + 2.0 * np.abs(x) * (1.0 + other * (1.0 + 1.0 / root))
        # The rounding of the sum x . y is that of its terms.
        terms = np.abs(x * y).sum(axis=-1)[:, None] / root * (other / root) / root * np.abs(x)
        spread = p.u * (np.abs(direct) + np.fmax(np.abs(along), terms))
        allowed = GRADIENT_CONSTANT * np.where(np.isfinite(spread), spread, 0.0) + 2.0 * eta * np.nan_to_num(steps)
        gaps = np.array([e.cosine - points["margin"] for e in every])
    # Past the hinge 0 times an infinite quotient is nan, whatever the branch.
    live, still = (gaps >= 0.0).any(axis=0) | positive, (gaps <= 0.0).any(axis=0) & ~positive
    endless = np.any([~np.isfinite(part) for part in np.broadcast_arrays(of_dot, of_square, direct, along)], axis=0)
    lost = np.isnan(exact) | np.isnan(gaps).any(axis=0)[:, None] | (endless & still[:, None])
    return Slope(exact=exact, allowed=allowed, live=live[:, None], still=still[:, None], lost=lost)
