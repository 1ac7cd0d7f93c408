"""Triplet margin loss of an anchor, a positive and a negative example in a p-norm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.pairwise_distance import near_kink
from harness.deviations import Mask, Points
from harness.domain import Arg, Embedding
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import ErrorInput, Special, table
from reference.distance import pairwise_distance
from reference.embedding import triplet_margin_loss
from reference.mp import embedding
from reference.truth import Array, Truth

NEAR = 1e-3
BESIDE = {"positive": [[1.0, 2.0]], "negative": [[-1.0, 5.0]]}
TRIPLET = ("anchor", "positive", "negative")


def near_kink_of(
    at: Points, distance: Callable[[Array, Array], Truth], kink: Callable[[Array, Array], Mask]
) -> npt.NDArray[np.bool_]:
    """Rows near a kink of a distance, near that of the hinge or near a tie of the swap."""
    pairs = [(at["anchor"], at["positive"]), (at["anchor"], at["negative"]), (at["positive"], at["negative"])]
    near, far, other = (distance(x, y).value.exact for x, y in pairs)
    close = np.any([kink(x, y) for x, y in pairs], axis=0)
    if at["swap"]:
        close |= np.abs(far - other) < NEAR
        far = np.minimum(far, other)
    return np.asarray(close | (np.abs(near - far + at["margin"]) < NEAR), np.bool_)


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    p, eps = float(at["p"]), float(at["eps"])
    return near_kink_of(at, partial(pairwise_distance, p=p, eps=eps), partial(near_kink, p=p, eps=eps))


def negated(at: Points) -> Moved:
    """With eps = 0 every distance is that of the negated vectors."""
    args = {name: -np.asarray(at[name]) for name in TRIPLET}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at) & (at["eps"] == 0.0))


def far_apart(at: Points) -> Moved:
    """The positive example at the anchor and the negative far beyond the margin."""
    away = 2.0 ** np.ceil(np.log2(4.0 * (at["margin"] + 1.0)))
    anchor = np.clip(np.asarray(at["anchor"], np.float64), -1.0, 1.0)
    args = {"anchor": anchor, "positive": anchor, "negative": np.where(anchor < 0.0, away, -away)}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={k: at[k] for k in ("margin", "p", "eps", "swap")}, applies=everywhere(at))


def _by_distance(torch: Any) -> Any:
    def loss(anchor: Any, positive: Any, negative: Any, margin: float, p: float, eps: float, swap: bool) -> Any:
        distance = torch.nn.PairwiseDistance(p=p, eps=eps)
        return torch.nn.functional.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction="none"
        )

    return loss


ARGS = tuple(Arg(name=name, kind=Embedding(), dims=("D",)) for name in TRIPLET)
SHARED_SPECIALS = (
    *table("anchor", BESIDE, {"+inf": "nan", "-inf": "nan", "nan": "nan"}, rest=(3.0,)),
    *table(
        "positive",
        {"anchor": [[1.0, 2.0]], "negative": [[-1.0, 5.0]]},
        {"+inf": "+inf", "-inf": "+inf", "nan": "nan"},
        rest=(3.0,),
    ),
    *table(
        "negative",
        {"anchor": [[1.0, 2.0]], "positive": [[-1.0, 5.0]]},
        {"+inf": "0", "-inf": "0", "nan": "nan"},
        rest=(3.0,),
    ),
    Special(
        condition="three equal vectors cost the margin",
        args={name: [[3.0, 4.0]] for name in TRIPLET},
        want=1.0,
    ),
    Special(
        condition="mean of a triplet in order and one out of it",
        args={
            "anchor": [[0.0, 0.0], [0.0, 0.0]],
            "positive": [[3.0, 4.0], [6.0, 8.0]],
            "negative": [[6.0, 8.0], [3.0, 4.0]],
        },
        want="formula",
        reduction="mean",
    ),
    Special(
        condition="swap measures from the positive example",
        args={"anchor": [[0.0, 0.0]], "positive": [[3.0, 0.0]], "negative": [[4.0, 0.0]]},
        parameters={"swap": True},
        want="formula",
    ),
)
ERRORS = (
    ErrorInput(
        name="vectors of different dimensions",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 4)),
        raises=("RuntimeError",),
        match="must match the size",
    ),
    ErrorInput(
        name="a negative example without a batch dimension",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(3)),
        raises=("RuntimeError",),
        match="the same number of dimensions",
    ),
    ErrorInput(
        name="margin of 0",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3), margin=0.0),
        raises=("ValueError",),
        match="greater than 0",
    ),
    ErrorInput(
        name="reduction of no known name",
        call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 3), reduction="average"),
        raises=("ValueError",),
        match="not a valid value for reduction",
    ),
)


CONTRACT = Contract(
    name="triplet_margin_loss",
    module="TripletMarginLoss",
    summary="By how much the anchor is not closer to the positive than to the negative example by the margin.",
    formula="max(0, d(a, p) - d(a, n) + margin), d = pairwise_distance; with swap min(d(a, n), d(p, n)) for d(a, n)",
    sources=("torch.nn.TripletMarginLoss", "Balntas et al., BMVC 2016 (swap)"),
    dims={"D": (5, 1, 8)},
    args=ARGS,
    parameters=(
        Parameter(name="margin", values=(1.0, 0.3)),
        Parameter(name="p", values=(2.0, 1.0, 3.0, np.inf)),
        Parameter(name="eps", values=(1e-6, 0.0)),
        Parameter(name="swap", values=(False, True)),
    ),
    oracle=triplet_margin_loss,
    definition=embedding.triplet_margin_loss,
    layouts=("rows", "strided", "single"),
    scales="B_ref = those of both distances and the margin; B_abs = sum of all abs entries, of the gradient 2",
    specials=SHARED_SPECIALS,
    laws=(
        permuted(TRIPLET, name="the order of entries does not matter"),
        Law(
            name="negating all vectors changes nothing without eps",
            move=negated,
            gradients={name: (name, -1.0) for name in TRIPLET},
        ),
        Vanishing(name="0 where the negative example is far off", move=far_apart),
        non_negative(),
        Sibling(
            name="triplet_margin_with_distance_loss of PairwiseDistance", move=_same, loss=_by_distance, real=TRIPLET
        ),
    ),
    errors=ERRORS,
    near_kink=_near_kink,
)
