"""The definitions of the elementwise losses in mpmath, one row at a time, at the precision in force.

Floats in, the value and the gradients out; a kink gives its gradient as the pair (lowest, highest). They are
transcribed from the documentation of torch.nn and share no formula with the float64 oracles where another one exists.
Sums are taken as written, so the precision must span the inputs: 1200 bits for inputs of any magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

from reference.mp.exponential import exp

Real = Any
Definition = tuple[Real, dict[str, Any]]


def scale(weight: float | None) -> Real:
    return mp.mpf(1 if weight is None else weight)


def log(x: Real) -> Real:
    """log, with log(0) = -inf."""
    return mp.log(x) if x > 0 else mp.ninf


def term(coefficient: Real, factor: Real) -> Real:
    """coefficient * factor, with 0 * inf = 0."""
    return coefficient * factor if coefficient else mp.zero


def quotient(numerator: Real, denominator: Real) -> Real:
    """numerator / denominator for a denominator of at least 0, with 0 / 0 = 0 as in :func:`term`."""
    if denominator:
        return numerator / denominator
    return mp.sign(numerator) * mp.inf if numerator else mp.zero


def mirrored(gradient: Any) -> Any:
    return (-gradient[1], -gradient[0]) if isinstance(gradient, tuple) else -gradient


def of_difference(value: Real, slope: Any) -> Definition:
    """A loss of input - target, from its derivative in that difference."""
    return value, {"input": slope, "target": mirrored(slope)}


def mse_loss(input: float, target: float, *, weight: float | None = None) -> Definition:
    d, w = mp.mpf(input) - target, scale(weight)
    return of_difference(w * d**2, 2 * w * d)


def l1_loss(input: float, target: float, *, weight: float | None = None) -> Definition:
    d, w = mp.mpf(input) - target, scale(weight)
    return of_difference(w * abs(d), w * mp.sign(d) if d else (-w, w))


def complex_l1_loss(input: Sequence[float], target: Sequence[float], *, weight: float | None = None) -> Definition:
    d, w = [mp.mpf(x) - y for x, y in zip(input, target, strict=True)], scale(weight)
    modulus = mp.sqrt(d[0] ** 2 + d[1] ** 2)
    slope = [w * part / modulus if modulus else (-w, w) for part in d]
    return w * modulus, {"input": slope, "target": [mirrored(part) for part in slope]}


def smooth_l1_loss(input: float, target: float, *, beta: float = 1.0) -> Definition:
    if beta == 0:
        return l1_loss(input, target)
    d, b = mp.mpf(input) - target, mp.mpf(beta)
    if abs(d) < b:
        return of_difference(d**2 / (2 * b), d / b)
    return of_difference(abs(d) - b / 2, mp.sign(d))


def huber_loss(input: float, target: float, *, delta: float = 1.0, weight: float | None = None) -> Definition:
    d, limit, w = mp.mpf(input) - target, mp.mpf(delta), scale(weight)
    if abs(d) < limit:
        return of_difference(w * d**2 / 2, w * d)
    return of_difference(w * limit * (abs(d) - limit / 2), w * limit * mp.sign(d))


def poisson_nll_loss(
    input: float, target: float, *, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Definition:
    x, t = mp.mpf(input), mp.mpf(target)
    if log_input:
        value, slope, label = exp(x) - t * x, exp(x) - t, -x
    else:
        z = x + mp.mpf(eps)
        value, slope, label = x - term(t, log(z)), 1 - quotient(t, z), -log(z)
    if full and t > 1:
        value += t * mp.log(t) - t + mp.log(2 * mp.pi * t) / 2
        label += mp.log(t) + 1 / (2 * t)
    return value, {"input": slope, "target": label}


def gaussian_nll_loss(input: float, target: float, var: float, *, full: bool = False, eps: float = 1e-6) -> Definition:
    d, m = mp.mpf(input) - target, max(mp.mpf(var), mp.mpf(eps))
    value = (mp.log(m) + d**2 / m) / 2 + (mp.log(2 * mp.pi) / 2 if full else 0)
    return value, {"input": d / m, "target": -d / m, "var": (1 / m - d**2 / m**2) / 2}


def gaussian_nll_loss_clamped_gradient(
    input: float, target: float, var: float, *, full: bool = False, eps: float = 1e-6
) -> Definition:
    value, gradients = gaussian_nll_loss(input, target, var, full=full, eps=eps)
    through = gradients["var"]
    if var < eps:
        gradients["var"] = mp.zero
    elif var == eps:
        gradients["var"] = (min(through, mp.zero), max(through, mp.zero))
    return value, gradients


def gaussian_nll_loss_either_gradient(
    input: float, target: float, var: float, *, full: bool = False, eps: float = 1e-6
) -> Definition:
    """Below eps the gradient in var is that of the formula or none: everything between is admissible."""
    value, gradients = gaussian_nll_loss(input, target, var, full=full, eps=eps)
    if var <= eps:
        through = gradients["var"]
        gradients["var"] = (min(through, mp.zero), max(through, mp.zero))
    return value, gradients


def binary_cross_entropy_with_logits(
    input: float, target: float, *, weight: float | None = None, pos_weight: float | None = None
) -> Definition:
    y, w, p = mp.mpf(target), scale(weight), scale(pos_weight)
    e = exp(-mp.mpf(input))
    sigmoid, rest = 1 / (1 + e), e / (1 + e)
    value = -w * (p * y * mp.log(sigmoid) + (1 - y) * mp.log(rest))
    slope = w * ((1 - y) * sigmoid - p * y * rest)
    return value, {"input": slope, "target": w * (mp.log(rest) - p * mp.log(sigmoid))}


def binary_cross_entropy(input: float, target: float, *, weight: float | None = None) -> Definition:
    x, y, w = mp.mpf(input), mp.mpf(target), scale(weight)
    value = -w * (term(y, log(x)) + term(1 - y, log(1 - x)))
    slope = w * (quotient(1 - y, 1 - x) - quotient(y, x))
    return value, {"input": slope, "target": w * (log(1 - x) - log(x))}


def binary_cross_entropy_clamped(input: float, target: float, *, weight: float | None = None) -> Definition:
    x, y, w = mp.mpf(input), mp.mpf(target), scale(weight)
    log_x, log_rest = max(log(x), mp.mpf(-100)), max(log(1 - x), mp.mpf(-100))
    slope = binary_cross_entropy(input, target, weight=weight)[1]["input"]
    return -w * (y * log_x + (1 - y) * log_rest), {"input": slope, "target": w * (log_rest - log_x)}


def soft_margin_loss(input: float, target: float) -> Definition:
    x, y = mp.mpf(input), mp.mpf(target)
    e = exp(-y * x)
    rest = e / (1 + e)
    return mp.log(1 + e), {"input": -y * rest, "target": -x * rest}


def hinge_embedding_loss(input: float, target: float, *, margin: float = 1.0) -> Definition:
    x = mp.mpf(input)
    if target == 1:
        return x, {"input": mp.one}
    gap = mp.mpf(margin) - x
    slope = -mp.one if gap > 0 else (-mp.one, mp.zero) if gap == 0 else mp.zero
    return max(gap, mp.zero), {"input": slope}


def margin_ranking_loss(input1: float, input2: float, target: float, *, margin: float = 0.0) -> Definition:
    d, y = mp.mpf(input1) - input2, mp.mpf(target)
    gap = mp.mpf(margin) - y * d

    def slope(factor: Real) -> Any:
        if gap == 0:
            return min(factor, mp.zero), max(factor, mp.zero)
        return factor if gap > 0 else mp.zero

    return max(gap, mp.zero), {"input1": slope(-y), "input2": slope(y), "target": slope(-d)}


def kl_div(input: float, target: float, *, log_target: bool = False) -> Definition:
    x, t = mp.mpf(input), mp.mpf(target)
    if log_target:
        p = exp(t)
        return p * (t - x), {"input": -p, "target": p * (t - x + 1)}
    return term(t, log(t) - x), {"input": -t, "target": log(t) + 1 - x}
