"""Oracles of the losses of sequences. Log-probabilities have shape (R, T, C), padded targets (R, S), lengths (R,)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.numerics import product, softmax
from reference.truth import Array, Output, Truth, output

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

LOWEST = float(np.finfo(np.float64).min)


class _Lattice(NamedTuple):
    """The target with a blank before, between and after its labels: 2 S + 1 states."""

    labels: Indices
    """Class that each state emits; (R, 2 S + 1)."""
    skip: Mask
    """The state may follow the one two before it: a label that differs from the previous one; (R, 2 S + 1)."""
    first: Indices
    last: Indices
    """Earliest and latest time at which a path may be in the state; last < first where none may."""


def _lattice(targets: Indices, input_lengths: Indices, target_lengths: Indices, blank: int) -> _Lattice:
    rows, size = targets.shape
    place = np.arange(size)
    valid = place < target_lengths[:, None]
    label = np.where(valid, targets, blank)
    repeat = np.zeros((rows, size), np.int64)
    repeat[:, 1:] = (label[:, 1:] == label[:, :-1]) & valid[:, 1:]
    # A label waits for one step per earlier label and for one more, a blank, per repetition.
    reached = place + np.cumsum(repeat, axis=1)
    needed = (target_lengths + repeat.sum(axis=1))[:, None]
    first, behind = np.zeros((2, rows, 2 * size + 1), np.int64)
    first[:, 1::2], first[:, 2::2] = reached, reached + 1
    behind[:, 1::2] = needed - 1 - reached
    behind[:, 0:-1:2] = needed - reached
    last = input_lengths[:, None] - 1 - behind
    last[:, 1::2][~valid] = -1
    last[:, 2::2][~valid] = -1
    labels = np.full((rows, 2 * size + 1), blank)
    labels[:, 1::2] = label
    skip = np.zeros((rows, 2 * size + 1), np.bool_)
    skip[:, 3::2] = repeat[:, 1:] == 0
    return _Lattice(labels, skip, first, last)


class _Posterior(NamedTuple):
    likelihood: Array
    """Log of the summed probability of all alignments; (R,)."""
    climb: Array
    """Sum over times of abs(change of the log-probability of the best prefix), prefixes that end nowhere included."""
    occupancy: Array
    """Posterior probability gamma that an alignment emits class c at time t; (R, T, C)."""
    surprise: Array
    """Sum of gamma * abs(log gamma) over the states that emit class c at time t; (R, T, C)."""


def _log_add(a: Array, b: Array, c: Array) -> Array:
    """log(exp(a) + exp(b) + exp(c)) as the largest plus log1p of the other two."""
    high, low = np.maximum(a, b), np.minimum(a, b)
    top, middle = np.maximum(high, c), np.minimum(high, c)
    base = np.maximum(top, LOWEST)
    total: Array = top + np.log1p(np.exp(low - base) + np.exp(middle - base))
    return total


def _highest(x: Array) -> Array:
    """The log-probability of the most probable state where that is finite, else 0."""
    top = x.max(axis=-1)
    return np.where(np.isfinite(top), top, 0.0)


def _forward(emitted: Array, bar: Array) -> tuple[Array, Array]:
    """log alpha, emissions up to t included, less its maximum at every t; the maxima; (T, R, states), (R, T)."""
    times, rows, states = emitted.shape
    alpha, tops = np.full((times, rows, 2 + states), -np.inf), np.zeros((rows, times))
    before = np.full((rows, states), -np.inf)
    before[:, :2] = 0.0
    for t in range(times):
        here = before + emitted[t]
        tops[:, t] = _highest(here)
        a = alpha[t]
        np.subtract(here, tops[:, t, None], out=a[:, 2:])
        before = _log_add(a[:, 2:], a[:, 1:-1], a[:, :-2] + bar)
    return alpha[:, :, 2:], tops


def _backward(emitted: Array, wall: Array, bar: Array, input_lengths: Indices) -> Array:
    """log beta, emissions after t only, less its maximum at every t; (T, R, states)."""
    beta, after = np.empty_like(emitted), np.full_like(emitted[0], -np.inf)
    onward = np.full((emitted.shape[1], emitted.shape[2] + 2), -np.inf)
    jump = onward.copy()
    for t in range(len(emitted) - 1, -1, -1):
        # A state that is passable at the last time is a final one.
        tail = np.where((input_lengths == t + 1)[:, None], 0.0, after) + wall[t]
        np.subtract(tail, _highest(tail)[:, None], out=beta[t])
        np.add(beta[t], emitted[t], out=onward[:, :-2])
        np.add(onward[:, :-2], bar, out=jump[:, :-2])
        after = _log_add(onward[:, :-2], onward[:, 1:-1], jump[:, 2:])
    return beta


def _posterior(log_probs: Array, lattice: _Lattice, input_lengths: Indices, target_lengths: Indices) -> _Posterior:
    rows, times, _ = log_probs.shape
    states = lattice.labels.shape[1]
    time = np.arange(times)[:, None, None]
    passable = (time >= lattice.first) & (time <= lattice.last)
    labels = np.broadcast_to(lattice.labels[:, None], (rows, times, states))
    emitted = np.moveaxis(np.take_along_axis(log_probs, labels, axis=2), 1, 0)
    emitted, wall = np.where(passable, emitted, -np.inf), np.where(passable, 0.0, -np.inf)
    bar = np.where(lattice.skip, 0.0, -np.inf)
    alpha, tops = _forward(emitted, bar)
    joint = alpha + _backward(emitted, wall, bar, input_lengths)
    # Normalised at every time: gamma keeps its digits however long the sequence is.
    joint -= joint.max(axis=2, keepdims=True)
    weight = np.exp(joint)
    total = weight.sum(axis=2, keepdims=True)
    gamma = np.where(passable, weight / total, 0.0)
    bits = product(gamma, np.abs(joint - np.log(total)))
    occupancy, surprise = np.zeros_like(log_probs), np.zeros_like(log_probs)
    row = np.arange(rows)
    for s in range(states):
        occupancy[row, :, lattice.labels[:, s]] += gamma[:, :, s].T
        surprise[row, :, lattice.labels[:, s]] += bits[:, :, s].T
    final = alpha[np.maximum(input_lengths - 1, 0), row]
    blank = final[row, 2 * target_lengths]
    label = np.where(target_lengths > 0, final[row, np.maximum(2 * target_lengths - 1, 0)], -np.inf)
    ending = _log_add(blank, label, np.full(rows, -np.inf))
    return _Posterior(tops.sum(axis=1) + ending, np.abs(tops).sum(axis=1), occupancy, surprise)


def ctc_loss(
    log_probs: Array,
    targets: Indices,
    input_lengths: Indices,
    target_lengths: Indices,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Truth:
    """-log of the summed probability of the alignments that collapse to the target. Source: torch.nn.CTCLoss.

    Graves et al., ICML 2006, in the log domain. At every time alpha and beta are taken relative to their largest state,
    so that sums are of log1p form and no state carries the length of the sequence. The gradient is that of the loss as
    a function of independent entries, minus the posterior occupancy gamma; torch returns
    :func:`ctc_loss_raw_gradient`. Entries that no alignment of the given lengths passes do not matter, whatever they
    hold. An infinite loss has no gradient, nan; ``zero_infinity`` makes both 0.
    """
    rows, times, _ = log_probs.shape
    with np.errstate(all="ignore"):
        if times:
            lattice = _lattice(targets, input_lengths, target_lengths, blank)
            likelihood, climb, gamma, surprise = _posterior(log_probs, lattice, input_lengths, target_lengths)
        else:
            likelihood = climb = np.zeros(rows)
            gamma = surprise = np.zeros_like(log_probs)
        nothing = np.where(target_lengths == 0, 0.0, np.inf)
        value = np.where(input_lengths == 0, nothing, 0.0 - likelihood)
        infinite = np.isinf(value)
        size = np.where(infinite, 0.0, np.abs(value) + product(gamma, np.abs(log_probs)).sum(axis=(1, 2)))
        length = input_lengths.astype(np.float64)
        root = np.sqrt(np.maximum(length, 1.0))
        undefined = 0.0 if zero_infinity else np.nan
        inside = (np.arange(times) < input_lengths[:, None])[:, :, None]
        lost = (infinite[:, None, None] & inside) | np.zeros_like(gamma, np.bool_)
        slope = np.where(lost, undefined, np.where(inside, 0.0 - gamma, 0.0))
        # gamma is the exponential of a sum of logarithms as large as the loss and the log-probabilities behind it.
        spread = gamma * size[:, None, None] + surprise
        spread = np.where(lost | ~inside, 0.0, spread)
        held = np.where(infinite & zero_infinity, 0.0, value)
        gradient = output(
            slope,
            reference=np.abs(slope) + spread,
            accumulation=root[:, None, None] * spread,
            absolute=1.0,
            underflow=1.0 + length[:, None, None],
        )
        loss = output(
            held,
            reference=np.where(infinite, np.abs(held), size),
            accumulation=np.where(infinite, 0.0, root * size + climb),
            absolute=length + size,
            underflow=1.0 + length,
        )
    return Truth(value=loss, gradients={"log_probs": gradient})


def ctc_loss_raw_gradient(
    log_probs: Array,
    targets: Indices,
    input_lengths: Indices,
    target_lengths: Indices,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Output:
    """exp(log_probs) - gamma within the input length, else 0: what torch returns for the gradient in log_probs.

    It is the gradient in the scores x of log_probs = log_softmax(x), which the backward of log_softmax leaves as it is.
    Source: Graves et al., equation 16; https://github.com/pytorch/pytorch/issues/52241.
    """
    truth = ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=blank)
    gradient = truth.gradients["log_probs"]
    inside = np.arange(log_probs.shape[1]) < input_lengths[:, None]
    live = (inside & ~(np.isinf(truth.value.exact) & zero_infinity)[:, None])[:, :, None]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        probability = np.where(live, np.exp(log_probs), 0.0)
        return output(
            np.where(live, probability + gradient.exact, 0.0),
            reference=probability + gradient.reference,
            accumulation=gradient.accumulation,
            absolute=1.0 + np.maximum(1.0, probability),
            underflow=1.0 + gradient.underflow,
        )


def _among_labels(logits: Array, targets: Indices, target_lengths: Indices, blank: int) -> Array:
    """Logits less the largest that any alignment can use: occupancies do not change, and keep the differences that
    log_softmax loses beside a larger logit of another class."""
    rows, _, classes = logits.shape
    used = np.zeros((rows, classes), np.bool_)
    used[:, blank] = True
    row, place = np.nonzero(np.arange(targets.shape[1]) < target_lengths[:, None])
    used[row, targets[row, place]] = True
    top = np.where(used[:, None], logits, -np.inf).max(axis=2, keepdims=True)
    return logits - np.where(np.isfinite(top), top, 0.0)


def ctc_loss_of_logits(
    logits: Array,
    targets: Indices,
    input_lengths: Indices,
    target_lengths: Indices,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> Truth:
    """ctc_loss of log_softmax(logits), whose gradient is p - gamma, :func:`ctc_loss_raw_gradient`.

    A log-probability errs by its own rounding and by that of the sum of exponentials, spread over the gaps; every step
    of an alignment collects one. Source: torch.nn.CTCLoss with torch.nn.functional.log_softmax.
    """
    given = (targets, input_lengths, target_lengths)
    with np.errstate(all="ignore"):
        s = softmax(logits)
        log_probs = 0.0 - (s.gap + s.log_sum[..., None])
        truth = ctc_loss(log_probs, *given, blank=blank, zero_infinity=zero_infinity)
        raw = ctc_loss_raw_gradient(log_probs, *given, blank=blank, zero_infinity=zero_infinity)
        relative = _among_labels(logits, targets, target_lengths, blank)
        sharp = ctc_loss(relative, *given, blank=blank)
        inside = np.arange(logits.shape[1]) < input_lengths[:, None]
        live = (inside & ~(np.isinf(sharp.value.exact) & zero_infinity)[:, None])[..., None]
        slope = np.where(live, s.probability + sharp.gradients["log_probs"].exact, 0.0)
        error = np.where(inside, s.spread + s.log_sum, 0.0).sum(axis=1)
        error = np.where(np.isfinite(truth.value.exact), np.nan_to_num(error), 0.0)
        growth = np.where(
            inside[..., None], s.probability * (1.0 + np.nan_to_num(s.gap, posinf=0.0) + s.spread[..., None]), 0.0
        )
        gamma = np.abs(slope - np.where(inside[..., None], s.probability, 0.0))
        value = output(
            truth.value.exact,
            reference=truth.value.reference + error,
            accumulation=truth.value.accumulation + error,
            absolute=truth.value.absolute + error,
            underflow=truth.value.underflow,
        )
        # The backward of log_softmax subtracts p times the sum of the frame, so an error of gamma reaches every class.
        own = np.nan_to_num(raw.reference) + np.nan_to_num(gamma) * error[:, None, None]
        frame = np.where(inside[..., None], s.probability, 0.0) * own.sum(axis=2, keepdims=True)
        gradient = output(
            slope,
            reference=own + np.nan_to_num(growth) + np.nan_to_num(frame),
            accumulation=raw.accumulation + np.nan_to_num(growth),
            absolute=2.0,
            underflow=raw.underflow,
        )
    return Truth(value=value, gradients={"logits": gradient})
