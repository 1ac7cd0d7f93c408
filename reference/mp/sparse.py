"""The Fenchel-Young losses of sparse transforms in arbitrary precision, a row at a time, as their papers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp, mpf

Row = Sequence[Any]
Definition = tuple[Any, dict[str, Any]]


def _unknown(x: Row) -> bool:
    return any(mp.isnan(v) or v == mp.inf for v in x) or all(v == mp.ninf for v in x)


def _slope(p: Row, target: int) -> dict[str, Any]:
    return {"input": [q - (j == target) for j, q in enumerate(p)]}


def sparsemax_loss(input: Row, target: int) -> Definition:
    """-x_y + sum over S of (x_j**2 - tau**2) / 2 + 1/2, S = the k largest with 1 + k x_(k) above their sum."""
    x = [mpf(v) for v in input]
    if _unknown(x):
        return mp.nan, {"input": [mp.nan] * len(x)}
    falling = sorted((v for v in x if v != mp.ninf), reverse=True)
    k = max(k for k in range(1, len(falling) + 1) if 1 + k * falling[k - 1] > mp.fsum(falling[:k]))
    tau = (mp.fsum(falling[:k]) - 1) / k
    value = -x[target] + mp.fsum((v**2 - tau**2) / 2 for v in falling[:k]) + mpf(1) / 2
    return value, _slope([max(v - tau, mpf(0)) for v in x], target)


def entmax15_loss(input: Row, target: int) -> Definition:
    """(p - onehot) . x + (1 - sum of p**1.5) / 0.75, p_j = max(x_j / 2 - tau, 0)**2 of sum 1."""
    x = [mpf(v) for v in input]
    if _unknown(x):
        return mp.nan, {"input": [mp.nan] * len(x)}
    falling = sorted((v / 2 for v in x if v != mp.ninf), reverse=True)
    tau = mpf(0)
    for k in range(1, len(falling) + 1):
        # k tau**2 - 2 tau sum(x) + sum(x**2) = 1, its lower root.
        total, squares = mp.fsum(falling[:k]), mp.fsum(v**2 for v in falling[:k])
        inside = total**2 - k * (squares - 1)
        root = (total - mp.sqrt(inside)) / k if inside >= 0 else mp.inf
        if root > falling[k - 1]:
            break
        tau = root
    p = [max(v / 2 - tau, mpf(0)) ** 2 for v in x]
    linear = mp.fsum(q * v for q, v in zip(p, x, strict=True) if q != 0) - x[target]
    return linear + (1 - mp.fsum(mp.sqrt(q) ** 3 for q in p)) / mpf("0.75"), _slope(p, target)
