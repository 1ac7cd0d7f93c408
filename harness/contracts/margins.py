"""Parts of the contracts of multi-class hinge losses: scores of classes, of which that of the target keeps a margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Parameter
from harness.contracts.multi_margin_loss import chosen
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits
from harness.laws import Moved, everywhere
from harness.special import SPECIAL_VALUES, Special
from harness.ulp import round_to

NEAR = 1e-3
DIMS = {"C": (5, 1, 2, 10, 64)}
ARGS = (
    Arg(name="input", kind=Logits(), dims=("C",)),
    Arg(name="target", kind=ClassIndex(), role="target"),
)
MARGIN = Parameter(name="margin", values=(1.0, 0.3))
OFF_TARGET = {"+inf": "+inf", "nan": "nan"}
ON_TARGET = {"+inf": "0", "-inf": "+inf", "nan": "nan", "+largest": "0"}


def won(at: Points) -> Moved:
    """The target ahead by twice the margin."""
    x = round_to(at.precision, np.where(chosen(at), 2.0 * abs(at["margin"]), 0.0))
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


def multi_margin(torch: Any) -> Any:
    """The loss of torch to compare with."""
    return lambda **given: torch.nn.functional.multi_margin_loss(**given, reduction="none")


def _score(value: str, place: int, wanted: dict[str, str]) -> Special:
    """A score of 0.5, one of ``value`` and one of -1 against the class at ``place``."""
    return Special(
        condition=f"score={value} {'on' if place else 'off'} target",
        args={"input": [[0.5, value, -1.0]], "target": [place]},
        want=wanted.get(value, "formula"),
        covers=(("input", value),),
    )


SPECIALS = (
    *(_score(value, 0, OFF_TARGET) for value in SPECIAL_VALUES),
    *(_score(value, 1, ON_TARGET) for value in SPECIAL_VALUES),
    Special(condition="scores=-inf off target", args={"input": [["-inf", 0.0, "-inf"]], "target": [1]}, want="0"),
    Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
    Special(condition="ahead by just the margin", args={"input": [[2.0, 1.0, 1.0]], "target": [0]}, want="0"),
)
