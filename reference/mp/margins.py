"""The hinge losses of multi-class support vector machines in arbitrary precision, a row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp, mpf

Row = Sequence[Any]
Definition = tuple[Any, dict[str, Any]]


def multiclass_hinge_loss(input: Row, target: int, *, margin: float = 1.0) -> Definition:
    """sum over i != y of max(0, margin + x_i - x_y)."""
    value, ends = mpf(0), [[mpf(0), mpf(0)] for _ in input]
    for i, x in enumerate(input):
        if i == target:
            continue
        h = mpf(margin) + mpf(x) - mpf(input[target])
        value += h if mp.isnan(h) else max(mpf(0), h)
        sides = mp.nan if mp.isnan(h) else mpf(h > 0), mp.nan if mp.isnan(h) else mpf(h >= 0)
        ends[i] = list(sides)
        ends[target][0] -= sides[1]
        ends[target][1] -= sides[0]
    return value, {"input": [tuple(pair) for pair in ends]}


def crammer_singer_loss(input: Row, target: int, *, margin: float = 1.0) -> Definition:
    """max(0, max over i of margin (i != y) + x_i - x_y): the target itself stands for the 0."""
    x = [mpf(v) for v in input]
    others = [i for i in range(len(x)) if i != target]
    if others and any(mp.isnan(v) for v in x):
        first = next((i for i in others if mp.isnan(x[i])), max(others, key=lambda i: x[i]))
        return mp.nan, {"input": [mp.nan if i in (first, target) else mpf(0) for i in range(len(x))]}
    leads = [(mpf(margin) if i != target else mpf(0)) + v - x[target] for i, v in enumerate(x)]
    leads[target] = mpf(0)
    value = max(leads)
    winners = [i for i, lead in enumerate(leads) if lead == value]
    # Any point of the simplex over the winners, less the target.
    alone = len(winners) == 1
    ends = [(mpf(alone and i in winners), mpf(i in winners)) for i in range(len(x))]
    low, high = ends[target]
    ends[target] = (low - 1, high - 1)
    return value, {"input": ends}
