"""The definitions of the losses of a difference and of a margin in mpmath, one row at a time.

Floats in, the value and the gradients out; a kink gives its gradient as the pair (lowest, highest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

from reference.mp.exponential import exp

Real = Any
Definition = tuple[Real, dict[str, Any]]


def log_cosh_loss(input: float, target: float) -> Definition:
    """log((exp(d) + exp(-d)) / 2) and (exp(d) - exp(-d)) / (exp(d) + exp(-d)); for a small d at more precision."""
    d = mp.mpf(input) - target
    if abs(d) > 2**20:
        sign = mp.sign(d)  # exp(-2 abs(d)) is below every digit
        return abs(d) - mp.ln2, {"input": sign, "target": -sign}
    with mp.extraprec(max(0, -2 * mp.mag(d)) if d else 0):
        up, down = exp(d), exp(-d)
        value, slope = mp.log((up + down) / 2), (up - down) / (up + down)
    return +value, {"input": +slope, "target": -slope}


def quantile_loss(input: float, target: float, *, quantile: float = 0.5) -> Definition:
    """max(q d, (q - 1) d), d = target - input."""
    d, q = mp.mpf(target) - input, mp.mpf(quantile)
    if d == 0:
        return mp.zero, {"input": (-q, 1 - q), "target": (q - 1, q)}
    slope = q if d > 0 else q - 1
    return max(q * d, (q - 1) * d), {"input": -slope, "target": slope}


def rmse_loss(input: Sequence[float], target: Sequence[float]) -> Definition:
    d = [mp.mpf(x) - y for x, y in zip(input, target, strict=True)]
    value = mp.sqrt(mp.fsum(e**2 for e in d) / len(d))
    end = 1 / mp.sqrt(len(d))
    if not value:
        anything = [(-end, end) for _ in d]
        return value, {"input": anything, "target": anything}
    slope = [e / (len(d) * value) for e in d]
    return value, {"input": slope, "target": [-e for e in slope]}


def hinge_loss(input: float, target: float) -> Definition:
    """max(0, 1 - y x)."""
    gap, y = 1 - mp.mpf(target) * input, mp.mpf(target)
    slope = -y if gap > 0 else mp.zero if gap < 0 else (min(-y, mp.zero), max(-y, mp.zero))
    return max(gap, mp.zero), {"input": slope}


def squared_hinge_loss(input: float, target: float) -> Definition:
    """max(0, 1 - y x)**2."""
    y = mp.mpf(target)
    gap = max(1 - y * input, mp.zero)
    return gap**2, {"input": -2 * y * gap}
