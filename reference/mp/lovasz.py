"""The Lovasz hinge in arbitrary precision, one image at a time, from the set function that it extends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mpmath import mp, mpf

Row = Sequence[Any]
Definition = tuple[Any, dict[str, Any]]


def jaccard_error(wrong: int, wrong_negatives: int, positives: int) -> Any:
    """Delta(M) = size of M / size of (positives or M), 0 of no pixel."""
    return mpf(wrong) / (positives + wrong_negatives) if wrong else mpf(0)


def lovasz_hinge_loss(input: Row, target: Row) -> Definition:
    """The integral over t of Delta({pixels with max(0, 1 - s x) >= t}), a step at each of the errors.

    The Jaccard error is submodular: of the growths that a pixel may have among those of its own error, the largest is
    that of the first and the smallest that of the last.
    """
    x, y = [mpf(v) for v in input], [int(v) for v in target]
    if any(mp.isnan(v) for v in x):
        return mp.nan, {"input": [mp.nan for _ in x]}
    errors = [1 - (1 if label else -1) * v for v, label in zip(x, y, strict=True)]
    positives = sum(y)
    value, above, slopes = mpf(0), (0, 0), {}
    levels = sorted({e for e in errors if e >= 0}, reverse=True)
    for level, below in pairwise([*levels, mpf(0)]):
        here = [label for e, label in zip(errors, y, strict=True) if e == level]
        wrong, negatives = above[0] + len(here), above[1] + here.count(0)
        for label in set(here):
            own = 1 - label
            least = jaccard_error(wrong, negatives, positives) - jaccard_error(wrong - 1, negatives - own, positives)
            first = jaccard_error(above[0] + 1, above[1] + own, positives) - jaccard_error(*above, positives)
            slopes[level, label] = (least if level > 0 else mpf(0), first)
        if level > below:
            value += (level - below) * jaccard_error(wrong, negatives, positives)
        above = wrong, negatives
    gradient: list[Any] = []
    for e, label in zip(errors, y, strict=True):
        low, high = slopes.get((e, label), (mpf(0), mpf(0)))
        gradient.append((-high, -low) if label else (low, high))
    return value, {"input": gradient}
