"""Cosine similarity of two embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Embedding
from harness.laws import Law, Moved, Sibling, everywhere, exchanged, permuted
from harness.special import ErrorInput, Special, table
from reference.cosine import cosine_similarity
from reference.mp import embedding

NEAR = 1e-3
NO_DIRECTION = ("outside", "a vector with an infinite entry has no direction")


def _norms(at: Points) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    norms = [np.hypot.reduce(np.asarray(at[name], np.float64), axis=-1) for name in ("x1", "x2")]
    return norms[0], norms[1]


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(
        np.any([np.abs(n - at["eps"]) < NEAR * max(1.0, at["eps"]) for n in _norms(at)], axis=0), np.bool_
    )


def _opposite(at: Points) -> Moved:
    return Moved(args={**at.args, "x1": -at["x1"]}, parameters=at.parameters, applies=everywhere(at), factor=-1.0)


def _halved(at: Points) -> Moved:
    """Divided by 8, exactly, while the norm stays above eps."""
    x, p = np.asarray(at["x1"], np.float64), at.precision
    exact = ((np.abs(x) >= 2.0**6 * p.smallest_normal) | (x == 0.0)).all(axis=-1)
    return Moved(
        args={**at.args, "x1": x / 8.0}, parameters=at.parameters, applies=exact & (_norms(at)[0] > 9.0 * at["eps"])
    )


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={"eps": at["eps"]}, applies=everywhere(at))


def _along_first(torch: Any) -> Any:
    return lambda x1, x2, eps: torch.nn.functional.cosine_similarity(x1.T, x2.T, dim=0, eps=eps)


def _along_middle(torch: Any) -> Any:
    return lambda x1, x2, eps: torch.nn.functional.cosine_similarity(x1.T[None], x2.T[None], dim=-2, eps=eps)[0]


CONTRACT = Contract(
    name="cosine_similarity",
    module="CosineSimilarity",
    summary="Cosine of the angle between two vectors; of vectors shorter than eps, less.",
    formula="x1 . x2 / (max(norm(x1), eps) max(norm(x2), eps))",
    sources=(
        "torch.nn.functional.cosine_similarity",
        "torch.nn.CosineSimilarity, which documents max(norm(x1) norm(x2), eps) instead",
    ),
    dims={"D": (5, 1, 8)},
    args=(Arg(name="x1", kind=Embedding(), dims=("D",)), Arg(name="x2", kind=Embedding(), dims=("D",))),
    parameters=(Parameter(name="dim", values=(1, -1)), Parameter(name="eps", values=(1e-8, 0.5, 1e-30))),
    oracle=cosine_similarity,
    definition=embedding.cosine_similarity,
    reductions={},
    layouts=("rows", "strided"),
    scales="B_ref = sum abs(x1_i x2_i) / norms; B_abs = 1, of the gradient 2 / norm",
    specials=(
        *table("x1", {"x2": [[1.0, 2.0]]}, {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"}, rest=(3.0,)),
        *table("x2", {"x1": [[1.0, 2.0]]}, {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"}, rest=(3.0,)),
        Special(condition="x1 is a zero vector", args={"x1": [[0.0, 0.0]], "x2": [[1.0, 2.0]]}, want="0"),
        Special(condition="both are zero vectors", args={"x1": [[0.0, 0.0]], "x2": [[0.0, 0.0]]}, want="0"),
        Special(condition="the same vector", args={"x1": [[3.0, 4.0]], "x2": [[3.0, 4.0]]}, want=1.0),
        Special(condition="opposite vectors", args={"x1": [[3.0, -4.0]], "x2": [[-3.0, 4.0]]}, want=-1.0),
        Special(condition="orthogonal vectors", args={"x1": [[3.0, 4.0]], "x2": [[4.0, -3.0]]}, want="0"),
        Special(condition="angle of 60 degrees", args={"x1": [[1.0, 1.0, 0.0]], "x2": [[0.0, 1.0, 1.0]]}, want=0.5),
        Special(condition="one dimension", args={"x1": [[-2.0]], "x2": [[0.75]]}, want=-1.0),
        Special(
            condition="a vector of norm 0.25 below an eps of 0.5",
            args={"x1": [[0.25, 0.0]], "x2": [[3.0, 0.0]]},
            parameters={"eps": 0.5},
            want=0.5,
        ),
    ),
    laws=(
        exchanged("x1", "x2"),
        Law(
            name="turning one vector round turns the sign",
            move=_opposite,
            gradients={"x1": ("x1", 1.0), "x2": ("x2", -1.0)},
        ),
        Law(
            name="the length of a vector does not matter",
            move=_halved,
            gradients={"x1": ("x1", 8.0), "x2": ("x2", 1.0)},
        ),
        permuted(("x1", "x2"), name="the order of entries does not matter"),
        Sibling(name="dim=0 of the transposed batch", move=_same, loss=_along_first, real=("x1", "x2")),
        Sibling(name="dim=-2 of a batch of three dimensions", move=_same, loss=_along_middle, real=("x1", "x2")),
    ),
    errors=(
        ErrorInput(
            name="vectors of different dimensions",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 4)),
            raises=("RuntimeError",),
            match="must match the size",
        ),
        ErrorInput(
            name="integers",
            call=lambda torch, loss: loss(torch.ones(2, 3).long(), torch.ones(2, 3).long()),
            raises=("RuntimeError",),
            match="floating point",
        ),
        ErrorInput(
            name="dim that the tensors do not have",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), dim=2),
            raises=("IndexError",),
            match="Dimension out of range",
        ),
        ErrorInput(
            name="eps below 0",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), eps=-1.0),
            raises=("RuntimeError",),
            match="eps must be non-negative",
        ),
    ),
    near_kink=_near_kink,
)
