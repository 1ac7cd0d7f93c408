"""Triplet margin loss with a distance of one's own: PairwiseDistance, 1 - cosine, sum of squares or maximum."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.pairwise_distance import near_kink
from harness.contracts.triplet_margin_loss import (
    ARGS,
    BESIDE,
    ERRORS,
    SHARED_SPECIALS,
    TRIPLET,
    far_apart,
    near_kink_of,
)
from harness.contracts.triplet_margin_loss import CONTRACT as EUCLIDEAN
from harness.deviations import Mask, Points
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import Special, table
from reference.cosine import cosine_distance
from reference.distance import pairwise_distance, squared_distance
from reference.embedding import triplet_margin_with_distance_loss
from reference.mp import embedding as definitions
from reference.truth import Array, Truth


def triplet_margin_with_cosine_distance(
    anchor: Array, positive: Array, negative: Array, *, margin: float = 1.0, swap: bool = False
) -> Truth:
    """With 1 - cosine_similarity."""
    return triplet_margin_with_distance_loss(anchor, positive, negative, distance="cosine", margin=margin, swap=swap)


def triplet_margin_with_squared_distance(
    anchor: Array, positive: Array, negative: Array, *, margin: float = 1.0, swap: bool = False
) -> Truth:
    """With the sum of squared differences."""
    return triplet_margin_with_distance_loss(anchor, positive, negative, distance="squared", margin=margin, swap=swap)


def triplet_margin_with_maximum_distance(
    anchor: Array, positive: Array, negative: Array, *, margin: float = 1.0, swap: bool = False
) -> Truth:
    """With the largest difference."""
    return triplet_margin_with_distance_loss(anchor, positive, negative, distance="maximum", margin=margin, swap=swap)


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={k: at[k] for k in ("margin", "swap")}, applies=everywhere(at))


def _plain(torch: Any) -> Any:
    def loss(anchor: Any, positive: Any, negative: Any, margin: float, swap: bool) -> Any:
        return torch.nn.functional.triplet_margin_loss(
            anchor, positive, negative, margin=margin, swap=swap, reduction="none"
        )

    return loss


def _negated(at: Points) -> Moved:
    args = {name: -np.asarray(at[name]) for name in TRIPLET}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _never(x: Array, y: Array) -> Mask:
    return np.zeros(len(x), np.bool_)


def _short(x: Array, y: Array) -> Mask:
    return np.asarray(np.any([np.hypot.reduce(v, axis=-1) < 0.1 for v in (x, y)], axis=0), np.bool_)


NEGATED = Law(
    name="negating all vectors changes nothing",
    move=_negated,
    gradients={name: (name, -1.0) for name in TRIPLET},
)

CONTRACT = Contract(
    name="triplet_margin_with_distance_loss",
    module="TripletMarginWithDistanceLoss",
    summary="By how much the anchor is not closer to the positive than to the negative example by the margin.",
    formula="max(0, d(a, p) - d(a, n) + margin), d = PairwiseDistance(); with swap min(d(a, n), d(p, n)) for d(a, n)",
    sources=("torch.nn.TripletMarginWithDistanceLoss", "Balntas et al., BMVC 2016 (swap)"),
    dims=EUCLIDEAN.dims,
    args=ARGS,
    parameters=(Parameter(name="margin", values=(1.0, 0.3)), Parameter(name="swap", values=(False, True))),
    oracle=triplet_margin_with_distance_loss,
    definition=definitions.triplet_margin_with_distance_loss,
    layouts=("rows", "strided"),
    scales=EUCLIDEAN.scales,
    specials=SHARED_SPECIALS,
    laws=(
        permuted(TRIPLET, name="the order of entries does not matter"),
        Vanishing(name="0 where the negative example is far off", move=far_apart),
        non_negative(),
        Sibling(name="triplet_margin_loss", move=_same, loss=_plain, real=TRIPLET),
    ),
    errors=ERRORS,
    near_kink=lambda at: near_kink_of(at, pairwise_distance, partial(near_kink, p=2.0, eps=1e-6)),
)

NO_DIRECTION = ("outside", "a vector with an infinite entry has no direction")
COSINE = replace(
    CONTRACT,
    name="triplet_margin_with_distance_loss_cosine",
    module="",
    summary="The same with 1 - cosine for distance.",
    formula="max(0, cos(a, n) - cos(a, p) + margin); with swap max(cos(a, n), cos(p, n)) for cos(a, n)",
    oracle=triplet_margin_with_cosine_distance,
    definition=partial(definitions.triplet_margin_with_distance_loss, distance="cosine"),
    scales="B_ref = those of both cosines, norm(x^ - y^)**2 / 2 with unit vectors, and the margin; B_abs = 4 + margin",
    specials=(
        *table("anchor", BESIDE, {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"}, rest=(3.0,)),
        *table(
            "positive",
            {"anchor": [[1.0, 2.0]], "negative": [[-1.0, 5.0]]},
            {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"},
            rest=(3.0,),
        ),
        *table(
            "negative",
            {"anchor": [[1.0, 2.0]], "positive": [[-1.0, 5.0]]},
            {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"},
            rest=(3.0,),
        ),
        Special(condition="three equal vectors cost the margin", args={n: [[3.0, 4.0]] for n in TRIPLET}, want=1.0),
        Special(condition="three zero vectors cost the margin", args={n: [[0.0, 0.0]] for n in TRIPLET}, want=1.0),
        Special(
            condition="positive opposite, negative parallel",
            args={"anchor": [[3.0, 4.0]], "positive": [[-3.0, -4.0]], "negative": [[3.0, 4.0]]},
            want=3.0,
        ),
    ),
    laws=(permuted(TRIPLET, name="the order of entries does not matter"), NEGATED, non_negative()),
    near_kink=lambda at: near_kink_of(at, cosine_distance, _short),
)
SQUARED = replace(
    CONTRACT,
    name="triplet_margin_with_distance_loss_squared",
    module="",
    summary="The same with the sum of squared differences for distance.",
    formula="max(0, sum (a - p)**2 - sum (a - n)**2 + margin); with swap min(it, sum (p - n)**2) for the second",
    sources=(*CONTRACT.sources, "Schroff, Kalenichenko and Philbin, CVPR 2015, equation 3 (FaceNet)"),
    oracle=triplet_margin_with_squared_distance,
    definition=partial(definitions.triplet_margin_with_distance_loss, distance="squared"),
    scales="B_ref = those of both sums and the margin; B_abs = sums of (abs(x) + abs(y))**2",
    laws=(
        permuted(TRIPLET, name="the order of entries does not matter"),
        NEGATED,
        Vanishing(name="0 where the negative example is far off", move=far_apart),
        non_negative(),
    ),
    near_kink=lambda at: near_kink_of(at, squared_distance, _never),
)
MAXIMUM = replace(
    SQUARED,
    name="triplet_margin_with_distance_loss_maximum",
    module="",
    summary="The same with the largest difference for distance.",
    formula="max(0, max abs(a - p) - max abs(a - n) + margin); with swap min(it, max abs(p - n)) for the second",
    oracle=triplet_margin_with_maximum_distance,
    definition=partial(definitions.triplet_margin_with_distance_loss, distance="maximum"),
    scales="B_ref = those of both distances and the margin; B_abs = sum of all abs entries",
    near_kink=lambda at: near_kink_of(
        at, partial(pairwise_distance, p=np.inf, eps=0.0), partial(near_kink, p=np.inf, eps=0.0)
    ),
)
