"""Cosine embedding loss of two embeddings and a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Embedding, Sign
from harness.laws import Law, Moved, Vanishing, everywhere, exchanged, non_negative, permuted
from harness.special import SPECIAL_VALUES, ErrorInput, Special, Wanted, table
from reference.cosine import cosine_similarity
from reference.embedding import cosine_embedding_loss
from reference.mp import embedding

NEAR = 1e-3
NO_DIRECTION = ("outside", "a vector with an infinite entry has no direction")
NO_LABEL = ("outside", "labels are 1 and -1")
INFINITE: Mapping[str, Wanted | tuple[str, str]] = {"+inf": NO_DIRECTION, "-inf": NO_DIRECTION, "nan": "nan"}
BESIDE = [[1.0, 2.0]]


def cosine(at: Points) -> npt.NDArray[np.float64]:
    """The cosine of every row, 0 where a vector is 0."""
    return cosine_similarity(at["input1"], at["input2"], eps=5e-324).value.exact


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    short = np.any([np.hypot.reduce(at[n], axis=-1) < 0.1 for n in ("input1", "input2")], axis=0)
    return np.asarray(short | ((at["target"] == -1.0) & (np.abs(cosine(at) - at["margin"]) < NEAR)), np.bool_)


def _opposite(at: Points) -> Moved:
    """cos - margin is never above 0 for opposite vectors."""
    x = np.asarray(at["input1"], np.float64)
    applies = (at["target"] == -1.0) & (np.abs(x).max(axis=-1) > 0.0)
    return Moved(args={**at.args, "input2": -x}, parameters=at.parameters, applies=applies)


def _parallel(at: Points) -> Moved:
    """A vector and its double; every other row on an axis, at a length where no step of the formula need round."""
    x = np.asarray(at["input1"], np.float64).copy()
    x[::2] = 0.0
    x[::2, 0] = 2.0 ** (np.log2(at.precision.largest) // 8)
    size = np.abs(x).max(axis=-1)
    applies = (at["target"] == 1.0) & (size > 0.0) & (size <= 0.25 * at.precision.largest)
    return Moved(args={**at.args, "input1": x, "input2": 2.0 * x}, parameters=at.parameters, applies=applies)


def _both_round(at: Points) -> Moved:
    args = {**at.args, "input1": -np.asarray(at["input1"]), "input2": -np.asarray(at["input2"])}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _mirrored(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Every other row becomes (x_1, y_2, ...) and (x_1, -y_2, ...), parallel, opposite or at any angle, exactly."""
    x, y = args["input1"].copy(), args["input2"].copy()
    x[::2, 1:] = y[::2, 1:]
    y[::2, 0] = x[::2, 0]
    y[::2, 1:] *= -1.0
    return {**args, "input1": x, "input2": y}


CONTRACT = Contract(
    name="cosine_embedding_loss",
    module="CosineEmbeddingLoss",
    summary="What the cosine of two vectors lacks to 1 where the label is 1, its excess over a margin where it is -1.",
    formula="1 - cos(x1, x2) where y = 1; max(0, cos(x1, x2) - margin) where y = -1",
    sources=("torch.nn.CosineEmbeddingLoss",),
    dims={"D": (5, 1, 8)},
    args=(
        Arg(name="input1", kind=Embedding(), dims=("D",)),
        Arg(name="input2", kind=Embedding(), dims=("D",)),
        Arg(name="target", kind=Sign(), role="target", differentiable=False),
    ),
    parameters=(Parameter(name="margin", values=(0.0, 0.5, -1.0)),),
    oracle=cosine_embedding_loss,
    definition=embedding.cosine_embedding_loss,
    layouts=("rows", "strided", "single"),
    scales="B_ref of 1 - cos = norm(x1^ - x2^)**2 / 2, unit vectors; B_abs = 2 + abs(margin), of the gradient 2 / norm",
    specials=(
        *table("input1", {"input2": BESIDE, "target": 1.0}, INFINITE, rest=(3.0,)),
        *table("input1", {"input2": BESIDE, "target": -1.0}, INFINITE, rest=(3.0,)),
        *table("input2", {"input1": BESIDE, "target": 1.0}, INFINITE, rest=(3.0,)),
        *table("target", {"input1": BESIDE, "input2": BESIDE}, dict.fromkeys(SPECIAL_VALUES, NO_LABEL)),
        Special(
            condition="a zero vector against label 1",
            args={"input1": [[0.0, 0.0]], "input2": BESIDE, "target": [1.0]},
            want=1.0,
        ),
        Special(
            condition="a zero vector against label -1",
            args={"input1": [[0.0, 0.0]], "input2": BESIDE, "target": [-1.0]},
            want="0",
        ),
        Special(
            condition="orthogonal vectors against label 1",
            args={"input1": [[3.0, 4.0]], "input2": [[4.0, -3.0]], "target": [1.0]},
            want=1.0,
        ),
        Special(
            condition="one dimension against label 1",
            args={"input1": [[0.75]], "input2": [[0.25]], "target": [1.0]},
            want="0",
        ),
        Special(
            condition="60 degrees against label -1 at a margin of 0.5",
            args={"input1": [[1.0, 1.0, 0.0]], "input2": [[0.0, 1.0, 1.0]], "target": [-1.0]},
            parameters={"margin": 0.5},
            want="formula",
        ),
        Special(
            condition="mean of opposite vectors against label 1 and equal ones against -1",
            args={"input1": [[3.0, 4.0], [3.0, 4.0]], "input2": [[-3.0, -4.0], [3.0, 4.0]], "target": [1.0, -1.0]},
            want=1.5,
            reduction="mean",
        ),
    ),
    laws=(
        exchanged("input1", "input2"),
        Law(
            name="turning both vectors round changes nothing",
            move=_both_round,
            gradients={"input1": ("input1", -1.0), "input2": ("input2", -1.0)},
        ),
        permuted(("input1", "input2"), name="the order of entries does not matter"),
        Vanishing(name="0 for parallel vectors where the label is 1", move=_parallel),
        Vanishing(name="0 for opposite vectors where the label is -1", move=_opposite),
        non_negative(),
    ),
    errors=(
        ErrorInput(
            name="vectors of different dimensions",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 4), torch.ones(2)),
            raises=("RuntimeError",),
            match="must match the size",
        ),
        ErrorInput(
            name="labels of another number of rows",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(3)),
            raises=("RuntimeError",),
            match="must match the size",
        ),
        ErrorInput(
            name="labels of two dimensions",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 1)),
            raises=("RuntimeError",),
            match="0D or 1D target tensor expected",
        ),
        ErrorInput(
            name="embeddings of three dimensions",
            call=lambda torch, loss: loss(torch.ones(1, 2, 3), torch.ones(1, 2, 3), torch.ones(2)),
            raises=("RuntimeError",),
            match="1D target tensor expects 2D input tensors",
        ),
        ErrorInput(
            name="reduction of no known name",
            call=lambda torch, loss: loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), reduction="average"),
            raises=("ValueError",),
            match="not a valid value for reduction",
        ),
    ),
    near_kink=_near_kink,
    arrange=_mirrored,
)
