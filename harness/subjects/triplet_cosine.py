"""Faults of 1 - cosine_similarity as the distance of triplet_margin_with_distance_loss, from those of the cosine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, astray, depth
from harness.deviations import ALL_DTYPES, NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects import cosine_similarity
from harness.subjects.rows import among, ordinal, seen_among
from harness.subjects.triplet_margin_loss import OUTPUTS, PAIRS
from harness.ulp import Array, round_to
from reference.cosine import cosine_distance
from reference.truth import Output


def _pairs(points: Points) -> Iterator[tuple[tuple[str, str], Points]]:
    """Every pair whose cosine is taken, as the points of a cosine similarity."""
    for x, y in PAIRS if points["swap"] else PAIRS[:2]:
        args = {"x1": points[x], "x2": points[y]}
        yield (x, y), replace(points, args=args, parameters={"eps": 1e-8})


def _any(region: Region) -> Region:
    return lambda points: np.any([region(pair) for _, pair in _pairs(points)], axis=0)


def _short(points: Points) -> Mask:
    norms = [np.hypot.reduce(np.asarray(points[name], np.float64), axis=-1) for name in OUTPUTS[1:]]
    return np.asarray(np.min(norms, axis=0) < 1e-8, np.bool_)


def _turnings(points: Points, name: str) -> Array:
    """How much the gradient in one vector gets from norms that eps replaces, at most."""
    total = np.zeros(np.shape(points[name]))
    for names, pair in _pairs(points):
        if name in names:
            side = ("x1", "x2")[names.index(name)]
            short = np.hypot.reduce(pair[side], axis=-1)[:, None] < pair["eps"]
            total += np.where(short, np.abs(cosine_similarity.turning(pair, side)), 0.0)
    return total


def _tilt(points: Points, name: str) -> Array:
    """How far one ordinal of the other vector moves the gradient in a short one, its direction over eps."""
    if points.precision.bits > 32:
        return np.zeros(np.shape(points[name]))
    # The swap leaves one of two pairs out.
    least = np.full(np.shape(points[name]), np.inf)
    for names, pair in _pairs(points):
        if name in names:
            side = names.index(name)
            x, y = (np.asarray(pair[v], np.float64) for v in (("x1", "x2") if side == 0 else ("x2", "x1")))
            length, short = (np.hypot.reduce(v, axis=-1)[:, None] for v in (y, x))
            divisor = np.maximum(length, pair["eps"])
            # A vector shorter than eps is no unit vector: its own entry moves, and no other.
            unit = np.where(length >= pair["eps"], y / divisor, 0.0)
            hessian = np.abs(np.eye(y.shape[-1]) - unit[:, :, None] * unit[:, None, :])
            moved = (hessian * ordinal(points.precision, y)[:, None, :]).sum(axis=-1)
            tilt = np.where(short < pair["eps"], moved / (divisor * pair["eps"]), 0.0)
            least = np.minimum(least, tilt)
    return least


def _clamped(name: str) -> Region:
    def region(points: Points) -> Mask:
        truth = points.truth.gradients[name]
        distances = [cosine_distance(pair["x1"], pair["x2"]).value.exact for _, pair in _pairs(points)]
        gap = distances[0] - np.min(distances[1:], axis=0) + points["margin"]
        live = (gap > -32.0 * points.precision.u * (2.0 + points["margin"]))[:, None]
        # Norm, divisor, two quotients, product, sum and difference: 8 roundings of C are torch's own.
        least = (GRADIENT_CONSTANT - 8.0) * (points.precision.u * truth.reference + _tilt(points, name))
        turned = _turnings(points, name)
        # What a choice may cost is part of the bound; torch ties what it cannot tell apart.
        off = turned + _off(points, name, without_long(points, TIES))
        allowed = least + astray(truth, points.precision, GRADIENT_CONSTANT)
        return np.asarray(live & (turned > least) & (off > allowed), np.bool_)

    return among(_short, region)


def _turned(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        return np.asarray(np.abs(got - truth.exact) <= bound + 2.0 * _turnings(points, name), np.bool_)

    text = "off by at most the gradients of norms that divide"
    return seen_among(_short, Seen(text=text, holds=holds, exact=False))


Formulas = list[dict[str, Array]]


def without_long(points: Points, ties: Sequence[float | None]) -> Formulas:
    """Value and gradients where the cosine of a vector whose squared norm overflows is 0, and so its gradient.

    ``ties`` are shares of the swapped distance in the gradient where rounding may tie both; None is the right choice.
    """
    found = []
    for _, pair in _pairs(points):
        with np.errstate(all="ignore"):
            truth, long = cosine_distance(pair["x1"], pair["x2"]), cosine_similarity.overflowing(pair)
        slopes = [np.where(long[:, None], 0.0, g.exact) for g in truth.gradients.values()]
        found.append((np.where(long, 1.0, truth.value.exact), *slopes))
    return [_with_ties(points, found, share) for share in ties]


def _with_ties(points: Points, measured: Sequence[tuple[Array, ...]], tied: float | None) -> dict[str, Array]:
    (near, a, p), (far, a_far, n), *other = measured
    gradients = {"anchor": a - a_far, "positive": p, "negative": -n}
    if other:
        swapped, p_other, n_other = other[0]
        tie = np.abs(far - swapped) <= 64.0 * points.precision.u
        sure = (swapped < far).astype(np.float64)
        share = (sure if tied is None else np.where(tie, tied, sure))[:, None]
        swap = {"anchor": a, "positive": p - p_other, "negative": -n_other}
        gradients = {name: share * swap[name] + (1.0 - share) * g for name, g in gradients.items()}
        far = np.minimum(far, swapped)
    gap = near - far + points["margin"]
    live = {name: np.where(gap[:, None] >= 0.0, g, 0.0) for name, g in gradients.items()}
    return {"value": np.maximum(gap, 0.0), "gap": gap, **live}


TIES = (None, 0.0, 0.5, 1.0)
"""The minimum halves the gradient between equals."""


def _off(points: Points, name: str, formulas: Formulas) -> Array:
    """How far from its interval a gradient is by the formulas, at most."""
    truth = points.truth.gradients[name]
    low, high = truth.interval or (truth.exact, truth.exact)
    return np.asarray(np.max([np.maximum(low - f[name], f[name] - high) for f in formulas], axis=0), np.float64)


LONG = _any(cosine_similarity.overflowing)


def _long(name: str) -> Region:
    """Where that is off by more than rounding."""

    def region(points: Points) -> Mask:
        truth, u = points.truth.outputs()[name], points.precision.u
        formulas = without_long(points, TIES[:1] if name == "value" else TIES)
        plain = formulas[0]
        if name == "value":
            slopes = [np.abs(points[n] * points.truth.gradients[n].exact).sum(axis=-1) for n in OUTPUTS[1:]]
            sums = accumulator(points.precision).u * depth(np.shape(points["anchor"])[-1]) * truth.accumulation
            least = 0.9 * VALUE_CONSTANT * (u * (truth.reference + np.nan_to_num(np.sum(slopes, axis=0))) + sums)
            return np.asarray(np.abs(plain[name] - truth.exact) > least, np.bool_)
        # With it goes what a norm below eps adds.
        off = _off(points, name, formulas) + np.where((plain["gap"] >= 0.0)[:, None], _turnings(points, name), 0.0)
        least = 0.9 * GRADIENT_CONSTANT * u * truth.reference + astray(truth, points.precision, GRADIENT_CONSTANT)
        return np.asarray(off > least, np.bool_)

    return among(LONG, region)


def _either(name: str) -> Callable[[Array, Output, Points, Array], Mask]:
    """The formula without the cosines of long vectors, whichever branch of minimum or hinge rounding takes."""

    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        formulas = without_long(points, TIES)
        allowed = bound + 32.0 * points.precision.u * np.abs(formulas[0][name])
        allowed = allowed + (0.0 if name == "value" else 2.0 * _turnings(points, name))
        kink = np.abs(formulas[0]["gap"]) <= 64.0 * points.precision.u
        near = np.any([np.abs(got - formula[name]) <= allowed for formula in formulas], axis=0)
        return np.asarray(near | ((got == 0.0) & kink.reshape(kink.shape + (1,) * (got.ndim - 1))), np.bool_)

    return holds


def _without(name: str) -> Seen:
    text = "the formula with a cosine of 0 for long vectors"
    return seen_among(LONG, Seen(text=text, holds=_either(name), exact=False))


HALTING = Seen(text="nan or 0", holds=lambda got, truth, points, bound: np.isnan(got) | (got == 0.0), exact=False)
NO_EPS = Fault(
    name="eps is 0 in float16",
    where="a zero vector, in float16",
    region=_any(cosine_similarity.no_eps),
    outputs=("value",),
    dtypes=("float16",),
    seen=NAN,
    witnesses=(Witness(args={"anchor": [[0.0]], "positive": [[1.0]], "negative": [[1.0]]}, dtype="float16"),),
)


def _close(points: Points) -> Mask:
    """The swap chooses between distances that round to the same, or the other way round."""
    if not points["swap"]:
        return np.zeros(len(points["anchor"]), np.bool_)
    u, truths = points.precision.u, [cosine_distance(pair["x1"], pair["x2"]) for _, pair in _pairs(points)]
    far, other = truths[1].value.exact, truths[2].value.exact
    # Where the rounding of the vectors decides, either choice is right.
    moved = [
        np.abs(pair[name] * slope.exact).sum(axis=-1)
        for (_, pair), truth in list(zip(_pairs(points), truths, strict=True))[1:]
        for name, slope in truth.gradients.items()
    ]
    near = (np.abs(far - other) <= 8.0 * u) & ~(np.abs(far - other) <= 8.0 * u * np.sum(moved, axis=0))
    if points.precision.bits == 16:
        order = np.sign(far - other)
        _, first, second = (_rounded_distances(pair) for _, pair in _pairs(points))
        near &= np.any([np.sign(a - b) != order for a in first for b in second], axis=0)
    return np.asarray(near, np.bool_)


def _rounded_distances(pair: Points) -> list[Array]:
    """1 - cosine in a 16-bit dtype, where the order of the sum moves its rounding and where it does not."""
    p, unit = pair.precision, []
    for name in ("x1", "x2"):
        x = np.asarray(pair[name], np.float64)
        norm = round_to(p, np.hypot.reduce(x, axis=-1)[:, None])
        unit.append(round_to(p, x / np.maximum(norm, round_to(p, pair["eps"]))))
    cosine = round_to(p, unit[0] * unit[1]).sum(axis=-1)
    return [round_to(p, 1.0 - round_to(p, cosine * (1.0 + nudge))) for nudge in (0.0, 2.0**-21, -(2.0**-21))]


def _undecided(name: str) -> Region:
    def region(points: Points) -> Mask:
        truth = points.truth.gradients[name]
        least = GRADIENT_CONSTANT * points.precision.u * truth.reference
        least += astray(truth, points.precision, GRADIENT_CONSTANT)
        return np.asarray(_off(points, name, without_long(points, TIES[1:])) > least, np.bool_)

    return among(_close, region)


TURNED_64 = ([2.0**-28, 1.0], [0.0, 1.0], [0.0, 1.0])
TURNED_32 = ([2.0**-13, 1.0], [0.0, 1.0], [0.0, 1.0])


def _tied(dtype: str, anchor: list[float], positive: list[float], negative: list[float]) -> Witness:
    args = {"anchor": [anchor], "positive": [positive], "negative": [negative]}
    return Witness(args=args, parameters={"swap": True}, dtype=dtype)


EITHER = {
    name: seen_among(_close, Seen(text="either gradient, or half of both", holds=_either(name), exact=False))
    for name in OUTPUTS
}
FAULTS = (
    *(
        Fault(
            name=f"squared norms overflow: {name}",
            where="the squared norm of a vector beyond the largest number, where the loss without its cosine differs",
            region=_long(name),
            outputs=(name,),
            dtypes=("float64", "float32", "bfloat16"),
            upstream="https://github.com/pytorch/pytorch/issues/193006",
            seen=_without(name),
            witnesses=tuple(
                Witness(args={"anchor": [[x, 0.0]], "positive": [[-x, x]], "negative": [[x, 0.5 * x]]}, dtype=dtype)
                for dtype, x in (("float32", 2.0**65), ("float64", 2.0**520))
            ),
        )
        for name in OUTPUTS
    ),
    *(
        Fault(
            name=f"cosines that round to the same tie the swap: {name}",
            where="swap, and two distances within 8 roundings of 1 of each other, where their gradients differ",
            region=_undecided(name),
            outputs=(name,),
            dtypes=dtypes,
            seen=EITHER[name],
            witnesses=tuple(_tied(*shown) for shown in witnesses),
        )
        for name, dtypes, witnesses in (
            (
                "anchor",
                ALL_DTYPES,
                (
                    ("float64", *TURNED_64),
                    ("float32", *TURNED_32),
                    ("float16", [0.5, 0.0, 0.00390625], [32.0, 0.0, -0.25], [48.0, 0.5, 1.0]),
                    ("bfloat16", [0.0, -1.0, 0.0], [0.0, -256.0, -4.0], [0.5, -256.0, -4.0]),
                ),
            ),
            (
                "positive",
                ("float64", "float32", "float16"),
                (
                    ("float64", *TURNED_64[1::-1], TURNED_64[2]),
                    ("float32", *TURNED_32[1::-1], TURNED_32[2]),
                    ("float16", [2.0, 128.0], [0.0, 0.5], [3.0, 128.0]),
                ),
            ),
            (
                "negative",
                ALL_DTYPES,
                (
                    ("float64", *TURNED_64),
                    ("float32", *TURNED_32),
                    ("float16", [3.0, 96.0], [0.0, 0.5], [3.0, 128.0]),
                    ("bfloat16", [-8.0, 0.5], [-1.0, 0.0], [-1.0, 0.0]),
                ),
            ),
        )
    ),
    NO_EPS,
    replace(
        NO_EPS,
        name="eps is 0 in float16: gradients",
        where="a zero vector, in float16; where the distance of two others has a gradient it is 0",
        outputs=OUTPUTS[1:],
        seen=HALTING,
    ),
    Fault(
        name="the backward's quotients by a norm overflow",
        where="an entry of a unit vector, divided by a norm, beyond the largest number",
        region=_any(cosine_similarity.quotients),
        outputs=OUTPUTS[1:],
        dtypes=("float16",),
        seen=PARTIAL,
        witnesses=(
            Witness(
                args={"anchor": [[-(2.0**-16), 0.0]], "positive": [[0.5, 0.5]], "negative": [[0.5, 0.5]]},
                dtype="float16",
            ),
        ),
    ),
    *(
        Fault(
            name=f"the gradient of {name} does not know of eps",
            where=f"norm({name}) below eps, by so much that the derivative of the norm shows",
            region=_clamped(name),
            outputs=(name,),
            dtypes=("float64", "float32", "bfloat16"),
            seen=_turned(name),
            witnesses=(
                Witness(
                    args={"anchor": [[1.0, 2.0]], "positive": [[-2.0, 1.0]], "negative": [[2.0, 1.0]]}
                    | {name: [[2.0**-28, 0.0]]}
                ),
            ),
        )
        for name in OUTPUTS[1:]
    ),
)
