"""Oracles of the losses over classes. Scores have shape (R, C), class indices (R,), class weights (C,)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reference.numerics import product, softmax
from reference.truth import Array, Output, Truth, output

Indices = npt.NDArray[np.int64]
LARGEST = float(np.finfo(np.float64).max)


def class_coefficients(
    target: Array | Indices, classes: int, weight: Array | None, ignore_index: int, label_smoothing: float
) -> Array:
    """a with loss = sum over c of a_c * (logsumexp(x) - x_c), shape (R, C); zero in ignored rows."""
    w = np.ones(classes) if weight is None else weight
    if np.ndim(target) == 2:
        soft = np.asarray(target * (1.0 - label_smoothing) + label_smoothing / classes, np.float64)
        return product(soft, w)
    kept = target != ignore_index
    one_hot = np.zeros((len(target), classes))
    one_hot[np.flatnonzero(kept), target[kept].astype(np.int64)] = 1.0
    return product((one_hot * (1.0 - label_smoothing) + label_smoothing / classes) * kept[:, None], w)


FEW_CLASSES = 12
"""Sums of no more terms than this lose at most two ulp."""


def sum_of_others(a: Array) -> Array:
    """Sum over j != c of a_j for every c of the last axis, without the subtraction that total - a_c would cancel in."""
    # Extended sums where the machine has them: those of float64 one after the other lose an ulp for every few classes.
    wide = a.astype(np.longdouble if a.shape[-1] > FEW_CLASSES else np.float64)
    result = np.zeros_like(wide)
    result[..., 1:] += np.cumsum(wide[..., :-1], axis=-1)
    result[..., :-1] += np.cumsum(wide[..., :0:-1], axis=-1)[..., ::-1]
    return result.astype(np.float64, copy=False)


def times_gap(coefficient: Array, input: Array, gap: Array) -> Array:
    """coefficient * (max(x) - x_c), by halves where the difference overflows though the product need not."""
    terms = product(coefficient, gap)
    if np.isinf(gap).any():
        half = 0.5 * input.max(axis=-1, keepdims=True) - 0.5 * input
        terms = np.where(np.isinf(gap), 2.0 * product(coefficient, half), terms)
    return terms


def _largest_partial(
    log_p: Array, a: Array, target: Array | Indices, weight: Array | None, label_smoothing: float
) -> Array:
    """The largest of -log p_c, its product with the weight, and their sum, before targets and smoothing shrink it.

    ``log_p`` is -log p_c, 0 for the classes that are masked.
    """
    part = log_p * (1.0 if weight is None else np.maximum(weight, 1.0))
    if np.ndim(target) == 2:
        largest: Array = part.max(axis=-1)
    elif label_smoothing:
        largest = part.sum(axis=-1) * (a != 0.0).any(axis=-1)
    else:
        largest = np.where(a == 0.0, 0.0, part).max(axis=-1)
    return largest


def cross_entropy(
    input: Array,
    target: Array | Indices,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Truth:
    """Sum over classes c of a_c (logsumexp(x) - x_c), a = weight * smoothed target. Source: torch.nn.CrossEntropyLoss.

    logsumexp(x) - x_c = (m - x_c) + log1p(sum over j != top of exp(x_j - m)) with m = max(x): both terms are
    non-negative, so a confident row keeps its digits. The gradient p_j sum(a) - a_j is taken as
    p_j sum_{c != j} a_c - a_j (1 - p_j), with 1 - p_j as the sum of the other probabilities.
    Running error of the shifted form: Blanchard, Higham and Higham, IMA J. Numer. Anal. 41 (2021), section 4.
    """
    s = softmax(input)
    a = class_coefficients(target, input.shape[-1], weight, ignore_index, label_smoothing)
    size = np.abs(a)
    total = size.sum(axis=-1)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        spread = s.spread[:, None]
        gaps = times_gap(a, input, s.gap)
        value = gaps.sum(axis=-1) + product(a.sum(axis=-1), s.log_sum)
        finite = np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=-1)
        distance = np.abs(gaps).sum(axis=-1)
        terms = distance + product(total, s.log_sum)
        log_p = np.where(np.isneginf(input), 0.0, s.gap + s.log_sum[:, None])
        partial = None
        if weight is not None or label_smoothing or np.ndim(target) == 2:
            largest = _largest_partial(log_p, a, target, weight, label_smoothing)
            partial = (np.zeros_like(largest), largest)
        products = total
        if np.ndim(target) == 2 and weight is not None:
            # The product of log p with a probability may leave the range before the weight comes to it.
            products = total + np.abs(weight).sum()
        of_value = output(
            value,
            reference=np.minimum(terms + distance + product(total, s.spread), LARGEST),
            accumulation=terms,
            absolute=total * (1.0 + finite),
            underflow=1.0 + products,
            partial=partial,
        )
        pull, push = product(sum_of_others(a), s.probability), product(a, s.complement)
        # exp(x_j - m) carries the rounding of its argument: a relative error of u * (1 + gap + spread), and so of the
        # sum of the others, 1 - p_j, an error of u * (spread + (1 - p_j)(1 + spread)).
        growth = 1.0 + np.where(np.isfinite(s.gap), s.gap, 0.0) + spread
        gradients: dict[str, Output] = {
            "input": output(
                pull - push,
                reference=product(np.abs(pull), growth) + product(size, spread + s.complement * (1.0 + spread)),
                accumulation=np.abs(pull) + np.abs(push),
                absolute=np.broadcast_to(2.0 * total[:, None], input.shape),
                underflow=1.0 + total[:, None],
            )
        }
        if np.ndim(target) == 2:
            w = (1.0 - label_smoothing) * (np.ones_like(input) if weight is None else weight + np.zeros_like(input))
            gap, log_sum = times_gap(w, input, s.gap), product(w, s.log_sum[:, None])
            largest = log_p * (1.0 if weight is None else np.maximum(weight, 1.0))
            gradients["target"] = output(
                gap + log_sum,
                reference=np.minimum(2.0 * gap + log_sum + product(w, spread), LARGEST),
                accumulation=gap + log_sum,
                absolute=w * (1.0 + finite[:, None]),
                underflow=1.0 + w,
                partial=(np.zeros_like(largest), largest),
            )
    return Truth(value=of_value, gradients=gradients)


def class_balanced_cross_entropy(
    input: Array, target: Indices, samples_per_class: Indices, *, beta: float = 0.999
) -> Truth:
    """(1 - beta) / (1 - beta**n_y) times the cross-entropy, n_y samples of the class of the target.

    Source: Cui, Jia, Lin, Song and Belongie, Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    equations 6 and 10. 1 - beta**n is -expm1(n log(beta)), which keeps the digits of small n.
    """
    with np.errstate(divide="ignore"):
        effective = -np.expm1(samples_per_class * np.log(beta))
    return cross_entropy(input, target, weight=(1.0 - beta) / effective)


def nll_loss(input: Array, target: Indices, *, weight: Array | None = None, ignore_index: int = -100) -> Truth:
    """-weight[y] * x[y]; zero in ignored rows. Source: torch.nn.NLLLoss.

    One product, of the target's score alone: what the other scores hold does not matter.
    """
    rows = np.arange(len(target))
    kept = target != ignore_index
    y = np.where(kept, target, 0).astype(np.int64)
    w = np.where(kept, 1.0 if weight is None else weight[y], 0.0)
    score = input[rows, y]
    slope = np.zeros_like(input)
    slope[rows, y] = -w
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return Truth(
            value=output(-product(w, score), absolute=product(w, np.abs(score)), underflow=1.0),
            gradients={"input": output(slope, absolute=np.broadcast_to(w[:, None], input.shape))},
        )
