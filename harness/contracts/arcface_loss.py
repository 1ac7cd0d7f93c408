"""ArcFace: the additive angular margin loss of embeddings against the weights of their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.directions import beginning, embedded, lengthened
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Embedding, Matrix
from harness.laws import Law, Mask, Moved, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.angular import arcface_loss
from reference.mp import angular

NEAR = 2.0**-5
VECTORS = ("embeddings", "weight")
BESIDE: Mapping[str, Any] = {
    "embeddings": [[1.0, 2.0]],
    "weight": [[2.0, 1.0], [-1.0, 0.5], [0.5, -1.0]],
    "labels": [0],
}


def _near_kink(at: Points) -> Mask:
    """The angle to the own class within NEAR of 0 or pi, or its cosine within NEAR of the threshold."""
    x, w = at["embeddings"], at["weight"][at["labels"]]
    cosine = (x * w).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (w * w).sum(axis=1))
    return np.asarray((np.abs(cosine) > 1.0 - NEAR) | (np.abs(cosine + np.cos(at["margin"])) < NEAR), np.bool_)


def _special(argument: str, value: str) -> Special:
    others = BESIDE[argument][1:]
    return beginning(argument, value, lambda first: [first, *others], BESIDE)


def _reversed(at: Points) -> Moved:
    """The classes in the opposite order."""
    args = {**at.args, "weight": np.flip(at["weight"], axis=0).copy(), "labels": len(at["weight"]) - 1 - at["labels"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _alone(at: Points) -> Moved:
    """One class alone has probability 1."""
    args = {**at.args, "weight": at["weight"][:1], "labels": np.zeros_like(at["labels"])}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


CONTRACT = Contract(
    name="arcface_loss",
    module="ArcFaceLoss",
    summary="Cross-entropy of scaled cosines between an embedding and its classes, the own angle widened by a margin.",
    formula="-log softmax of s cos(theta_j), at the label y of s cos(theta_y + m), "
    "or s (cos(theta_y) - m sin(m)) where theta_y + m is beyond pi",
    sources=(
        "Deng, Guo, Xue and Zafeiriou, ArcFace: Additive Angular Margin Loss, CVPR 2019, equation 3",
        "pytorch_metric_learning.losses.ArcFaceLoss, for what is beyond pi",
    ),
    dims={"D": (5, 2), "C": (4, 1, 10)},
    args=(
        Arg(name="embeddings", kind=Embedding(), dims=("D",)),
        Arg(name="weight", kind=Matrix(), dims=("C", "D"), shared=True),
        Arg(name="labels", kind=ClassIndex(), role="target"),
    ),
    parameters=(Parameter(name="scale", values=(64.0, 8.0)), Parameter(name="margin", values=(0.5, 0.0))),
    oracle=arcface_loss,
    definition=angular.arcface_loss,
    arrange=embedded(VECTORS),
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + sum p_j s (the running errors of both cosines, of the own sine, and of the side of the "
    "threshold); B_abs = 1 + s (2 + m); of gradients the direction of the own angle errs by u / sin(theta)",
    specials=(
        *(_special(argument, value) for argument in VECTORS for value in SPECIAL_VALUES),
        Special(
            condition="along the weight of its class, across the other: log(1 + exp(-8 cos(0.5)))",
            args={"embeddings": [[3.0, 0.0]], "weight": [[1.0, 0.0], [0.0, 2.0]], "labels": [0]},
            parameters={"scale": 8.0},
            want=0.00089284,
        ),
        Special(
            condition="across both classes: log(1 + exp(8 sin(0.5)))",
            args={"embeddings": [[0.0, 1.0]], "weight": [[1.0, 0.0], [-1.0, 0.0]], "labels": [0]},
            parameters={"scale": 8.0},
            want=3.856767,
        ),
        Special(
            condition="against the weight of its class: log(1 + exp(8 (1 + 0.5 sin(0.5))))",
            args={"embeddings": [[-1.0, 0.0]], "weight": [[1.0, 0.0], [0.0, 1.0]], "labels": [0]},
            parameters={"scale": 8.0},
            want=9.917751,
        ),
        Special(
            condition="at an angle of 1.25 * 2**-12, of which 1 - cosine**2 has one bit in float32",
            args={
                "embeddings": [[1.0, 1.25 * 2.0**-12]],
                "weight": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
                "labels": [0],
            },
            want="formula",
        ),
        Special(condition="one class", args={**BESIDE, "weight": [[1.0, -2.0]]}, want="0"),
        Special(
            condition="mean of a row along its class and one across",
            args={
                "embeddings": [[3.0, 0.0], [0.0, 1.0]],
                "weight": [[1.0, 0.0], [-1.0, 0.0]],
                "labels": [0, 0],
            },
            want="formula",
            reduction="mean",
        ),
    ),
    laws=(
        Law(name="order of classes does not matter", move=_reversed),
        permuted(VECTORS, name="the order of entries does not matter"),
        lengthened(VECTORS, "embeddings and weights", ("embeddings",)),
        Vanishing(name="0 for one class alone", move=_alone),
        non_negative(),
    ),
    near_kink=_near_kink,
)
