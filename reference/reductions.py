"""Reductions as small oracles: a reduced loss is the sum of c_i * v_i over the unreduced values v, with c from here."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from reference.truth import Array, Output, Truth, trailing

Arguments = Mapping[str, Any]


def total(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``sum``: every coefficient is 1. ``shape`` is the unreduced loss's own, (batch, ...)."""
    return np.ones(int(np.prod(shape)))


def mean(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``mean`` over elements: 1 / n."""
    n = int(np.prod(shape))
    with np.errstate(divide="ignore"):
        return np.full(n, np.float64(1.0) / n)


def batchmean(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``batchmean``: 1 / batch size. Source: torch.nn.KLDivLoss."""
    return np.full(int(np.prod(shape)), 1.0 / shape[0] if shape else 1.0)


def weighted_mean(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``mean`` divided by the sum of the elements' weights. Source: torch.nn.functional.mse_loss."""
    n = int(np.prod(shape))
    weight = arguments.get("weight")
    denominator = float(n) if weight is None else float(np.sum(np.broadcast_to(weight, (n,))))
    with np.errstate(divide="ignore"):
        return np.full(n, np.float64(1.0) / denominator)


def class_weighted_mean(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``mean`` over the weights of the targets that are not ignored; soft targets divide by the number of rows.

    Source: torch.nn.CrossEntropyLoss, torch.nn.NLLLoss.
    """
    n = int(np.prod(shape))
    target, weight = arguments["target"], arguments.get("weight")
    if np.ndim(target) == 2:
        denominator = float(n)
    else:
        ignored = arguments.get("ignore_index")
        kept = target[target != (-100 if ignored is None else ignored)].astype(np.int64)
        denominator = float(len(kept)) if weight is None else float(np.sum(weight[kept]))
    with np.errstate(divide="ignore"):
        return np.full(n, np.float64(1.0) / denominator)


def target_length_mean(arguments: Arguments, shape: tuple[int, ...]) -> Array:
    """``mean`` over the batch of the losses divided by their target lengths; an empty target counts as one of length 1.

    Source: torch.nn.CTCLoss; the length of 1 is that of torch.nn.functional.ctc_loss, its documentation divides by 0.
    """
    lengths = np.maximum(np.broadcast_to(arguments["target_lengths"], shape), 1).astype(np.float64)
    with np.errstate(divide="ignore"):
        mean_of_rows: Array = np.float64(1.0) / (np.ravel(lengths) * np.float64(int(np.prod(shape))))
    return mean_of_rows


def reduce(truth: Truth, coefficients: Array, shared: Container[str] = ()) -> Truth:
    """The reduced loss, value of shape (1,), gradients of the shapes they had; scales add up with the coefficients.

    Gradients of ``shared`` arguments are sums over rows already: the oracle weighs them by ``upstream=coefficients``.
    """
    size = np.abs(coefficients)
    with np.errstate(invalid="ignore", over="ignore"):
        v = truth.value
        terms = coefficients * v.exact

        def summed(scale: Array) -> Array:
            return np.asarray(np.sum(size * np.broadcast_to(scale, v.exact.shape), keepdims=True))

        value = Output(
            exact=np.sum(terms, keepdims=True),
            reference=summed(v.reference),
            accumulation=np.sum(np.abs(terms), keepdims=True) + summed(v.accumulation),
            underflow=summed(v.underflow) + 1.0,
            absolute=summed(v.absolute),
            interval=None if v.interval is None else _summed_ends(coefficients, v.interval),
            partial=_sum_partial(v),
            astray=tuple(a.each(summed) for a in v.astray),
        )
        gradients = {n: g if n in shared else _scaled(g, coefficients) for n, g in truth.gradients.items()}
        return Truth(value=value, gradients=gradients)


def _summed_ends(coefficients: Array, interval: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = (coefficients * end for end in interval)
    return np.sum(np.minimum(low, high), keepdims=True), np.sum(np.maximum(low, high), keepdims=True)


def _sum_partial(value: Output) -> tuple[Array, Array]:
    """A mean divides after the sum, so the sum of the unreduced losses is a partial sum of it."""
    whole = np.sum(np.abs(value.exact), keepdims=True)
    inner = [] if value.partial is None else [np.max(value.partial[1], initial=0.0)]
    return whole, np.max(np.stack([whole, *(np.reshape(i, (1,)) for i in inner)]), axis=0)


def _scaled(gradient: Output, coefficients: Array) -> Output:
    c = trailing(coefficients, gradient.exact.ndim)
    size = np.abs(c)
    ends = None if gradient.interval is None else (c * gradient.interval[0], c * gradient.interval[1])
    return Output(
        exact=c * gradient.exact,
        reference=size * gradient.reference,
        accumulation=size * gradient.accumulation,
        underflow=size * gradient.underflow + 1.0,
        absolute=size * gradient.absolute,
        interval=ends,
        partial=None if gradient.partial is None else (size * gradient.partial[0], size * gradient.partial[1]),
        astray=tuple(a.each(lambda scale: size * scale) for a in gradient.astray),
    )
