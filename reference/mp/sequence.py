"""The definition of the CTC loss in mpmath, one sequence at a time, at the precision in force.

Floats in, the loss and its gradient in independent log-probabilities out. Twice: by every path of classes that
collapses to the target, as the loss is defined, and by the plain recursion over probabilities, which mpmath's exponents
keep from underflow. Source: Graves et al., ICML 2006; torch.nn.CTCLoss.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, product
from typing import Any

from mpmath import mp

from reference.mp.exponential import exp

Real = Any
Matrix = list[list[Any]]
Rows = Sequence[Sequence[float]]


def collapse(path: Sequence[int], blank: int) -> list[int]:
    """A path without its repetitions, and then without its blanks."""
    return [label for label, _ in groupby(path) if label != blank]


def probability(log_probability: float) -> Real:
    return exp(mp.mpf(log_probability)) if log_probability != float("-inf") else mp.zero


def loss(total: Real, through: Matrix) -> tuple[Real, dict[str, Matrix]]:
    """-log(total), and minus the share of the total that passes through each entry; nan where the total is 0."""
    if not total:
        return mp.inf, {"log_probs": [[mp.nan for _ in row] for row in through]}
    return -mp.log(total), {"log_probs": [[-entry / total for entry in row] for row in through]}


def ctc_loss_by_paths(log_probs: Rows, target: Sequence[int], *, blank: int = 0) -> tuple[Real, dict[str, Matrix]]:
    """By all C**T paths."""
    p = [[probability(e) for e in row] for row in log_probs]
    total, through = mp.zero, [[mp.zero for _ in row] for row in p]
    classes = range(len(p[0])) if p else range(0)
    for path in product(classes, repeat=len(p)):
        if collapse(path, blank) == list(target):
            weight = mp.fprod(row[c] for row, c in zip(p, path, strict=True))
            total += weight
            for t, c in enumerate(path):
                through[t][c] += weight
    return loss(total, through)


def ctc_loss(log_probs: Rows, target: Sequence[int], *, blank: int = 0) -> tuple[Real, dict[str, Matrix]]:
    """By alpha, the probability of the prefixes, and beta, that of the suffixes, both with the emission at t."""
    p = [[probability(e) for e in row] for row in log_probs]
    states = [blank]
    for label in target:
        states += [label, blank]
    steps, size = len(p), len(states)
    through = [[mp.zero for _ in row] for row in p]
    if not steps:
        return loss(mp.zero if target else mp.one, through)

    def sweep(emissions: Matrix, chain: list[int]) -> Matrix:
        reached = [[mp.zero] * size for _ in emissions]
        for t, emission in enumerate(emissions):
            for s, c in enumerate(chain):
                if t == 0:
                    into = mp.one if s < 2 else mp.zero
                else:
                    into = sum(reached[t - 1][max(s - 1, 0) : s + 1], mp.zero)
                    if s > 1 and c != blank and c != chain[s - 2]:
                        into += reached[t - 1][s - 2]
                reached[t][s] = into * emission[c]
        return reached

    alpha, beta = sweep(p, states), sweep(p[::-1], states[::-1])[::-1]
    total = sum(alpha[-1][-2:], mp.zero)
    for t in range(steps):
        for s, c in enumerate(states):
            if p[t][c]:
                through[t][c] += alpha[t][s] * beta[t][size - 1 - s] / p[t][c]
    return loss(total, through)


def padded(
    log_probs: Rows,
    targets: Sequence[int],
    input_lengths: int,
    target_lengths: int,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Real, dict[str, Matrix]]:
    """ctc_loss of what the lengths say; frames beyond have no influence, an infinite loss is 0 where that is asked."""
    value, gradients = ctc_loss(log_probs[:input_lengths], targets[:target_lengths], blank=blank)
    through = gradients["log_probs"]
    if zero_infinity and mp.isinf(value):
        value, through = mp.zero, [[mp.zero for _ in row] for row in through]
    rest = [[mp.zero for _ in row] for row in log_probs[input_lengths:]]
    return value, {"log_probs": through + rest}


def padded_logits(
    logits: Rows,
    targets: Sequence[int],
    input_lengths: int,
    target_lengths: int,
    *,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Real, dict[str, Matrix]]:
    """The same of log_softmax(logits), the gradient taken through it."""
    frames = [[mp.mpf(x) - mp.log(mp.fsum(exp(y) for y in row)) for x in row] for row in logits]
    value, gradients = padded(frames, targets, input_lengths, target_lengths, blank=blank, zero_infinity=zero_infinity)
    slopes = []
    for frame, slope in zip(frames, gradients["log_probs"], strict=True):
        total = mp.fsum(slope)
        slopes.append([g - exp(x) * total for g, x in zip(slope, frame, strict=True)])
    return value, {"logits": slopes}
