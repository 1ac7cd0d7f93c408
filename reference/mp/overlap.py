"""The definitions of the losses of two soft sets in mpmath, one row at a time, at the precision in force.

Lists of floats in, the value and the gradients out, by the quotient rule in the formula as it is written; a slope that
is infinite gives its entry as the pair (lowest, highest). What is 0 / 0 is nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

Real = Any
Row = Sequence[float]
Definition = tuple[Real, dict[str, list[Any]]]


def exact(x: Row) -> list[Real]:
    return [mp.mpf(e) for e in x]


def short_of_one(above: Real, below: Real, slopes: dict[str, list[tuple[Real, Real]]]) -> Definition:
    """1 - above / below with the derivatives of both."""
    if not below:
        return mp.nan, {name: [mp.nan for _ in pairs] for name, pairs in slopes.items()}
    gradients = {name: [-(n * below - above * d) / below**2 for n, d in pairs] for name, pairs in slopes.items()}
    return 1 - above / below, gradients


def dice_loss(input: Row, target: Row, *, smooth: float = 1.0) -> Definition:
    p, g, s = exact(input), exact(target), mp.mpf(smooth)
    above = 2 * mp.fsum(a * b for a, b in zip(p, g, strict=True)) + s
    below = mp.fsum(p) + mp.fsum(g) + s
    return short_of_one(above, below, {"input": [(2 * b, 1) for b in g], "target": [(2 * a, 1) for a in p]})


def dice_loss_squared(input: Row, target: Row, *, smooth: float = 1.0) -> Definition:
    p, g, s = exact(input), exact(target), mp.mpf(smooth)
    above = 2 * mp.fsum(a * b for a, b in zip(p, g, strict=True)) + s
    below = mp.fsum(a * a for a in p) + mp.fsum(b * b for b in g) + s
    slopes = {
        "input": [(2 * b, 2 * a) for a, b in zip(p, g, strict=True)],
        "target": [(2 * a, 2 * b) for a, b in zip(p, g, strict=True)],
    }
    return short_of_one(above, below, slopes)


def tversky_loss(input: Row, target: Row, *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0) -> Definition:
    p, g, s, a, b = exact(input), exact(target), mp.mpf(smooth), mp.mpf(alpha), mp.mpf(beta)
    pairs = list(zip(p, g, strict=True))
    both = mp.fsum(x * y for x, y in pairs)
    false_positives, false_negatives = mp.fsum(x * (1 - y) for x, y in pairs), mp.fsum((1 - x) * y for x, y in pairs)
    slopes = {
        "input": [(y, y + a * (1 - y) - b * y) for y in g],
        "target": [(x, x - a * x + b * (1 - x)) for x in p],
    }
    return short_of_one(both + s, both + a * false_positives + b * false_negatives + s, slopes)


def focal_tversky_loss(
    input: Row, target: Row, *, alpha: float = 0.7, beta: float = 0.3, gamma: float = 0.75, smooth: float = 1.0
) -> Definition:
    """alpha weighs the false negatives."""
    t, slopes = tversky_loss(input, target, alpha=beta, beta=alpha, smooth=smooth)
    exponent = mp.mpf(gamma)

    def slope(entry: Real) -> Any:
        if mp.isnan(entry) or t or exponent >= 1:
            return exponent * t ** (exponent - 1) * entry
        return (mp.zero, mp.inf) if entry > 0 else (mp.ninf, mp.zero)

    return t**exponent, {name: [slope(entry) for entry in row] for name, row in slopes.items()}
