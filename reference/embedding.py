"""Oracles of the losses of embeddings, of shape (R, D): cosines, distances and triplets. One row is one loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.numerics import product
from reference.truth import Array, Output, Truth, output

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Distance = Callable[[Array, Array], Truth]
"""An oracle of two embeddings whose Truth holds two gradients, of the first argument and then of the second."""

U = 2.0**-53
LARGEST = float(np.finfo(np.float64).max)
TINY = float(np.finfo(np.float64).smallest_subnormal)
"""Stands for a partial product that underflows in float64 too: what is 0 would not count as having left the range."""
NOTHING = -9999
"""The exponent that stands for that of 0, below any other."""


def _ends(a: Output) -> tuple[Array, Array]:
    return (a.exact, a.exact) if a.interval is None else a.interval


def _times(a: Output, sign: Array | float) -> Output:
    """``a`` times 1 or -1, a sign a row."""
    lo, hi = (sign * end for end in _ends(a))
    return replace(a, exact=sign * a.exact, interval=(np.minimum(lo, hi), np.maximum(lo, hi)))


def _plus(a: Output, constant: float) -> Output:
    return replace(a, exact=a.exact + constant, reference=a.reference + abs(constant))


def _minus(a: Output, b: Output) -> Output:
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    low, high = a_low - b_high, a_high - b_low
    # Where both are numbers, an end that is nan is the difference of two infinite ends.
    known = ~(np.isnan(a.exact) | np.isnan(b.exact))
    return Output(
        exact=a.exact - b.exact,
        reference=a.reference + b.reference,
        accumulation=a.accumulation + b.accumulation,
        underflow=np.minimum(a.underflow + b.underflow, LARGEST),
        absolute=a.absolute + b.absolute,
        interval=(np.where(known & np.isnan(low), -np.inf, low), np.where(known & np.isnan(high), np.inf, high)),
        partial=None
        if a.partial is None or b.partial is None
        else (np.minimum(a.partial[0], b.partial[0]), np.maximum(a.partial[1], b.partial[1])),
    )


def _select(choice: Mask, a: Output, b: Output) -> Output:
    """``a`` where the choice falls on it, else ``b``; partial products as of both."""
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    return Output(
        exact=np.where(choice, a.exact, b.exact),
        reference=np.where(choice, a.reference, b.reference),
        accumulation=np.where(choice, a.accumulation, b.accumulation),
        underflow=np.where(choice, a.underflow, b.underflow),
        absolute=np.where(choice, a.absolute, b.absolute),
        interval=(np.where(choice, a_low, b_low), np.where(choice, a_high, b_high)),
        partial=b.partial,
    )


def _doubt(share: Array) -> Array:
    """A rounding's share of a gap: as it is where the rounding may close the gap, and little where it cannot."""
    return np.nan_to_num(np.minimum(share * np.minimum(share / 32.0, 1.0), 1.0 / U))


def _hull(gap: Output, a: Output, b: Output) -> Output:
    """``a``, which the sign of the gap decides for, at ties with everything between ``a`` and ``b`` admissible.

    A rounding or an underflow that is larger than the gap takes the wrong branch, to within the error of that branch:
    the scales are their share of the gap times the difference.
    """
    tie, size = _tie(gap)[:, None], np.abs(gap.exact)[:, None]
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    jump = np.abs(a.exact - b.exact)
    jump = np.where(np.isnan(jump), 0.0, jump) + np.fmin(b.reference, b.absolute)
    wrong = _weighed(jump, _doubt((gap.reference + gap.accumulation)[:, None] / size))
    lost = _weighed(jump, np.nan_to_num(np.broadcast_to(gap.underflow, gap.exact.shape)[:, None] / size))
    return replace(
        a,
        reference=np.where(tie, np.maximum(a.reference, b.reference), a.reference) + wrong,
        underflow=np.fmin(a.underflow + lost, LARGEST),
        interval=(np.where(tie, np.minimum(a_low, b_low), a_low), np.where(tie, np.maximum(a_high, b_high), a_high)),
    )


def _still(a: Output) -> Output:
    """The zero function."""
    zero = np.zeros(())
    return replace(a, exact=zero, reference=zero, accumulation=zero, underflow=zero, interval=None)


def _tie(gap: Output) -> Mask:
    """Where the sign of a difference is not certain."""
    return np.abs(gap.exact) <= 4.0 * U * (gap.reference + gap.accumulation)


def _hinge(gap: Output, gradients: Mapping[str, Output]) -> Truth:
    """max(gap, 0) and its gradients, from those of the gap; nan stays."""
    positive, known = ~(gap.exact <= 0.0)[:, None], np.where(np.isnan(gap.exact), np.nan, 0.0)
    hinged = {}
    for name, gradient in gradients.items():
        live = replace(gradient, exact=gradient.exact + known[:, None])
        still = _still(live)
        hinged[name] = _hull(gap, _select(positive, live, still), _select(positive, still, live))
    return Truth(value=replace(gap, exact=np.maximum(gap.exact, 0.0), interval=None), gradients=hinged)


class _Side(NamedTuple):
    """An embedding divided by max(norm, eps): unit = fraction * 2**power, which keeps the digits of tiny entries."""

    unit: Array
    fraction: Array
    power: Integers
    mantissa: Array
    exponent: Integers
    norm: Array
    """max(norm, eps) = mantissa * 2**exponent, which may be beyond the range though its parts are not."""
    low: Mask
    """The norm is at most eps, which divides in its place."""
    edge: Mask
    """The norm cannot be told from eps."""
    zero: Mask
    """There is no eps to divide by and the norm is 0."""
    deficit: Array
    """1 - norm(unit)**2, at least 0."""


def _side(x: Array, eps: float | None) -> _Side:
    exponent = np.frexp(np.abs(x).max(axis=-1, initial=0.0))[1]
    scaled = np.ldexp(x, -exponent[:, None])
    mantissa = np.sqrt((scaled * scaled).sum(axis=-1))
    norm = np.ldexp(mantissa, exponent)
    if eps is None:
        zero, low = norm == 0.0, np.zeros(len(x), np.bool_)
        mantissa, edge, deficit = np.where(zero, 1.0, mantissa), low, zero.astype(np.float64)
    else:
        low, zero = norm <= eps, np.zeros(len(x), np.bool_)
        edge = np.abs(norm - eps) <= 4.0 * x.shape[-1] * U * eps
        deficit = np.where(low, (eps - norm) / eps * (1.0 + norm / eps), 0.0)
        part, place = np.frexp(eps)
        mantissa, exponent, norm = np.where(low, part, mantissa), np.where(low, place, exponent), np.maximum(norm, eps)
    fraction, power = np.frexp(x)
    fraction, power = fraction / mantissa[:, None], np.where(x == 0.0, NOTHING, power - exponent[:, None])
    return _Side(np.ldexp(fraction, power), fraction, power, mantissa, exponent, norm, low, edge, zero, deficit)


class _Cosine(NamedTuple):
    cosine: Output
    distance: Output
    """1 - cosine."""
    opposite: Output
    """1 + cosine."""
    gradients: tuple[Output, Output]


def _from_one(x: _Side, y: _Side, sign: float, like: Output) -> Output:
    # With unit vectors a and b: 1 - a.b = norm(a - b)**2 / 2. Shorter vectors add half of 1 - norm**2 each.
    d = x.unit - sign * y.unit
    value = 0.5 * ((d * d).sum(axis=-1) + x.deficit + y.deficit)
    # The constant u is the square of the rounding of the unit vectors, all that is left of parallel embeddings.
    rounding = (np.abs(d) * (np.abs(x.unit) + np.abs(y.unit))).sum(axis=-1) + x.low + y.low + U
    return replace(like, exact=value, reference=value + rounding, accumulation=value, absolute=np.asarray(2.0))


def _slope(
    x: _Side, y: _Side, cosine: Array, terms: Array, power: Integers, lost: Array, squares: tuple[Array, Array]
) -> Output:
    """d cosine / dx = (y^ - cosine x^) / norm(x), or y^ / eps where eps divides; the cosine is times 2**power."""
    common = np.maximum(y.power, x.power + power)
    a, b = np.ldexp(x.fraction, x.power + power - common), np.ldexp(y.fraction, y.power - common)

    def over_norm(values: Array) -> Array:
        quotient: Array = np.ldexp(values / x.mantissa[:, None], common - x.exponent[:, None])
        return quotient

    free, low = over_norm(b - cosine * a), x.low[:, None]
    divided = np.ldexp(y.fraction / x.mantissa[:, None], y.power - x.exponent[:, None])
    exact = np.where(x.zero[:, None], 0.0 * free, np.where(low, divided, free))
    other = np.where(x.edge[:, None], np.where(low, free, divided), exact)
    anything = np.where(x.zero[:, None], np.inf, 0.0)
    size = np.where(low & ~x.edge[:, None], np.abs(divided), over_norm(np.abs(b) + 2.0 * terms * np.abs(a)))
    far = np.ldexp(1.0 / x.mantissa, -x.exponent)[:, None]
    return output(
        exact,
        reference=size,
        accumulation=size,
        absolute=2.0 * far * np.ones_like(b),
        underflow=np.fmin(1.0 + 2.0 * far * lost[:, None] * (np.abs(x.unit) + np.abs(y.unit)), LARGEST),
        interval=(np.minimum(exact, other) - anything, np.maximum(exact, other) + anything),
        partial=(np.minimum(squares[0][:, None], far), np.maximum(squares[1][:, None], far)),
    )


def _present(power: Array, size: Array) -> Array:
    """A power of a size, not 0 where the size is not."""
    return np.where(size > 0.0, np.maximum(power, TINY), power)


def _cosine(x1: Array, x2: Array, eps: float | None) -> _Cosine:
    """The cosine by unit vectors, held with exponents of their own; without eps it is 0 where a vector is 0."""
    x, y = _side(x1, eps), _side(x2, eps)
    power = (x.power + y.power).max(axis=-1)[:, None]
    pairs = np.ldexp(x.fraction * y.fraction, x.power + y.power - power)
    c, terms = pairs.sum(axis=-1)[:, None], np.abs(pairs).sum(axis=-1)[:, None]
    size = np.ldexp(terms, power)[:, 0]
    # The formula as written passes through two sums of squares and one of products, whose D terms may underflow.
    n, m = x.norm, y.norm
    lost = np.minimum(x1.shape[-1] * ((1.0 / n) / n + (1.0 / m) / m + (1.0 / n) / m), LARGEST / 4.0)
    products = [_present(n * n, n), _present(m * m, m)]
    if eps is None:
        # Without eps to keep the norms apart they are multiplied before the root is taken.
        products.append(_present(products[0] * products[1], np.minimum(n, m)))
    squares = reduce(np.fmin, products), reduce(np.fmax, products)
    cosine = output(
        np.ldexp(c, power)[:, 0],
        reference=size,
        accumulation=size,
        absolute=1.0,
        underflow=1.0 + lost,
        partial=squares,
    )
    gradients = _slope(x, y, c, terms, power, lost, squares), _slope(y, x, c, terms, power, lost, squares)
    return _Cosine(cosine, _from_one(x, y, 1.0, cosine), _from_one(x, y, -1.0, cosine), gradients)


def cosine_similarity(x1: Array, x2: Array, *, dim: int = 1, eps: float = 1e-8) -> Truth:
    """x1 . x2 / (max(norm(x1), eps) max(norm(x2), eps)). Source: torch.nn.functional.cosine_similarity.

    ``dim`` is the axis of the entries, here always the last.
    torch.nn.CosineSimilarity documents max(norm(x1) norm(x2), eps) instead; the two differ where a norm is below eps.
    Where a norm is eps both formulas of the gradient hold, and all between.
    """
    with np.errstate(all="ignore"):
        cosine = _cosine(x1, x2, eps)
    return Truth(value=cosine.cosine, gradients=dict(zip(("x1", "x2"), cosine.gradients, strict=True)))


def cosine_distance(x1: Array, x2: Array, *, eps: float = 1e-8) -> Truth:
    """1 - cosine_similarity(x1, x2), taken as norm(x1^ - x2^)**2 / 2, which does not cancel.

    Source: the last example of torch.nn.TripletMarginWithDistanceLoss.
    """
    with np.errstate(all="ignore"):
        cosine = _cosine(x1, x2, eps)
        gradients = {n: _times(g, -1.0) for n, g in zip(("x1", "x2"), cosine.gradients, strict=True)}
    return Truth(value=cosine.distance, gradients=gradients)


def cosine_embedding_loss(input1: Array, input2: Array, target: Array, *, margin: float = 0.0) -> Truth:
    """1 - cos(x1, x2) where target is 1, max(0, cos(x1, x2) - margin) where it is -1, else nan.

    Source: torch.nn.CosineEmbeddingLoss, which documents no eps. The cosine with a zero vector, which the source leaves
    open, is 0 as in torch.nn.CosineSimilarity, and any gradient in that vector is admissible. cos - margin is
    (1 - margin) - (1 - cos) near 1 and (1 + cos) - (1 + margin) near -1, so that only margins cancel.
    """
    with np.errstate(all="ignore"):
        cosine = _cosine(input1, input2, None)
        c, positive = cosine.cosine.exact, target == 1.0
        gap = _select(
            np.abs(c) <= 0.5,
            _plus(cosine.cosine, -margin),
            _select(c > 0.0, _plus(_times(cosine.distance, -1.0), 1.0 - margin), _plus(cosine.opposite, -1.0 - margin)),
        )
        gradients = dict(zip(("input1", "input2"), cosine.gradients, strict=True))
        apart = _hinge(gap, gradients)
        value = _select(positive, cosine.distance, apart.value)
        known = np.where(np.abs(target) == 1.0, 0.0, np.nan)
        for name, gradient in gradients.items():
            slope = _select(positive[:, None], _times(gradient, -1.0), apart.gradients[name])
            gradients[name] = replace(slope, exact=slope.exact + known[:, None])
        absolute = np.asarray(2.0 + abs(margin))
        return Truth(
            value=replace(value, exact=value.exact + known, absolute=absolute, interval=None), gradients=gradients
        )


class _Measure(NamedTuple):
    """A distance, its value in units of 2**power, in which it never leaves the range, and its gradients."""

    value: Output
    power: Integers
    gradients: tuple[Output, Output]


Measured = Callable[[Array, Array], _Measure]


def _scaled(a: Output, power: Integers) -> Output:
    return replace(
        a,
        exact=np.ldexp(a.exact, power),
        reference=np.ldexp(a.reference, power),
        accumulation=np.ldexp(a.accumulation, power),
        interval=None if a.interval is None else (np.ldexp(a.interval[0], power), np.ldexp(a.interval[1], power)),
    )


def _apart(a: _Measure, b: _Measure) -> Output:
    """a - b, which may be within the range though a and b are not."""
    power = np.maximum(a.power, b.power)
    return _scaled(_minus(_scaled(a.value, a.power - power), _scaled(b.value, b.power - power)), power)


def _truth(measure: _Measure) -> Truth:
    value = replace(_scaled(measure.value, measure.power), interval=None)
    return Truth(value=value, gradients=dict(zip(("x1", "x2"), measure.gradients, strict=True)))


def _difference(x: Array, y: Array, eps: Array | float) -> Array:
    """x - y + eps with one rounding: what either operation loses is exact by Knuth's two-sum, and is added last."""
    s = x - y
    b = s - x
    d = s + eps
    e = d - s
    lost = ((x - (s - b)) - (y + b)) + ((s - (d - e)) + (eps - e))
    return np.where(np.isfinite(lost), d + lost, d)


def _extreme_norm(a: Array, sign: Array, m: Array, rough: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Slope, its interval, bound and scale of the largest or least abs(d), m: one entry has it all, ties share it.

    Rounded differences tie where the exact ones do not: the scale is the rounding of two entries over their distance.
    """
    top = a == m
    count = top.sum(axis=-1)[:, None]
    # A nan is the largest and has it all: the loss does not depend on the others.
    exact = np.where(np.isnan(a), np.nan, np.where(top, sign / count, 0.0))
    tied, kink = top & (count > 1), top & (a == 0.0)
    low = np.where(kink, -1.0, np.where(tied, np.minimum(sign, 0.0), exact))
    high = np.where(kink, 1.0, np.where(tied, np.maximum(sign, 0.0), exact))
    spread = a + rough
    weight = np.where(top, 0.0, (spread + np.where(top, spread, 0.0).max(axis=-1)[:, None]) / np.abs(a - m))
    scale = np.where(top, 1.0 + _doubt(weight.max(axis=-1)[:, None]), _doubt(weight))
    return exact, low, high, top.astype(np.float64), scale


def _weighed(a: Array, b: Array) -> Array:
    """a * b, where 0 wins over inf."""
    return np.where((a == 0.0) | (b == 0.0), 0.0, a * b)


def _powers(a: Array, size: Array, p: float) -> tuple[tuple[Array, Array] | None, tuple[Array, Array] | None]:
    """Partial products of the norm, and of its slope, as written: the sum of powers; the norm and powers p - 1 too."""
    if p == 1.0:
        return None, None
    whole, power = _present(size**p, size), size ** (p - 1.0)
    parts = [whole, size]
    if p != 2.0:
        parts += [power, 1.0 / power]
    if p < 1.0:
        parts.append(np.where(a == 0.0, power, a ** (p - 1.0)))
    return (whole[:, 0], whole[:, 0]), (reduce(np.fmin, parts), reduce(np.fmax, parts))


def _norm(d: Array, rough: Array, p: float) -> tuple[Output, Output]:
    """(sum of abs(d)**p)**(1 / p) = m (sum of (abs(d) / m)**p)**(1 / p), m the largest or, for p < 0, least abs(d).

    The slope is sign(d) (abs(d) / norm)**(p - 1). ``rough`` is the error scale of d. The value is in units of 2**(the
    exponent of m).
    """
    if p == 0.0:
        raise ValueError("p must not be 0: the p-norm takes the root of degree p, got 0")
    a, sign, terms = np.abs(d), np.sign(d), d.shape[-1]
    m = (a.max(axis=-1) if p > 0.0 else a.min(axis=-1))[:, None]
    part, place = np.frexp(m)
    if np.isinf(p):
        exact, low, high, bound, scale = _extreme_norm(a, sign, m, rough)
        value, partial, powers = part[:, 0], None, None
        lost, lost_slope = np.ones_like(value), np.ones_like(a)
    else:
        ratio, q = np.where(a == m, 1.0, a / m), p - 1.0
        root = np.power((ratio if p == 1.0 else ratio**p).sum(axis=-1), 1.0 / p)[:, None]
        value, size = (part * root)[:, 0], m * root
        kink = (a == 0.0) & ((p <= 1.0) | (m == 0.0))
        # A ratio that underflows keeps its digits as a quotient of powers; for other p such a slope underflows too.
        power = a**q / m**q if 0.0 < p < 2.0 else ratio**q
        exact = np.where(kink, 0.0, sign if p == 1.0 else sign * power / root**q)
        if p != 1.0:
            exact = np.where(np.isnan(m) | (np.isinf(m) & np.isinf(a)), np.nan, exact)
        end = np.inf if 0.0 < p < 1.0 else 1.0
        low, high = np.where(kink, -end, exact), np.where(kink, end, exact)
        # Where eps cancels the difference the slope is bounded by that at one rounding of the difference from the kink.
        off = np.maximum(a, U * rough)
        bound = np.where(off > 0.0, off**q / m**q / root**q if 0.0 < p < 2.0 else (off / m / root) ** q, 0.0)
        condition = 1.0 + _weighed(rough / m / root, bound).sum(axis=-1)[:, None]
        turns = 1.0 if p == 1.0 else abs(q)
        turned = turns * rough / off + product(np.asarray(abs(q)), condition)
        scale = np.where(kink & (off == 0.0), 1.0, product(bound, 1.0 + turned))
        # A difference may be subnormal, as may the sum of powers and every power of the slope.
        total = bound.sum(axis=-1)
        lost = total + terms * size[:, 0] ** -q / abs(p)
        nudged = product(abs(q) * bound, 1.0 / off + total[:, None] / size)
        lost_slope = size**-q + product(exact, terms * abs(q / p) * size**-p) + np.where(nudged > 0.0, nudged, 0.0)
        partial, powers = _powers(a, size, p)
    error = _weighed(np.ldexp(rough, -place), bound).sum(axis=-1)
    length = output(
        value,
        reference=value + error,
        accumulation=value,
        absolute=0.0,
        underflow=1.0 + np.fmin(lost, LARGEST),
        partial=partial,
    )
    slope = output(
        exact,
        reference=scale,
        accumulation=np.abs(exact),
        absolute=np.maximum(1.0, np.abs(exact)),
        underflow=1.0 + np.fmin(np.abs(lost_slope), LARGEST),
        interval=(low, high),
        partial=powers,
    )
    return length, slope


def _pairwise(x: Array, y: Array, p: float, eps: float) -> _Measure:
    rough = x - y
    beyond: Mask = np.isinf(rough).max(axis=-1)
    shift = beyond.astype(np.int32)
    if shift.any():
        half = np.where(beyond, 0.5, 1.0)[:, None]
        d, rough = _difference(x * half, y * half, eps * half), np.abs(x * half - y * half)
    else:
        d, rough = _difference(x, y, eps), np.abs(rough)
    value, slope = _norm(d, rough, p)
    m = np.abs(d).max(axis=-1) if p > 0.0 else np.abs(d).min(axis=-1)
    size = (np.abs(x) + np.abs(y) + abs(eps)).sum(axis=-1)
    # For p < 1 the norm of D equal entries is D**(1 / p - 1) times their sum.
    value = replace(value, absolute=size * float(x.shape[-1]) ** max(1.0 / p - 1.0, 0.0))
    return _Measure(value, np.frexp(m)[1] + shift, (slope, _times(slope, -1.0)))


def pairwise_distance(x1: Array, x2: Array, *, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Truth:
    """norm_p(x1 - x2 + eps), eps added to every entry; p is any real but 0, or inf. Source: torch.nn.PairwiseDistance.

    One value a row, whether or not ``keepdim`` gives it an axis of its own.
    At an entry of 0 (p <= 1), between ties (infinite p) and where the norm is 0, the gradient is an interval.
    """
    with np.errstate(all="ignore"):
        return _truth(_pairwise(x1, x2, p, eps))


def _squared(x: Array, y: Array) -> _Measure:
    d = x - y
    place = np.frexp(np.abs(d).max(axis=-1))[1]
    part = np.ldexp(d, -place[:, None])
    value, whole, size = (part * part).sum(axis=-1), (d * d).sum(axis=-1), np.abs(x) + np.abs(y)
    slope = output(2.0 * d, absolute=2.0 * size)
    length = output(
        value,
        accumulation=value,
        absolute=(size * size).sum(axis=-1),
        underflow=1.0 + d.shape[-1],
        partial=(whole, whole),
    )
    return _Measure(length, 2 * place, (slope, _times(slope, -1.0)))


def squared_distance(x1: Array, x2: Array) -> Truth:
    """Sum of (x1 - x2)**2, a distance for triplets; after the differences nothing cancels."""
    with np.errstate(all="ignore"):
        return _truth(_squared(x1, x2))


def _extremes(outputs: Sequence[Output], sizes: Sequence[Array]) -> tuple[Array, Array]:
    """Smallest and largest partial product of several outputs, and of the distances that are subtracted."""
    partials = [o.partial for o in outputs if o.partial is not None] + [(size, size) for size in sizes]
    return reduce(np.fmin, [low for low, _ in partials]), reduce(np.fmax, [high for _, high in partials])


def _triplet(
    anchor: Array, positive: Array, negative: Array, margin: float, swap: bool, measure: Measured, shift: Integers
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0), with swap the least of d(a, n) and d(p, n) for d(a, n).

    The embeddings, and with them the gradients, are in units of 2**(shift / 2).
    """
    near, far = measure(anchor, positive), measure(anchor, negative)
    gap = _apart(near, far)
    gradients = {
        "anchor": _minus(near.gradients[0], far.gradients[0]),
        "positive": near.gradients[1],
        "negative": _times(far.gradients[1], -1.0),
    }
    if swap:
        other = measure(positive, negative)
        swapped = {
            "anchor": near.gradients[0],
            "positive": _minus(near.gradients[1], other.gradients[0]),
            "negative": _times(other.gradients[1], -1.0),
        }
        closer = _apart(other, far)
        choice = ~(closer.exact >= 0.0)
        gap = _select(choice, _apart(near, other), gap)
        for name, plain in gradients.items():
            chosen, dropped = (_select(c[:, None], swapped[name], plain) for c in (choice, ~choice))
            gradients[name] = _hull(closer, chosen, dropped)
    measures = [near, far, other] if swap else [near, far]
    sizes = [np.ldexp(m.value.exact, m.power + shift) for m in measures]
    gap = _plus(_scaled(gap, shift), margin)
    gap = replace(gap, absolute=gap.absolute + abs(margin), partial=_extremes([m.value for m in measures], sizes))
    # What is nan in the gradient of one distance is nan in every gradient: 0 times nan.
    slopes = [g for m in measures for g in m.gradients]
    for name, gradient in gradients.items():
        scaled = _scaled(gradient, shift[:, None] // 2) if shift.any() else gradient
        gradients[name] = replace(scaled, partial=_extremes(slopes, [s[:, None] for s in sizes]))
    return _hinge(gap, gradients)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0) with d = pairwise_distance; swap: min(d(a, n), d(p, n)) for d(a, n).

    Source: torch.nn.TripletMarginLoss; swap: Balntas et al., BMVC 2016. Distances are held with an exponent of their
    own, as their difference may be within the range. Ties of the swap and of the hinge have intervals.
    """
    plain = np.zeros(len(anchor), np.int32)
    with np.errstate(all="ignore"):
        return _triplet(anchor, positive, negative, margin, swap, lambda x, y: _pairwise(x, y, p, eps), plain)


def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance: str | Distance = "euclidean",
    margin: float = 1.0,
    swap: bool = False,
) -> Truth:
    """max(d(a, p) - d(a, n) + margin, 0) with the distance given. Source: torch.nn.TripletMarginWithDistanceLoss.

    ``distance`` is "euclidean" (pairwise_distance), "cosine", "squared", "maximum" (of differences) or an oracle.
    """
    if distance == "euclidean":
        return triplet_margin_loss(anchor, positive, negative, margin=margin, swap=swap)
    plain = np.zeros(len(anchor), np.int32)
    with np.errstate(all="ignore"):
        if distance == "squared":
            # Differences of slopes of up to 2**1026 may be within the range: rows that large are divided by 4.
            top = np.max([np.abs(x).max(axis=-1, initial=0.0) for x in (anchor, positive, negative)], axis=0)
            shift = np.where(top > 2.0**1020, 4, plain)
            a, p, n = (np.ldexp(x, -shift[:, None] // 2) for x in (anchor, positive, negative))
            return _triplet(a, p, n, margin, swap, _squared, shift)
        if distance == "maximum":
            return _triplet(anchor, positive, negative, margin, swap, lambda x, y: _pairwise(x, y, np.inf, 0.0), plain)
        chosen = cosine_distance if distance == "cosine" else distance
        if isinstance(chosen, str):
            known = "'euclidean', 'cosine', 'squared', 'maximum'"
            raise ValueError(f"distance must be {known} or an oracle, got {distance!r}")

        def measure(x: Array, y: Array) -> _Measure:
            truth = chosen(x, y)
            first, second = truth.gradients.values()
            return _Measure(truth.value, plain, (first, second))

        return _triplet(anchor, positive, negative, margin, swap, measure, plain)
