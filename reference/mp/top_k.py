"""The cross-entropy over the k largest logits in arbitrary precision, a row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp, mpf

from reference.mp.exponential import exp

Row = Sequence[Any]
Definition = tuple[Any, dict[str, Any]]


def top_k_cross_entropy(input: Row, target: int, *, k: int = 10) -> Definition:
    """-log of exp(x_y) / (sum of exp(x_j) over the k largest); an entry of the gradient for every choice of the k.

    A logit is in every choice where fewer than k are as large, in none where k are larger, and otherwise in some.
    """
    x = [mpf(v) for v in input]
    if any(mp.isnan(v) or v == mp.inf for v in x) or all(v == mp.ninf for v in x):
        return mp.nan, {"input": [mp.nan for _ in x]}
    count, top = min(k, len(x)), max(x)
    powers = [exp(v - top) for v in x]
    total = mp.fsum(sorted(powers, reverse=True)[:count])
    value = mp.log1p((total - powers[target]) / powers[target]) if powers[target] else mp.inf
    gradient = []
    for j, v in enumerate(x):
        always = sum(u >= v for u in x) <= count
        ever = sum(u > v for u in x) < count
        ends = [(powers[j] / total if chosen else mpf(0)) - (j == target) for chosen in {always, ever}]
        gradient.append((min(ends), max(ends)))
    return value, {"input": gradient}
