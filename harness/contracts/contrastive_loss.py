"""Contrastive loss of a pair of embeddings and a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Binary, Embedding
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, exchanged, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special, table
from reference.contrastive import contrastive_loss
from reference.mp import contrastive

NEAR = 1e-3
BESIDE = [[1.0, 2.0]]
NO_LABEL = ("outside", "labels are 0 and 1")
PAIR = ("input1", "input2")


def _distance(at: Points) -> npt.NDArray[np.float64]:
    difference = np.asarray(at["input1"], np.float64) - at["input2"]
    return np.asarray(np.hypot.reduce(difference, axis=-1), np.float64)


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    d = _distance(at)
    return np.asarray((at["target"] == 0.0) & ((d < NEAR) | (np.abs(d - at["margin"]) < NEAR)), np.bool_)


def _similar(at: Points) -> Moved:
    args = {**at.args, "input2": np.asarray(at["input1"]).copy()}
    return Moved(args=args, parameters=at.parameters, applies=at["target"] == 1.0)


def _far(at: Points) -> Moved:
    """Dissimilar embeddings beyond the margin."""
    x = np.clip(np.asarray(at["input1"], np.float64), -1.0, 1.0)
    args = {**at.args, "input1": x, "input2": np.where(x < 0.0, 8.0, -8.0)}
    return Moved(args=args, parameters=at.parameters, applies=at["target"] == 0.0)


def _negated(at: Points) -> Moved:
    args = {**at.args, **{n: -np.asarray(at[n]) for n in PAIR}}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _as_squares(at: Points) -> Moved:
    args = {"input": np.asarray(at["input1"]), "target": np.asarray(at["input2"])}
    return Moved(args=args, parameters={}, applies=at["target"] == 1.0, factor=0.5)


def _squares(torch: Any) -> Any:
    return lambda input, target: torch.nn.functional.mse_loss(input, target, reduction="none").sum(dim=-1)


CONTRACT = Contract(
    name="contrastive_loss",
    module="ContrastiveLoss",
    summary="Half the squared distance of a similar pair, or of what a dissimilar one lacks to the margin.",
    formula="target d**2 / 2 + (1 - target) max(0, margin - d)**2 / 2; d = norm(input1 - input2)",
    sources=("Hadsell, Chopra and LeCun, CVPR 2006, equation 4, with target = 1 - Y",),
    dims={"D": (5, 1, 8)},
    args=(
        Arg(name="input1", kind=Embedding(), dims=("D",)),
        Arg(name="input2", kind=Embedding(), dims=("D",)),
        Arg(name="target", kind=Binary(), role="target", differentiable=False),
    ),
    parameters=(Parameter(name="margin", values=(1.0, 2.0, 0.5)),),
    oracle=contrastive_loss,
    definition=contrastive.contrastive_loss,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + max(0, margin - d)(margin + d), only margin - d cancels; B_abs = squares of all sizes",
    specials=(
        *table(
            "input1", {"input2": BESIDE, "target": 1.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}, rest=(3.0,)
        ),
        *table("input1", {"input2": BESIDE, "target": 0.0}, {"+inf": "0", "-inf": "0", "nan": "nan"}, rest=(3.0,)),
        *table(
            "input2", {"input1": BESIDE, "target": 1.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}, rest=(3.0,)
        ),
        *table("input2", {"input1": BESIDE, "target": 0.0}, {"+inf": "0", "-inf": "0", "nan": "nan"}, rest=(3.0,)),
        *table(
            "target",
            {"input1": [[1.0, 2.0]], "input2": [[1.5, 2.0]]},
            {name: NO_LABEL for name in SPECIAL_VALUES if name not in ("+0", "-0")} | {"nan": "nan"},
        ),
        Special(
            condition="similar, 5 apart: 25 / 2",
            args={"input1": [[3.0, 4.0]], "input2": [[0.0, 0.0]], "target": [1.0]},
            want=12.5,
        ),
        Special(
            condition="dissimilar, at half the margin",
            args={"input1": [[0.5, 0.0]], "input2": [[0.0, 0.0]], "target": [0.0]},
            want=0.125,
        ),
        Special(
            condition="dissimilar and equal: half the squared margin",
            args={"input1": [[3.0, 4.0]], "input2": [[3.0, 4.0]], "target": [0.0]},
            want=0.5,
        ),
        Special(
            condition="dissimilar, at the margin",
            args={"input1": [[1.0, 0.0]], "input2": [[0.0, 0.0]], "target": [0.0]},
            want="0",
        ),
        Special(
            condition="similar and equal",
            args={"input1": [[3.0, 4.0]], "input2": [[3.0, 4.0]], "target": [1.0]},
            want="0",
        ),
        Special(
            condition="mean of a similar and a dissimilar pair",
            args={"input1": [[3.0, 4.0], [0.5, 0.0]], "input2": [[0.0, 0.0], [0.0, 0.0]], "target": [1.0, 0.0]},
            want=6.3125,
            reduction="mean",
        ),
    ),
    laws=(
        exchanged("input1", "input2"),
        permuted(PAIR, name="the order of entries does not matter"),
        Law(name="negating both changes nothing", move=_negated, gradients={n: (n, -1.0) for n in PAIR}),
        Vanishing(name="0 for a similar pair of equal embeddings", move=_similar),
        Vanishing(name="0 for a dissimilar pair beyond the margin", move=_far),
        Sibling(
            name="half the summed mse_loss of a similar pair", move=_as_squares, loss=_squares, real=("input", "target")
        ),
        non_negative(),
    ),
    near_kink=_near_kink,
)
