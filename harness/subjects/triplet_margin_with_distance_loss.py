"""torch's triplet_margin_with_distance_loss, by itself and with three distances of the user's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.binding import Subject, bind
from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, depth
from harness.contract import Contract
from harness.contracts.triplet_margin_with_distance_loss import CONTRACT, COSINE, MAXIMUM, SQUARED
from harness.deviations import NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects import cosine_similarity
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.triplet_margin_loss import (
    APART,
    HALTED,
    NOT_DOUBLE,
    OUTPUTS,
    OVERFLOW,
    PAIRS,
    POWERS,
    SLOPES,
    halted,
    infinite,
)
from harness.ulp import Array, step
from reference.embedding import cosine_distance, pairwise_distance, squared_distance
from reference.truth import Output, Truth

Distance = Callable[[Tensor, Tensor], Tensor]


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return 1.0 - F.cosine_similarity(x, y)


def squared(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(dim=1)


def maximum(x: Tensor, y: Tensor) -> Tensor:
    return torch.max(torch.abs(x - y), dim=1).values


class WithCosine(torch.nn.TripletMarginWithDistanceLoss):
    def __init__(self, *, margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(distance_function=cosine, margin=margin, swap=swap, reduction=reduction)


class WithSquares(torch.nn.TripletMarginWithDistanceLoss):
    def __init__(self, *, margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(distance_function=squared, margin=margin, swap=swap, reduction=reduction)


class WithMaximum(torch.nn.TripletMarginWithDistanceLoss):
    def __init__(self, *, margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(distance_function=maximum, margin=margin, swap=swap, reduction=reduction)


def measured_by(
    contract: Contract, distance: Distance, module: type, written: str, faults: tuple[Fault, ...]
) -> tuple[Subject, Subject]:
    """The functional form and the module with one distance, ``written`` as Python."""
    given = f"distance_function=lambda x, y: {written}"
    kind = contract.name.removeprefix(CONTRACT.name)
    functional = bind(
        partial(F.triplet_margin_with_distance_loss, distance_function=distance),
        contract,
        name=f"F.{contract.name}",
        expression=f"functools.partial(F.triplet_margin_with_distance_loss, {given})",
        setup=f"import functools\n{FUNCTIONAL}",
        faults=faults,
        origin="torch",
    )
    twin = bind(
        module,
        contract,
        name=f"nn.{CONTRACT.module}{kind}",
        expression=f"functools.partial(torch.nn.{CONTRACT.module}, {given})",
        setup=f"import functools\n{FUNCTIONAL}",
        faults=faults,
        origin="torch",
        twin=functional,
    )
    return functional, twin


def overflow(
    distance: Callable[[Array, Array], Truth], halting: tuple[Witness, ...], dtypes: tuple[str, ...]
) -> tuple[Fault, Fault]:
    """The same with another distance; ``dtypes`` are those in which two infinite distances have no gradient."""

    def both(points: Points) -> tuple[Array, Array]:
        norms = [distance(points[x], points[y]).value.exact for x, y in (PAIRS if points["swap"] else PAIRS[:2])]
        return norms[0], np.min(norms[1:], axis=0)

    shown = tuple(
        Witness(
            args={"anchor": [[1.5 * 2.0**e]], "positive": [[-1.5 * 2.0**e]], "negative": [[-1.5 * 2.0**e]]}, dtype=dtype
        )
        for dtype, e in TOP
    )
    return (
        replace(OVERFLOW, region=lambda points: infinite(*both(points), points), witnesses=shown),
        replace(
            HALTED,
            region=lambda points: halted(*both(points), points),
            witnesses=halting,
            seen=PARTIAL,
            dtypes=dtypes,
        ),
    )


TOP = (("float16", 15), ("float32", 127), ("float64", 1023))
LINEAR = tuple(
    Witness(
        args={"anchor": [[1.9375 * 2.0**e]], "positive": [[-1.9375 * 2.0**e]], "negative": [[-0.25 * 2.0**e]]},
        dtype=dtype,
    )
    for dtype, e in TOP
)
QUADRATIC = tuple(
    Witness(
        args={
            "anchor": [[0.0] * 4],
            "positive": [[1.5 * 2.0**e] * 4],
            "negative": [[1.5 * 2.0**e, 0.0, 0.0, 0.0]],
        },
        dtype=dtype,
    )
    for dtype, e in (("float16", 8), ("float32", 64), ("float64", 512))
)


def _steep(points: Points) -> Mask:
    """An infinite slope is nan in the gradient of the distance that is not the least, 0 times it."""
    beyond = np.zeros(np.shape(points["anchor"]), np.bool_)
    for x, y in PAIRS if points["swap"] else PAIRS[:2]:
        d = np.asarray(points[x], np.float64) - points[y]
        beyond |= (2.0 * np.abs(d) > points.precision.largest) | ~np.isfinite(d)
    return beyond


STEEP = Fault(
    name="the slope of a square overflows",
    where="twice a difference beyond the largest number",
    region=_steep,
    outputs=OUTPUTS[1:],
    seen=PARTIAL,
    witnesses=tuple(
        Witness(
            args={"anchor": [[0.0]], "positive": [[1.5 * 2.0**e]], "negative": [[0.0]]},
            parameters={"swap": True},
            dtype=dtype,
        )
        for dtype, e in (("float16", 15), ("float32", 127), ("float64", 1023))
    ),
)


def _pairs(points: Points) -> Iterator[tuple[tuple[str, str], Points]]:
    """Every pair whose cosine is taken, as the points of a cosine similarity."""
    for x, y in PAIRS if points["swap"] else PAIRS[:2]:
        args = {"x1": points[x], "x2": points[y]}
        yield (x, y), replace(points, args=args, parameters={"eps": 1e-8})


def _any(region: Region) -> Region:
    return lambda points: np.any([region(pair) for _, pair in _pairs(points)], axis=0)


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
    total = np.zeros(np.shape(points[name]))
    if points.precision.bits > 32:
        return total
    for names, pair in _pairs(points):
        if name in names:
            side = names.index(name)
            x, y = (np.asarray(pair[v], np.float64) for v in (("x1", "x2") if side == 0 else ("x2", "x1")))
            length, short = (np.hypot.reduce(v, axis=-1)[:, None] for v in (y, x))
            divisor = np.maximum(length, pair["eps"])
            # A vector shorter than eps is no unit vector: its own entry moves, and no other.
            unit = np.where(length >= pair["eps"], y / divisor, 0.0)
            hessian = np.abs(np.eye(y.shape[-1]) - unit[:, :, None] * unit[:, None, :])
            moved = (hessian * np.abs(step(points.precision, y, 1) - y)[:, None, :]).sum(axis=-1)
            tilt = np.where(short < pair["eps"], moved / (divisor * pair["eps"]), 0.0)
            total = np.maximum(total, tilt)
    return total


def _clamped(name: str) -> Region:
    def region(points: Points) -> Mask:
        truth = points.truth.gradients[name]
        distances = [cosine_distance(pair["x1"], pair["x2"]).value.exact for _, pair in _pairs(points)]
        gap = distances[0] - np.min(distances[1:], axis=0) + points["margin"]
        live = (gap > -32.0 * points.precision.u * (2.0 + points["margin"]))[:, None]
        least = GRADIENT_CONSTANT * (points.precision.u * truth.reference + 0.9 * _tilt(points, name))
        return np.asarray(live & (_turnings(points, name) > least), np.bool_)

    return region


def _turned(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        return np.asarray(np.abs(got - truth.exact) <= bound + 2.0 * _turnings(points, name), np.bool_)

    return Seen(text="off by at most the gradients of norms that divide", holds=holds, exact=False)


def without_long(points: Points, tied: float | None = None) -> dict[str, Array]:
    """Value and gradients where the cosine of a vector whose squared norm overflows is 0, and so its gradient.

    ``tied`` is the share of the swapped distance in the gradient where rounding may tie both.
    """
    found = []
    for _, pair in _pairs(points):
        with np.errstate(all="ignore"):
            truth, long = cosine_distance(pair["x1"], pair["x2"]), cosine_similarity.overflowing(pair)
        slopes = [np.where(long[:, None], 0.0, g.exact) for g in truth.gradients.values()]
        found.append((np.where(long, 1.0, truth.value.exact), *slopes))
    (near, a, p), (far, a_far, n), *other = found
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


def _long(name: str) -> Region:
    """Where that is off by more than rounding."""

    def region(points: Points) -> Mask:
        truth, u = points.truth.outputs()[name], points.precision.u
        formula, *tied = [without_long(points, share)[name] for share in TIES]
        rows = _any(cosine_similarity.overflowing)(points)
        if name == "value":
            slopes = [np.abs(points[n] * points.truth.gradients[n].exact).sum(axis=-1) for n in OUTPUTS[1:]]
            sums = accumulator(points.precision).u * depth(np.shape(points["anchor"])[-1]) * truth.accumulation
            least = VALUE_CONSTANT * (u * (truth.reference + np.nan_to_num(np.sum(slopes, axis=0))) + sums)
            return np.asarray(rows & (np.abs(formula - truth.exact) > least), np.bool_)
        low, high = truth.interval or (truth.exact, truth.exact)
        off = np.max([np.maximum(low - f, f - high) for f in (formula, *tied)], axis=0)
        return np.asarray(rows[:, None] & (off > GRADIENT_CONSTANT * u * truth.reference), np.bool_)

    return region


def _without(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        formulas = [without_long(points, share) for share in TIES]
        allowed = bound + 32.0 * points.precision.u * np.abs(formulas[0][name])
        allowed = allowed + (0.0 if name == "value" else 2.0 * _turnings(points, name))
        kink = np.abs(formulas[0]["gap"]) <= 64.0 * points.precision.u
        near = np.any([np.abs(got - formula[name]) <= allowed for formula in formulas], axis=0)
        return np.asarray(near | ((got == 0.0) & kink.reshape(kink.shape + (1,) * (got.ndim - 1))), np.bool_)

    return Seen(text="the formula with a cosine of 0 for long vectors", holds=holds, exact=False)


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
COSINE_FAULTS = (
    *(
        Fault(
            name=f"squared norms overflow: {name}",
            where="the squared norm of a vector beyond the largest number, where the loss without its cosine differs",
            region=_long(name),
            outputs=(name,),
            dtypes=("float64", "float32", "bfloat16"),
            seen=_without(name),
            witnesses=tuple(
                Witness(args={"anchor": [[x, 0.0]], "positive": [[x, x]], "negative": [[-x, x]]}, dtype=dtype)
                for dtype, x in (("float32", 2.0**65), ("float64", 2.0**520))
            ),
        )
        for name in OUTPUTS
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
HALVES = replace(
    APART,
    name="the backward divides by an infinite norm",
    where="a distance beyond the largest number",
    dtypes=("float16",),
    witnesses=APART.witnesses[:1],
)
SUBJECTS = (
    *builtin(CONTRACT, faults=(*overflow(pairwise_distance, LINEAR, ("float32",)), POWERS, *SLOPES, HALVES)),
    *measured_by(COSINE, cosine, WithCosine, "1.0 - F.cosine_similarity(x, y)", COSINE_FAULTS),
    *measured_by(
        SQUARED,
        squared,
        WithSquares,
        "(x - y).square().sum(dim=1)",
        (*overflow(squared_distance, QUADRATIC, NOT_DOUBLE), STEEP),
    ),
    *measured_by(
        MAXIMUM,
        maximum,
        WithMaximum,
        "torch.max(torch.abs(x - y), dim=1).values",
        overflow(partial(pairwise_distance, p=np.inf, eps=0.0), LINEAR, ("float32", "float16")),
    ),
)
