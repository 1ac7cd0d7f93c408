"""What the losses of scores and of the index of a class share: special weights, laws, calls that must raise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contracts.errors import NO_KERNEL, Tensors, refused, unknown_reduction
from harness.deviations import Points
from harness.laws import Law, Moved
from harness.special import SPECIAL_VALUES, ErrorInput, Special, Wanted
from harness.ulp import round_to

WEIGHT_RANGE = "weights are 0 or from 2**-12 to 2**10: beyond, the weight and not the loss leaves the range"
SHIFT = 4.0


def class_weights(args: Mapping[str, Any], place: int, want: Wanted = "0", of: str = "the target") -> list[Special]:
    """Special values of the weight of the class at ``place``, beside weights of 1 and 2; of a weight 0 ``want``."""
    rows = []
    for value in SPECIAL_VALUES:
        weight: list[Any] = [1.0, 2.0]
        weight.insert(place, value)
        legal = value in ("+0", "-0")
        rows.append(
            Special(
                condition=f"weight={value} of {of}",
                args={**args, "weight": weight},
                want=want if legal else "outside",
                reason="" if legal else WEIGHT_RANGE,
                covers=(("weight", value),),
            )
        )
    return rows


def _shifted(at: Points) -> Moved:
    """All scores moved by SHIFT, where that is exact."""
    x = at["input"]
    moved = round_to(at.precision, x + SHIFT)
    with np.errstate(invalid="ignore"):
        exact = ((moved - SHIFT == x) & (moved == x + SHIFT)).all(axis=1)
    return Moved(args={**at.args, "input": moved}, parameters=at.parameters, applies=exact)


def shifted(scores: str, *arguments: str) -> Law:
    """A constant added to all scores changes nothing, nor do the gradients of the scores and of ``arguments``."""
    gradients = {name: (name, 1.0) for name in ("input", *arguments)}
    return Law(name=f"adding {SHIFT:g} to all {scores} changes nothing", move=_shifted, gradients=gradients)


def _doubled(at: Points) -> Moved:
    here = np.full(len(at["input"]), "weight" in at.args)
    weight = 2.0 * np.asarray(at["weight"], np.float64) * np.ones(at["input"].shape[1])
    return Moved(args={**at.args, "weight": weight}, parameters=at.parameters, applies=here, factor=2.0)


TWICE_THE_WEIGHT = Law(name="twice the weight, twice the loss", move=_doubled, needs=("weight",))


def _indexed(index: list[Any], *weights: int, dtype: str = "int64", scores: tuple[int, ...] = (2, 3)) -> Tensors:
    """Scores of 0, class indices, and perhaps weights of 1 for so many classes."""
    return lambda torch: (
        torch.zeros(scores),
        torch.tensor(index, dtype=getattr(torch, dtype)),
        *(torch.ones(n) for n in weights),
    )


RIGHT = _indexed([0, 1])
SHORT_WEIGHT = "weight of another length than the classes"
BEYOND, BELOW = "class index at the number of classes", "class index -1"
WRONG_TENSORS: Mapping[str, Tensors] = {
    BEYOND: _indexed([0, 3]),
    BELOW: _indexed([0, -1]),
    "fewer targets than rows": _indexed([0]),
    "class indices of dtype int32": _indexed([0, 1], dtype="int32"),
    "class indices of dtype float32": _indexed([0, 1], dtype="float32"),
    "pixels of another shape than the targets": _indexed([[0] * 5] * 2, scores=(2, 3, 4)),
    SHORT_WEIGHT: _indexed([0, 1], 2),
}


IGNORING: Mapping[str, Mapping[str, int]] = {BEYOND: {"ignore_index": 3}, BELOW: {"ignore_index": -1}}
"""What makes some of these calls legal: their index is no class, but is ignored."""


def index_errors(scores: str, messages: Mapping[str, tuple[str | tuple[str, ...], str]]) -> tuple[ErrorInput, ...]:
    """The calls of WRONG_TENSORS that ``messages`` names, each with its exceptions and message.

    Beside them whole numbers as scores, and a reduction of no known name.
    """
    return (
        *(
            replace(refused(name, WRONG_TENSORS[name], raises, match), legal=IGNORING.get(name, {}))
            for name, (raises, match) in messages.items()
        ),
        refused(
            f"{scores} of dtype int64",
            lambda torch: (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1])),
            *NO_KERNEL,
        ),
        unknown_reduction(RIGHT),
    )


LIKELIHOOD_MESSAGES: Mapping[str, tuple[str, str]] = {
    BEYOND: ("IndexError", "Target 3 is out of bounds"),
    BELOW: ("IndexError", "Target -1 is out of bounds"),
    "fewer targets than rows": ("ValueError", "to match target batch_size"),
    "class indices of dtype int32": ("RuntimeError", "expected target dtype to be Long"),
    "class indices of dtype float32": ("RuntimeError", "expected target dtype to be Long"),
    "pixels of another shape than the targets": ("RuntimeError", "Expected target size"),
    SHORT_WEIGHT: ("RuntimeError", "weight tensor should be defined either for all"),
}
"""What cross_entropy and nll_loss say."""
