"""torch's triplet_margin_with_distance_loss, by itself and with three distances of the user's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.binding import Subject, bind
from harness.contract import Contract
from harness.contracts.triplet_margin_with_distance_loss import CONTRACT, COSINE, MAXIMUM, SQUARED
from harness.deviations import NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects import cosine_similarity
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.triplet_margin_loss import (
    APART,
    HALTED,
    OUTPUTS,
    OVERFLOW,
    PAIRS,
    POWERS,
    SLOPES,
    halted,
    infinite,
)
from harness.ulp import Array
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


def overflow(distance: Callable[[Array, Array], Truth], numbers: tuple[tuple[str, float], ...]) -> tuple[Fault, Fault]:
    """The same with another distance."""

    def both(points: Points) -> tuple[Array, Array]:
        norms = [distance(points[x], points[y]).value.exact for x, y in (PAIRS if points["swap"] else PAIRS[:2])]
        return norms[0], np.min(norms[1:], axis=0)

    shown = tuple(Witness(args={"anchor": [[x]], "positive": [[-x]], "negative": [[-x]]}, dtype=d) for d, x in numbers)
    return (
        replace(OVERFLOW, region=lambda points: infinite(*both(points), points), witnesses=shown),
        replace(HALTED, region=lambda points: halted(*both(points), points), witnesses=shown, seen=PARTIAL),
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


def _shown(name: str) -> Region:
    """Rows where a squared norm overflows, entries that are more than rounding."""

    def region(points: Points) -> Mask:
        truth = points.truth.gradients[name]
        visible = np.abs(truth.exact) > 64.0 * points.precision.u * truth.reference
        return np.asarray(_any(cosine_similarity.overflowing)(points)[:, None] & visible, np.bool_)

    return region


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


def _clamped(name: str) -> Region:
    def region(points: Points) -> Mask:
        truth = points.truth.gradients[name]
        distances = [cosine_distance(pair["x1"], pair["x2"]).value.exact for _, pair in _pairs(points)]
        gap = distances[0] - np.min(distances[1:], axis=0) + points["margin"]
        live = (gap > -32.0 * points.precision.u * (2.0 + points["margin"]))[:, None]
        return np.asarray(live & (_turnings(points, name) > 32.0 * points.precision.u * truth.reference), np.bool_)

    return region


def _turned(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        return np.asarray(np.abs(got - truth.exact) <= bound + (1.0 + 1e-2) * _turnings(points, name), np.bool_)

    return Seen(text="off by at most the gradients of norms that divide", holds=holds, exact=False)


def _missing(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    """A cosine of 0 and its gradient in place of one or more of the three."""
    shown = PARTIAL.holds(got, truth, points, bound)
    if got.ndim == 1:
        return shown | (np.abs(got - truth.exact) <= 2.0 + bound)
    steepest = np.max([_steepest(pair) for _, pair in _pairs(points)], axis=0)
    return np.asarray(shown | (np.abs(got) <= 4.0 * steepest[:, None]), np.bool_)


def _steepest(pair: Points) -> Array:
    """1 / the least of two norms, or eps."""
    norms = [np.hypot.reduce(pair[name], axis=-1) for name in ("x1", "x2")]
    return np.asarray(1.0 / np.maximum(np.minimum(norms[0], norms[1]), pair["eps"]))


MISSING = Seen(
    text="value: off by up to two cosines; gradient: inf, nan or that of fewer cosines", holds=_missing, exact=False
)
LONG = Fault(
    name="squared norms overflow",
    where="the squared norm of a vector beyond the largest number",
    region=_any(cosine_similarity.overflowing),
    outputs=("value",),
    dtypes=("float64", "float32", "bfloat16"),
    seen=MISSING,
    witnesses=tuple(
        Witness(args={"anchor": [[x, x]], "positive": [[-x, -x]], "negative": [[1.0, 2.0]]}, dtype=dtype)
        for dtype, x in (("float32", 2.0**65), ("float64", 2.0**520))
    ),
)
COSINE_FAULTS = (
    LONG,
    *(
        replace(
            LONG,
            name=f"squared norms overflow: gradient of {name}",
            where="the squared norm of a vector beyond the largest number, where the gradient is more than rounding",
            region=_shown(name),
            outputs=(name,),
            witnesses=tuple(
                Witness(args={"anchor": [[x, 0.0]], "positive": [[x, x]], "negative": [[-x, x]]}, dtype=dtype)
                for dtype, x in (("float32", 2.0**65), ("float64", 2.0**520))
            ),
        )
        for name in OUTPUTS[1:]
    ),
    Fault(
        name="eps is 0 in float16",
        where="a zero vector, in float16",
        region=_any(cosine_similarity.no_eps),
        outputs=OUTPUTS,
        dtypes=("float16",),
        seen=NAN,
        witnesses=(Witness(args={"anchor": [[0.0]], "positive": [[1.0]], "negative": [[1.0]]}, dtype="float16"),),
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
BIG = (("float16", 1.5 * 2.0**15), ("float32", 1.5 * 2.0**127), ("float64", 1.5 * 2.0**1023))

SUBJECTS = (
    *builtin(CONTRACT, faults=(*overflow(pairwise_distance, BIG), POWERS, *SLOPES, HALVES)),
    *measured_by(COSINE, cosine, WithCosine, "1.0 - F.cosine_similarity(x, y)", COSINE_FAULTS),
    *measured_by(
        SQUARED, squared, WithSquares, "(x - y).square().sum(dim=1)", (*overflow(squared_distance, BIG), STEEP)
    ),
    *measured_by(
        MAXIMUM,
        maximum,
        WithMaximum,
        "torch.max(torch.abs(x - y), dim=1).values",
        overflow(partial(pairwise_distance, p=np.inf, eps=0.0), BIG),
    ),
)
