"""The losses over classes in arbitrary precision, one row at a time, as their documentation defines them.

Nothing here is arranged against cancellation: the caller sets a working precision that pays for it. Arguments are
floats and lists of floats; a loss comes with its gradients by argument, a gradient with a kink as (lowest, highest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp, mpf

from reference.mp.exponential import exp

Row = Sequence[Any]
Matrix = Sequence[Row]
Gradients = dict[str, Any]


def softmax(input: Row) -> list[Any]:
    """exp(x_c) / sum of exp(x)."""
    powers = [exp(x) for x in input]
    total = mp.fsum(powers)
    return [power / total for power in powers]


def cross_entropy(
    input: Row,
    target: int | Row,
    *,
    weight: Row | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Any, Gradients]:
    """-sum of w_c y_c log softmax(x)_c, y mixed with the uniform distribution; 0 for the ignored index."""
    classes = len(input)
    w = [mpf(1)] * classes if weight is None else [mpf(v) for v in weight]
    soft = not isinstance(target, int)
    if not soft and target == ignore_index:
        return mpf(0), {"input": [mpf(0)] * classes}
    y = [mpf(v) for v in target] if not isinstance(target, int) else [mpf(c == target) for c in range(classes)]
    epsilon = mpf(label_smoothing)
    a = [w[c] * ((1 - epsilon) * y[c] + epsilon / classes) for c in range(classes)]
    p = softmax(input)
    value = -mp.fsum(a[c] * mp.log(p[c]) for c in range(classes) if a[c] != 0)
    gradients: Gradients = {"input": [p[c] * mp.fsum(a) - a[c] for c in range(classes)]}
    if soft:
        factors = [(1 - epsilon) * v for v in w]
        gradients["target"] = [-f * mp.log(q) if f != 0 else mpf(0) for f, q in zip(factors, p, strict=True)]
    return value, gradients


def class_balanced_cross_entropy(
    input: Row, target: int, samples_per_class: Sequence[int], *, beta: float = 0.999
) -> tuple[Any, Gradients]:
    """1 / E_n of the cross-entropy, with the effective number E_n = (1 - beta**n) / (1 - beta) of n samples."""
    b, n = mpf(beta), int(samples_per_class[target])
    effective = (1 - b**n) / (1 - b)
    value, gradients = cross_entropy(input, target)
    return value / effective, {"input": [g / effective for g in gradients["input"]]}


def nll_loss(input: Row, target: int, *, weight: Row | None = None, ignore_index: int = -100) -> tuple[Any, Gradients]:
    """-w_y x_y; 0 for the ignored index."""
    gradient = [mpf(0)] * len(input)
    if target == ignore_index:
        return mpf(0), {"input": gradient}
    w = mpf(1) if weight is None else mpf(weight[target])
    gradient[target] = -w
    return -w * mpf(input[target]) if w != 0 else mpf(0), {"input": gradient}


def _hinges(input: Row, pairs: Sequence[tuple[int, int]], margin: float, p: int, weight: Any) -> tuple[Any, Gradients]:
    """weight / C * sum over pairs (y, i) of max(0, margin - x_y + x_i)**p, its gradient as the sum of the intervals."""
    classes = len(input)
    value, ends = mpf(0), [[mpf(0), mpf(0)] for _ in range(classes)]
    for y, i in pairs:
        h = mpf(margin) - mpf(input[y]) + mpf(input[i])
        value += max(mpf(0), h) ** p
        lowest, highest = (mpf(h > 0), mpf(h >= 0)) if p == 1 else (2 * max(mpf(0), h),) * 2
        ends[i][0] += lowest
        ends[i][1] += highest
        ends[y][0] -= highest
        ends[y][1] -= lowest
    factor = mpf(weight) / classes
    return factor * value, {"input": [(factor * low, factor * high) for low, high in ends]}


def multi_margin_loss(
    input: Row, target: int, *, p: int = 1, margin: float = 1.0, weight: Row | None = None
) -> tuple[Any, Gradients]:
    """sum over i != y of w_y max(0, margin - x_y + x_i)**p / C."""
    pairs = [(target, i) for i in range(len(input)) if i != target]
    return _hinges(input, pairs, margin, p, 1 if weight is None else weight[target])


def multilabel_margin_loss(input: Row, target: Sequence[int]) -> tuple[Any, Gradients]:
    """sum over targets y_j in front of the first -1 and other classes i of max(0, 1 - (x_yj - x_i)) / C."""
    front: list[int] = []
    for label in target:
        if label < 0:
            break
        front.append(label)
    pairs = [(y, i) for y in front for i in range(len(input)) if i not in front]
    return _hinges(input, pairs, 1.0, 1, 1)


def multilabel_soft_margin_loss(input: Row, target: Row, *, weight: Row | None = None) -> tuple[Any, Gradients]:
    """-1/C sum of w_i (y_i log(1 / (1 + exp(-x_i))) + (1 - y_i) log(exp(-x_i) / (1 + exp(-x_i))))."""
    classes = len(input)
    w = [mpf(1)] * classes if weight is None else [mpf(v) for v in weight]
    value, by_input, by_target = mpf(0), [], []
    for i in range(classes):
        y, e = mpf(target[i]), exp(-mpf(input[i]))
        sigma, other = 1 / (1 + e), e / (1 + e)
        value -= w[i] / classes * (y * mp.log(sigma) + (1 - y) * mp.log(other))
        by_input.append(w[i] / classes * ((1 - y) * sigma - y * other))
        by_target.append(-w[i] / classes * (mp.log(sigma) - mp.log(other)))
    return value, {"input": by_input, "target": by_target}


def _times(matrix: Matrix, x: Row) -> list[Any]:
    return [mp.fdot(zip(map(mpf, row), map(mpf, x), strict=True)) for row in matrix]


def _back(matrix: Matrix, slope: Row, width: int) -> list[Any]:
    return [mp.fsum(mpf(row[k]) * g for row, g in zip(matrix, slope, strict=True)) for k in range(width)]


def _outer(slope: Row, x: Row) -> list[list[Any]]:
    return [[g * mpf(v) for v in x] for g in slope]


def linear_cross_entropy(
    input: Row,
    linear_weight: Matrix,
    target: int | Row,
    *,
    linear_bias: Row | None = None,
    weight: Row | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Any, Gradients]:
    """cross_entropy(W x + b, target); the gradients of the matrices are this row's share."""
    z = _times(linear_weight, input)
    if linear_bias is not None:
        z = [a + mpf(b) for a, b in zip(z, linear_bias, strict=True)]
    value, gradients = cross_entropy(
        z,
        target,
        weight=weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
    slope = gradients["input"]
    gradients |= {
        "input": _back(linear_weight, slope, len(input)),
        "linear_weight": _outer(slope, input),
        "linear_bias": slope,
    }
    return value, gradients


def adaptive_log_softmax(
    input: Row,
    target: int,
    *,
    cutoffs: Sequence[int],
    head_weight: Matrix,
    head_bias: Row | None = None,
    tail: Sequence[tuple[Matrix, Matrix]],
) -> tuple[Any, Gradients]:
    """-log(p_head) for a target of the short list, -log(p_head of its cluster * p of the target in it) otherwise."""
    z = _times(head_weight, input)
    if head_bias is not None:
        z = [a + mpf(b) for a, b in zip(z, head_bias, strict=True)]
    cluster = sum(target >= c for c in cutoffs) - 1
    index = target if cluster < 0 else cutoffs[0] + cluster
    p = softmax(z)
    slope = [p[c] - (c == index) for c in range(len(z))]
    probability, by_input = p[index], _back(head_weight, slope, len(input))
    gradients: Gradients = {"head_weight": _outer(slope, input), "head_bias": slope}
    for i, (projection, out) in enumerate(tail):
        hidden = _times(projection, input)
        q = softmax(_times(out, hidden))
        slope = [mpf(0)] * len(q)
        if i == cluster:
            relative = target - cutoffs[i]
            probability *= q[relative]
            slope = [q[c] - (c == relative) for c in range(len(q))]
        to_hidden = _back(out, slope, len(hidden))
        gradients[f"tail.{i}.0"], gradients[f"tail.{i}.1"] = _outer(to_hidden, input), _outer(slope, hidden)
        by_input = [a + b for a, b in zip(by_input, _back(projection, to_hidden, len(input)), strict=True)]
    return -mp.log(probability), {"input": by_input, **gradients}


def adaptive_predicted(
    input: Row, *, head_weight: Matrix, head_bias: Row | None = None, tail: Sequence[tuple[Matrix, Matrix]]
) -> tuple[Any, Gradients]:
    """-log of the largest probability of all classes."""
    z = _times(head_weight, input)
    if head_bias is not None:
        z = [a + mpf(b) for a, b in zip(z, head_bias, strict=True)]
    p = softmax(z)
    frequent, clusters = p[: len(p) - len(tail)], p[len(p) - len(tail) :]
    inside = [max(softmax(_times(out, _times(projection, input)))) for projection, out in tail]
    return -mp.log(max([*frequent, *(c * q for c, q in zip(clusters, inside, strict=True))])), {}
