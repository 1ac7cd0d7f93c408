"""The losses of the softmax probability of one class in arbitrary precision, a row at a time, as their papers say.

Gradients go through the probability: dF/dp_t times dp_t/dx_j = p_t (onehot - p_j).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp, mpf

from reference.mp.classes import softmax

Row = Sequence[Any]
Definition = tuple[Any, dict[str, Any]]


def _of_probability(p: Sequence[Any], target: int, value: Any, slope: Any) -> Definition:
    """``slope`` is p_t dF/dp_t."""
    return value, {"input": [slope * ((j == target) - p_j) for j, p_j in enumerate(p)]}


def _log(p: Any) -> Any:
    return mp.log(p) if p > 0 or mp.isnan(p) else mp.ninf


def focal_loss(input: Row, target: int, *, gamma: float = 2.0) -> Definition:
    """FL(p_t) = -(1 - p_t)**gamma log p_t."""
    p, g = softmax(input), mpf(gamma)
    here = p[target]
    rest = 1 - here
    if rest == 0:
        return mpf(0), {"input": [mpf(0)] * len(p)}
    value = -(rest**g) * _log(here)
    slope = (g * rest ** (g - 1) * here * _log(here) if here != 0 else 0) - rest**g
    return _of_probability(p, target, value, slope)


def poly1_cross_entropy(input: Row, target: int, *, epsilon: float = 1.0) -> Definition:
    """-log p_t + epsilon (1 - p_t)."""
    p, e = softmax(input), mpf(epsilon)
    here = p[target]
    return _of_probability(p, target, -_log(here) + e * (1 - here), -1 - e * here)


def generalised_cross_entropy(input: Row, target: int, *, q: float = 0.7) -> Definition:
    """(1 - p_t**q) / q."""
    p, power = softmax(input), mpf(q)
    here = p[target]
    return _of_probability(p, target, (1 - here**power) / power, -(here**power))


def symmetric_cross_entropy(
    input: Row, target: int, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0
) -> Definition:
    """alpha * -sum q log p + beta * -sum p log q for the one-hot q, with a number for log 0."""
    p, a, b = softmax(input), mpf(alpha), mpf(beta)
    here = p[target]
    reverse = -mp.fsum(p_j * (0 if j == target else mpf(log_zero)) for j, p_j in enumerate(p))
    return _of_probability(p, target, a * -_log(here) + b * reverse, -a + b * mpf(log_zero) * here)


def categorical_cross_entropy(input: Row, target: int) -> Definition:
    """-log p_t of given probabilities."""
    here = mpf(input[target])
    steep = -1 / here if here != 0 else mp.ninf
    return -_log(here), {"input": [steep if j == target else mpf(0) for j in range(len(input))]}
