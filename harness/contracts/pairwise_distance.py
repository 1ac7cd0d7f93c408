"""Distance of two embeddings in a p-norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Embedding
from harness.laws import Law, Moved, Sibling, everywhere, non_negative, permuted, scaled
from harness.special import ErrorInput, Special, Wanted, table
from reference.distance import pairwise_distance
from reference.mp import embedding

NEAR = 1e-3
INF = float("inf")
INFINITE: Mapping[str, Wanted | tuple[str, str]] = {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}


def near_kink(x1: Any, x2: Any, p: float, eps: float) -> npt.NDArray[np.bool_]:
    """Rows where an entry of the difference is near 0 or, for a maximum or minimum, near the runner-up."""
    size = np.abs(np.asarray(x1, np.float64) - x2 + eps)
    near = (size < NEAR).any(axis=-1)
    if np.isinf(p) and size.shape[-1] > 1:
        order = np.sort(size, axis=-1)
        near |= (order[:, -1] - order[:, -2] < NEAR) if p > 0 else (order[:, 1] - order[:, 0] < NEAR)
    return np.asarray(near, np.bool_)


def _without_eps(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(everywhere(at) & (at["eps"] == 0.0), np.bool_)


def _exchanged(at: Points) -> Moved:
    return Moved(args={"x1": at["x2"], "x2": at["x1"]}, parameters=at.parameters, applies=_without_eps(at))


def _negated(at: Points) -> Moved:
    """norm(x - y + eps) = norm(-y - (-x) + eps)."""
    args = {"x1": -np.asarray(at["x2"]), "x2": -np.asarray(at["x1"])}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _kept(at: Points) -> Moved:
    return Moved(args=at.args, parameters={k: at[k] for k in ("p", "eps")}, applies=everywhere(at))


def _keepdim(torch: Any) -> Any:
    return lambda x1, x2, p, eps: torch.nn.functional.pairwise_distance(x1, x2, p, eps, keepdim=True)[:, 0]


CONTRACT = Contract(
    name="pairwise_distance",
    module="PairwiseDistance",
    summary="p-norm of the difference of two vectors, eps added to each of its entries.",
    formula="(sum over i of abs(x1_i - x2_i + eps)**p)**(1 / p); p = inf takes the largest of them, p = -inf the least",
    sources=("torch.nn.PairwiseDistance",),
    dims={"D": (5, 1, 8)},
    args=(Arg(name="x1", kind=Embedding(), dims=("D",)), Arg(name="x2", kind=Embedding(), dims=("D",))),
    parameters=(
        Parameter(name="p", values=(2.0, 1.0, 3.0, INF, 0.5, -1.0)),
        Parameter(name="eps", values=(1e-6, 0.0)),
        Parameter(name="keepdim", values=(False,)),
    ),
    oracle=pairwise_distance,
    definition=embedding.pairwise_distance,
    reductions={},
    layouts=("rows", "matrix", "strided", "single"),
    scales="B_ref = abs(f) + sum abs(d_i df/dd_i), d the difference; B_abs = sum of abs(x1_i) + abs(x2_i) + eps",
    specials=(
        *table("x1", {"x2": [[1.0, 2.0]]}, INFINITE, rest=(3.0,)),
        *table("x2", {"x1": [[1.0, 2.0]]}, INFINITE, rest=(3.0,)),
        Special(
            condition="3-4-5 without eps",
            args={"x1": [[3.0, 4.0]], "x2": [[0.0, 0.0]]},
            parameters={"eps": 0.0},
            want=5.0,
        ),
        Special(
            condition="the same vector without eps",
            args={"x1": [[3.0, 4.0]], "x2": [[3.0, 4.0]]},
            parameters={"eps": 0.0},
            want="0",
        ),
        Special(
            condition="the same vector, eps 0.25",
            args={"x1": [[3.0] * 4], "x2": [[3.0] * 4]},
            parameters={"eps": 0.25},
            want=0.5,
        ),
        Special(
            condition="p=-1 without eps, an equal entry",
            args={"x1": [[3.0, 4.0]], "x2": [[3.0, 2.0]]},
            parameters={"p": -1.0, "eps": 0.0},
            want="0",
        ),
        Special(
            condition="p=1 sums",
            args={"x1": [[3.0, -4.0]], "x2": [[1.0, 1.0]]},
            parameters={"p": 1.0, "eps": 0.0},
            want=7.0,
        ),
        Special(
            condition="p=inf takes the largest",
            args={"x1": [[3.0, -4.0]], "x2": [[1.0, 1.0]]},
            parameters={"p": INF, "eps": 0.0},
            want=5.0,
        ),
        Special(condition="one dimension", args={"x1": [[2.0]], "x2": [[-1.0]]}, parameters={"eps": 0.0}, want=3.0),
    ),
    varied_by={"keepdim": "keepdim=True keeps the last dimension"},
    laws=(
        Law(name="symmetric without eps", move=_exchanged, gradients={"x1": ("x2", 1.0), "x2": ("x1", 1.0)}),
        Law(
            name="exchanging and negating both changes nothing",
            move=_negated,
            gradients={"x1": ("x2", -1.0), "x2": ("x1", -1.0)},
        ),
        permuted(("x1", "x2"), name="the order of entries does not matter"),
        scaled(("x1", "x2"), 3, 1, where=_without_eps),
        non_negative(),
        Sibling(name="keepdim=True keeps the last dimension", move=_kept, loss=_keepdim, real=("x1", "x2")),
    ),
    errors=(
        ErrorInput(
            name="vectors of different dimensions",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 4)),
            raises=("RuntimeError",),
            match="must match the size",
        ),
        ErrorInput(
            name="truth values",
            call=lambda torch, loss: loss(torch.ones(2, 3) > 0, torch.ones(2, 3) > 0),
            raises=("RuntimeError",),
            match="not supported",
        ),
        ErrorInput(
            name="largest of no entries",
            call=lambda torch, loss: loss(torch.ones(2, 0), torch.ones(2, 0), p=INF),
            raises=("RuntimeError",),
            match="does not have an identity",
        ),
    ),
    near_kink=lambda at: near_kink(at["x1"], at["x2"], at["p"], at["eps"]),
)
