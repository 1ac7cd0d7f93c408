"""The definitions of contrastive losses in mpmath, one row at a time, at the precision in force.

Transcribed from the papers as they are written; a kink gives an entry of its gradient as the pair (lowest, highest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def log_loss(logits: Vector) -> tuple[Any, Vector]:
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


def among_cosines(
    batch: Sequence[Row], positives: Sequence[Sequence[int]], temperature: float
) -> tuple[Any, list[Vector]]:
    """Mean over i of the mean over its positives p of -log softmax over the others of cos(i, p) / t; the chain rule."""
    z, t, count = [exact(row) for row in batch], mp.mpf(temperature), len(batch)
    norms = [length(x) for x in z]
    cosines = [[dot(x, y) / (n * m) for y, m in zip(z, norms, strict=True)] for x, n in zip(z, norms, strict=True)]
    value, gradients = mp.zero, [[mp.zero] * len(x) for x in z]
    for i, own in enumerate(positives):
        for p in own:
            order = [p, *(k for k in range(count) if k not in (i, p))]
            loss, slopes = log_loss([cosines[i][k] / t for k in order])
            value += loss / len(own) / count
            for k, slope in zip(order, slopes, strict=True):
                factor = slope / t / len(own) / count
                for a, b in ((i, k), (k, i)):
                    for e in range(len(z[a])):
                        bent = z[b][e] / (norms[a] * norms[b]) - cosines[a][b] * z[a][e] / norms[a] ** 2
                        gradients[a][e] += factor * bent
    return value, gradients


def nt_xent_loss(z1: Sequence[Row], z2: Sequence[Row], *, temperature: float = 0.5) -> Definition:
    views = len(z1)
    pairs = [[(i + views) % (2 * views)] for i in range(2 * views)]
    value, gradients = among_cosines([*z1, *z2], pairs, temperature)
    return value, {"z1": gradients[:views], "z2": gradients[views:]}


def supervised_contrastive_loss(
    embeddings: Sequence[Row], labels: Sequence[int], *, temperature: float = 0.1
) -> Definition:
    batch = range(len(labels))
    positives = [[p for p in batch if p != i and labels[p] == labels[i]] for i in batch]
    value, gradients = among_cosines(embeddings, positives, temperature)
    return value, {"embeddings": gradients}
