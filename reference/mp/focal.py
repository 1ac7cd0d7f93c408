"""The definitions of the binary focal losses in mpmath, one row at a time, at the precision in force.

Transcribed from Lin et al., Focal Loss for Dense Object Detection (2017), equations 2 to 5.
"""

from __future__ import annotations

from typing import Any

from mpmath import mp

from reference.mp.exponential import exp

Real = Any
Definition = tuple[Real, dict[str, Any]]


def _powered(base: Real, gamma: Real) -> Real:
    return base**gamma if base or not gamma else mp.zero


def _of_logit(input: float, target: float, weight: Real, gamma: float) -> Definition:
    """-weight (1 - p_t)**gamma log(p_t) with p_t = p of a positive, 1 - p of a negative, p = 1 / (1 + exp(-x))."""
    z, g = mp.mpf(input) if target == 1 else -mp.mpf(input), mp.mpf(gamma)
    e = exp(-z)
    right, wrong = 1 / (1 + e), e / (1 + e)
    loss = mp.log1p(e)  # more digits than log(p_t) keeps where p_t is close to 1
    value = weight * _powered(wrong, g) * loss
    # By the product rule, with d (1 - p_t) / dz = -p_t (1 - p_t) and d log(p_t) / dz = 1 - p_t.
    slope = -weight * (g * _powered(wrong, g) * right * loss + _powered(wrong, g) * wrong)
    return value, {"input": slope if target == 1 else -slope}


def sigmoid_focal_loss(input: float, target: float, *, alpha: float = 0.25, gamma: float = 2.0) -> Definition:
    a = mp.mpf(alpha)
    return _of_logit(input, target, a if target == 1 else 1 - a, gamma)


def sigmoid_focal_loss_scalar_alpha(
    input: float, target: float, *, alpha: float = 1.0, gamma: float = 2.0
) -> Definition:
    return _of_logit(input, target, mp.mpf(alpha), gamma)


def binary_focal_loss(input: float, target: float, *, alpha: float = 0.25, gamma: float = 2.0) -> Definition:
    x, g, positive = mp.mpf(input), mp.mpf(gamma), target == 1
    weight = mp.mpf(alpha) if positive else 1 - mp.mpf(alpha)
    right, wrong = (x, 1 - x) if positive else (1 - x, x)
    if not right:
        return mp.inf, {"input": mp.ninf if positive else mp.inf}
    loss = -mp.log(right)
    value = weight * _powered(wrong, g) * loss
    # d/dp_t of (1 - p_t)**gamma is -gamma (1 - p_t)**(gamma - 1), whose product with log(p_t) is 0 at p_t = 1.
    first = weight * g * wrong ** (g - 1) * loss if wrong else mp.zero
    slope = -(first + weight * _powered(wrong, g) / right)
    return value, {"input": slope if positive else -slope}
