"""torch's triplet_margin_with_distance_loss, by itself and with three distances of the user's."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.binding import Subject, bind
from harness.contract import Contract
from harness.contracts.triplet_margin_with_distance_loss import CONTRACT, COSINE, MAXIMUM, SQUARED
from harness.deviations import PARTIAL, Fault, Mask, Points, Seen, Witness
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.triplet_cosine import FAULTS
from harness.subjects.triplet_margin_loss import (
    APART,
    HALTED,
    NAN_LOSS,
    NOT_DOUBLE,
    OUTPUTS,
    OVERFLOW,
    PAIRS,
    POWERS,
    SLOPES,
    halted,
    infinite,
)
from harness.ulp import Array
from reference.distance import pairwise_distance, squared_distance
from reference.truth import Truth

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
            witnesses=tuple(w for w in halting if w.dtype in dtypes),
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


ENDLESS = replace(
    APART,
    name="an infinite distance has a slope of nan",
    where="an infinite entry, also where its distance does not count",
    region=lambda points: np.any([np.isinf(points[name]).any(axis=-1) for name in OUTPUTS[1:]], axis=0),
    dtypes=("float64", "float32", "bfloat16"),
    seen=Seen(text="nan", holds=lambda got, truth, points, bound: np.isnan(got), exact=False),
    witnesses=(Witness(args={"anchor": [[1.0, 2.0]], "positive": [[-1.0, 5.0]], "negative": [["inf", 3.0]]}),),
)
HALVES = replace(
    APART,
    name="the backward divides by an infinite norm",
    where="a distance beyond the largest number",
    dtypes=("float16",),
    witnesses=APART.witnesses[:1],
)
NAN_PLAIN = replace(
    NAN_LOSS,
    witnesses=(Witness(args={"anchor": [[1.0, 2.0]], "positive": [[0.0, 0.0]], "negative": [["nan", 1.0]]}),),
)
NAN_EUCLIDEAN = replace(
    NAN_LOSS,
    witnesses=(Witness(args={"anchor": [[1.0, 2.0]], "positive": [[0.0, 1.0]], "negative": [["nan", 1.0]]}),),
)
SUBJECTS = (
    *builtin(
        CONTRACT,
        faults=(
            *overflow(pairwise_distance, LINEAR, ("float32",)),
            NAN_EUCLIDEAN,
            ENDLESS,
            POWERS,
            *SLOPES,
            HALVES,
        ),
    ),
    *measured_by(COSINE, cosine, WithCosine, "1.0 - F.cosine_similarity(x, y)", (*FAULTS, NAN_EUCLIDEAN)),
    *measured_by(
        SQUARED,
        squared,
        WithSquares,
        "(x - y).square().sum(dim=1)",
        (*overflow(squared_distance, QUADRATIC, NOT_DOUBLE), NAN_PLAIN, STEEP),
    ),
    *measured_by(
        MAXIMUM,
        maximum,
        WithMaximum,
        "torch.max(torch.abs(x - y), dim=1).values",
        (*overflow(partial(pairwise_distance, p=np.inf, eps=0.0), LINEAR, ("float32", "float16")), NAN_PLAIN),
    ),
)
