"""The definitions of contrastive losses in mpmath, one row at a time, at the precision in force.

Transcribed from the papers as they are written; a kink gives an entry of its gradient as the pair (lowest, highest).
"""

from __future__ import annotations

from collections.abc import Sequence

from mpmath import mp

from reference.mp.embedding import Definition, Row, Vector, dot, exact, hull, length
from reference.mp.exponential import exp


def contrastive_loss(input1: Row, input2: Row, target: float, *, margin: float = 1.0) -> Definition:
    """y / 2 d**2 + (1 - y) / 2 max(0, m - d)**2; the slope of d at 0 is anything from -1 to 1 in each entry."""
    difference = [a - b for a, b in zip(exact(input1), exact(input2), strict=True)]
    d, y, m = length(difference), mp.mpf(target), mp.mpf(margin)
    lack = max(mp.zero, m - d)
    value = y * d**2 / 2 + (1 - y) * lack**2 / 2

    def slope(e: object) -> object:
        if d:
            return y * e - (1 - y) * lack * e / d
        return hull(-(1 - y) * lack, (1 - y) * lack)

    return value, {"input1": [slope(e) for e in difference], "input2": [slope(-e) for e in difference]}


def log_loss(logits: Vector) -> tuple[object, Vector]:
    """-log of the softmax of the first logit, and its slope in every logit."""
    powers = [exp(z - max(logits)) for z in logits]
    total = mp.fsum(powers)
    others = mp.fsum(powers[1:])
    # -log(1 - share of the others), which has digits left where the share is tiny.
    value = mp.log1p(others / powers[0])
    return value, [-others / total, *(p / total for p in powers[1:])]


def info_nce_loss(query: Row, positive: Row, negatives: Sequence[Row], *, temperature: float = 0.1) -> Definition:
    q, t = exact(query), mp.mpf(temperature)
    keys = [exact(positive), *map(exact, negatives)]
    value, slopes = log_loss([dot(q, key) / t for key in keys])
    return value, {
        "query": [mp.fsum(s * key[i] / t for s, key in zip(slopes, keys, strict=True)) for i in range(len(q))],
        "positive": [slopes[0] * e / t for e in q],
        "negatives": [[s * e / t for e in q] for s in slopes[1:]],
    }
