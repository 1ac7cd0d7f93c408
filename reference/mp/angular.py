"""The additive angular margin in arbitrary precision, a row at a time, by the angles themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpmath import mp

from reference.mp.contrastive import log_loss
from reference.mp.embedding import Definition, Row, Vector, dot, exact, length


def parallel(x: Vector, y: Vector) -> bool:
    """Whether all 2 x 2 minors are 0, exactly."""
    places = range(len(x))
    return all(x[i] * y[k] == x[k] * y[i] for i in places for k in places[:i])


def with_margin(x: Vector, w: Vector, m: Any) -> tuple[Any, Any, Any]:
    """(the logit over the scale, its derivative in the cosine, its derivative in minus the angle) at angle theta.

    cos(theta + m), or cos(theta) - m sin(m) beyond pi.
    """
    cosine = dot(x, w) / (length(x) * length(w))
    theta = (mp.zero if cosine > 0 else +mp.pi) if parallel(x, w) else mp.acos(cosine)
    if theta + m > mp.pi:
        return mp.cos(theta) - m * mp.sin(m), mp.one, mp.sin(theta)
    turned = mp.sin(theta + m)
    return mp.cos(theta + m), turned / mp.sin(theta) if mp.sin(theta) and not parallel(x, w) else mp.zero, turned


def arcface_loss(
    embeddings: Row, weight: Sequence[Row], labels: int, *, scale: float = 64.0, margin: float = 0.5
) -> Definition:
    """-log of exp(s cos(theta_y + m)) over itself and the sum of the other exp(s cos(theta_j)); the chain rule.

    Of parallel vectors the angle grows by 1 in every direction across: the derivative of an entry is anything up to
    that of the angle times what the entry has across.
    """
    x, w, s = exact(embeddings), [exact(row) for row in weight], mp.mpf(scale)
    if any(mp.isnan(e) for row in (x, *w) for e in row):
        nothing = [mp.nan for _ in x]
        return mp.nan, {"embeddings": nothing, "weight": [nothing for _ in w]}
    n, norms = length(x), [length(row) for row in w]
    order = [labels, *(j for j in range(len(w)) if j != labels)]
    own, slope, steepest = with_margin(x, w[labels], mp.mpf(margin))
    cosines = [dot(x, row) / (n * norm) for row, norm in zip(w, norms, strict=True)]
    value, slopes = log_loss([s * (own if j == labels else cosines[j]) for j in order])
    kinked = parallel(x, w[labels]) and cosines[labels] > 0
    to_x, to_w = [mp.zero for _ in x], [[mp.zero for _ in x] for _ in w]
    for j, factor in zip(order, slopes, strict=True):
        per_cosine = s * factor * (slope if j == labels else 1)
        for e in range(len(x)):
            to_x[e] += per_cosine * (w[j][e] / (n * norms[j]) - cosines[j] * x[e] / n**2)
            to_w[j][e] += per_cosine * (x[e] / (n * norms[j]) - cosines[j] * w[j][e] / norms[j] ** 2)
    gradients: dict[str, Any] = {"embeddings": to_x, "weight": to_w}
    if kinked:
        reach = abs(s * slopes[0] * steepest)
        across = [reach * mp.sqrt(1 - (e / n) ** 2) for e in x]
        gradients["embeddings"] = [(g - a / n, g + a / n) for g, a in zip(to_x, across, strict=True)]
        to_own = [(g - a / norms[labels], g + a / norms[labels]) for g, a in zip(to_w[labels], across, strict=True)]
        gradients["weight"] = [to_own if j == labels else row for j, row in enumerate(to_w)]
    return value, gradients
