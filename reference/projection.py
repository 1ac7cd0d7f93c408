"""Oracles of the losses that hold their own projection to the classes. Inputs have shape (R, D), one loss a row.

Matrices are shared by the rows: their gradient is the sum over rows of upstream[r] * d loss[r].
A matrix product is charged its running error, each entry sum of abs(x_i w_i), carried through what follows it: the
loss and its gradient in the logits z move by abs(dL/dz) and abs(d2L/dz2) times the error of z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from reference.classification import Indices, class_coefficients, cross_entropy, sum_of_others
from reference.numerics import product, softmax, sum_over_rows
from reference.truth import Array, Output, Truth

Tail = Sequence[tuple[Array, Array]]


class Computed(NamedTuple):
    """An intermediate matrix with the running error of the products it came from."""

    exact: Array
    rounding: Array
    """Error scale of entries rounded to the dtype under test."""
    accumulated: Array
    """Error scale of sums carried in the accumulator."""
    reach: Array
    """Bound on the partial sums of all products that a row went through; (R,)."""


def given(x: Array) -> Computed:
    return Computed(x, np.zeros_like(x), np.zeros_like(x), np.zeros(len(x)))


def linear(x: Computed, weight: Array, bias: Array | None = None) -> Computed:
    """x @ weight.T + bias. Source: torch.nn.Linear."""
    size = np.abs(weight).T
    z, terms = x.exact @ weight.T, np.abs(x.exact) @ size
    accumulated = terms + x.accumulated @ size
    if bias is not None:
        z, terms, accumulated = z + bias, terms + np.abs(bias), accumulated + np.abs(bias)
    reach = np.fmax(x.reach, np.max(terms, axis=1, initial=0.0))
    return Computed(z, x.rounding @ size + np.abs(z), accumulated, reach)


def _widened(output: Output, reach: Array) -> Output:
    """``output`` with the largest partial sum raised to ``reach``, which broadcasts against it."""
    high = np.broadcast_to(reach, output.exact.shape)
    if output.partial is not None:
        high = np.fmax(high, output.partial[1])
    return replace(output, partial=(high, high))


def _finite(scale: Array) -> Array:
    return np.where(np.isfinite(scale), scale, 0.0)


CRUDE = 64.0
"""Ratio of the error scale of two logits to their gap from which rounding may close the gap."""


def _reachable(probability: Array, gap: Array, error: Array) -> Array:
    """Probabilities as condition numbers, at logits too crude to tell the largest from the next as chords.

    exp(d - gap) - exp(-gap) is convex in d, so up to d = gap it is below d (1 - exp(-gap)) / gap: of first order, but
    true beyond the reach of the derivative exp(-gap).
    """
    top = np.argmin(np.where(np.isnan(gap), np.inf, gap), axis=1)[:, None]
    both = error + np.take_along_axis(error, top, axis=1)
    with np.errstate(divide="ignore"):
        chord = np.where(gap > 0.0, -np.expm1(-gap) / gap, 0.0)
    return np.where(both >= CRUDE * gap, np.maximum(probability, chord), probability)


def _over_logits(
    z: Computed,
    target: Array | Indices,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Truth:
    """The cross-entropy of computed logits, its scales with the error of the logits added.

    The Hessian sum(a) p_j (1[j = k] - p_k) is positive on its diagonal and negative elsewhere.
    """
    classes = z.exact.shape[1]
    truth = cross_entropy(z.exact, target, weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing)
    s = softmax(z.exact)
    slope, v = truth.gradients["input"], truth.value
    a = class_coefficients(target, classes, weight, ignore_index, label_smoothing)
    total = np.abs(a).sum(axis=1, keepdims=True)
    rounding, accumulated = _finite(z.rounding), _finite(z.accumulated)
    p = _reachable(s.probability, s.gap, rounding + accumulated)
    raised = p - s.probability
    complement = np.minimum(s.complement + sum_of_others(raised), 1.0)
    size = np.abs(slope.exact) + product(total, raised + sum_of_others(raised))

    def log_probability(error: Array) -> Array:
        """Error of every logsumexp(z) - z_c."""
        return product(complement, error) + sum_of_others(product(p, error))

    def of_value(error: Array) -> Array:
        moved: Array = product(size, error).sum(axis=1)
        return moved

    def of_slope(error: Array) -> Array:
        return product(total, product(p, log_probability(error)))

    gradients = {
        "input": replace(
            slope,
            reference=slope.reference + of_slope(rounding),
            accumulation=slope.accumulation + of_slope(accumulated),
        )
    }
    if np.ndim(target) == 2:
        soft = truth.gradients["target"]
        scale = (1.0 - label_smoothing) * (np.ones(classes) if weight is None else weight)
        gradients["target"] = replace(
            soft,
            reference=soft.reference + scale * log_probability(rounding),
            accumulation=soft.accumulation + scale * log_probability(accumulated),
        )
    value = replace(
        v,
        reference=v.reference + of_value(rounding),
        accumulation=v.accumulation + of_value(accumulated),
        underflow=v.underflow + np.abs(slope.exact).sum(axis=1),
    )
    return Truth(
        value=_widened(value, z.reach),
        gradients={name: _widened(g, z.reach[:, None]) for name, g in gradients.items()},
    )


def _reach(slope: Output) -> Array:
    """The largest partial sum on the way to a row of the gradient in the logits; (R,)."""
    assert slope.partial is not None
    return np.asarray(np.max(slope.partial[1], axis=1, initial=0.0))


def _full(scale: Array, slope: Output) -> Array:
    return np.broadcast_to(scale, slope.exact.shape)


def _to_input(slope: Output, weight: Array) -> Output:
    """The gradient in x of a loss of x @ weight.T, from its gradient in that product."""
    size = np.abs(weight)
    entries = np.abs(slope.exact)
    high = np.fmax(_reach(slope)[:, None], entries @ size)
    return Output(
        exact=slope.exact @ weight,
        reference=(_full(slope.reference, slope) + entries) @ size,
        accumulation=(_full(slope.accumulation, slope) + entries) @ size,
        underflow=_full(slope.underflow, slope) @ size + 1.0,
        absolute=_full(slope.absolute, slope) @ size,
        partial=(high, high),
    )


def _to_weight(slope: Output, x: Computed, upstream: Array) -> Output:
    """The gradient in weight of a loss of x @ weight.T, summed over rows."""
    size, weighted = np.abs(x.exact), np.abs(upstream)[:, None]
    entries = weighted * np.abs(slope.exact)

    def carried(scale: Array) -> Array:
        summed: Array = (weighted * _full(scale, slope)).T @ size
        return summed

    # A row whose logits leave the range spoils the sum over rows.
    high = np.fmax(np.max(_reach(slope), initial=0.0), entries.T @ size)
    return Output(
        exact=sum_over_rows((upstream[:, None] * slope.exact)[:, :, None] * x.exact[:, None, :]),
        reference=carried(slope.reference) + entries.T @ (size + x.rounding),
        accumulation=carried(slope.accumulation) + entries.T @ (size + x.accumulated),
        underflow=carried(slope.underflow) + 1.0,
        absolute=carried(slope.absolute),
        partial=(high, high),
    )


def _to_bias(slope: Output, upstream: Array) -> Output:
    weighted = upstream[:, None]

    def carried(scale: Array) -> Array:
        summed: Array = (np.abs(weighted) * _full(scale, slope)).sum(axis=0)
        return summed

    high = np.full(slope.exact.shape[1], np.max(_reach(slope), initial=0.0))
    return Output(
        exact=sum_over_rows(weighted * slope.exact),
        reference=carried(slope.reference),
        accumulation=carried(slope.accumulation) + carried(np.abs(slope.exact)),
        underflow=carried(slope.underflow) + 1.0,
        absolute=carried(slope.absolute),
        partial=(high, high),
    )


def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Array | Indices,
    *,
    linear_bias: Array | None = None,
    weight: Array | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    upstream: Array | None = None,
) -> Truth:
    """cross_entropy(input @ linear_weight.T + linear_bias, target). Source: torch.nn.functional.linear_cross_entropy.

    ``linear_weight`` has shape (C, D), ``linear_bias`` (C,); an ``ignore_index`` of None is -100.
    """
    ignored = -100 if ignore_index is None else ignore_index
    scale = np.ones(len(input)) if upstream is None else upstream
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # What an ignored row holds must not reach the products that all rows share.
        left_out = target == ignored if np.ndim(target) == 1 else np.zeros(len(input), np.bool_)
        x = given(np.where(left_out[:, None], 0.0, input))
        z = linear(x, linear_weight, linear_bias)._replace(reach=linear(given(input), linear_weight, linear_bias).reach)
        truth = _over_logits(z, target, weight=weight, ignore_index=ignored, label_smoothing=label_smoothing)
        slope = truth.gradients["input"]
        gradients = {
            **truth.gradients,
            "input": _to_input(slope, linear_weight),
            "linear_weight": _to_weight(slope, x, scale),
        }
        if linear_bias is not None:
            gradients["linear_bias"] = _to_bias(slope, scale)
    return Truth(value=truth.value, gradients=gradients)


def _plus(base: Output, rows: Indices, part: Output) -> Output:
    """``base`` with ``part`` added at some of its rows."""

    def added(ours: Array, theirs: Array) -> Array:
        result = np.array(np.broadcast_to(ours, base.exact.shape))
        result[rows] += theirs
        return result

    assert base.partial is not None
    assert part.partial is not None
    high = np.array(base.partial[1])
    high[rows] = np.fmax(high[rows], part.partial[1])
    return Output(
        exact=added(base.exact, part.exact),
        reference=added(base.reference, part.reference),
        accumulation=added(base.accumulation, part.accumulation),
        underflow=added(base.underflow, part.underflow),
        absolute=added(base.absolute, part.absolute),
        partial=(high, high),
    )


def adaptive_log_softmax(
    input: Array,
    target: Indices,
    *,
    cutoffs: Sequence[int],
    head_weight: Array,
    head_bias: Array | None = None,
    tail: Tail,
    upstream: Array | None = None,
) -> Truth:
    """-log p[y], where p is that of the head, or of a cluster in the head times that of y inside the cluster.

    ``cutoffs`` are the constructor's, without the number of classes; ``tail`` holds (projection, output) of each
    cluster. Both logarithms are cross-entropies, so they add without cancelling. Gradients are named ``input``,
    ``head_weight``, ``head_bias`` and ``tail.i.0``, ``tail.i.1``. Source: torch.nn.AdaptiveLogSoftmaxWithLoss; Grave et
    al., Efficient softmax approximation for GPUs, ICML 2017.
    """
    scale = np.ones(len(input)) if upstream is None else upstream
    bucket = np.searchsorted(np.asarray(cutoffs), target, side="right")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        x = given(input)
        head = _over_logits(
            linear(x, head_weight, head_bias), np.where(bucket == 0, target, cutoffs[0] + bucket - 1), ignore_index=-1
        )
        value, slope = head.value, head.gradients["input"]
        to_input = _to_input(slope, head_weight)
        gradients = {"head_weight": _to_weight(slope, x, scale)}
        if head_bias is not None:
            gradients["head_bias"] = _to_bias(slope, scale)
        for i, (projection, out) in enumerate(tail):
            rows = np.flatnonzero(bucket == i + 1)
            inside = given(input[rows])
            hidden = linear(inside, projection)
            cluster = _over_logits(linear(hidden, out), target[rows] - cutoffs[i], ignore_index=-1)
            slope = cluster.gradients["input"]
            to_hidden = _to_input(slope, out)
            gradients[f"tail.{i}.0"] = _to_weight(to_hidden, inside, scale[rows])
            gradients[f"tail.{i}.1"] = _to_weight(slope, hidden, scale[rows])
            value = _plus(value, rows, cluster.value)
            to_input = _plus(to_input, rows, _to_input(to_hidden, projection))
    return Truth(value=value, gradients={"input": to_input, **gradients})


def adaptive_log_prob(input: Array, *, head_weight: Array, head_bias: Array | None = None, tail: Tail) -> Array:
    """Log-probabilities of all classes, shape (R, classes). Source: torch.nn.AdaptiveLogSoftmaxWithLoss.log_prob."""

    def log_softmax(logits: Array) -> Array:
        s = softmax(logits)
        return -(s.gap + s.log_sum[:, None])

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        head = log_softmax(linear(given(input), head_weight, head_bias).exact)
        shortlist = head.shape[1] - len(tail)
        parts = [head[:, :shortlist]]
        for i, (projection, out) in enumerate(tail):
            inside = log_softmax(linear(linear(given(input), projection), out).exact)
            parts.append(head[:, shortlist + i, None] + inside)
        return np.concatenate(parts, axis=1)


def adaptive_predict(input: Array, *, head_weight: Array, head_bias: Array | None = None, tail: Tail) -> Indices:
    """The most probable class, the first of several. Source: torch.nn.AdaptiveLogSoftmaxWithLoss.predict."""
    log_prob = adaptive_log_prob(input, head_weight=head_weight, head_bias=head_bias, tail=tail)
    best: Indices = np.argmax(log_prob, axis=1)
    return best
