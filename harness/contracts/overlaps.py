"""What the losses of two soft sets have in common: arguments, special values, laws."""

from __future__ import annotations

import numpy as np

from harness.contract import Parameter
from harness.deviations import Points
from harness.domain import Arg, Probability, SoftLabel
from harness.laws import Law, Mask, Moved, Vanishing, everywhere, non_negative, permuted
from harness.special import Special, Wanted, table

DIMS = {"P": (16, 1, 300)}
ARGS = (
    Arg(name="input", kind=Probability(), dims=("P",)),
    Arg(name="target", kind=SoftLabel(), dims=("P",), role="target"),
)
SMOOTH = Parameter(name="smooth", values=(1.0, 1e-6, 0.0))

NO_SHARE = ("outside", "a membership is in [0, 1]")
_RESULTS: dict[str, Wanted | tuple[str, str]] = {"nan": "nan"}
_RESULTS |= dict.fromkeys(
    ("-subnormal", "-normal", "+largest", "-largest", "+inf", "-inf"),
    NO_SHARE,
)
MEMBERSHIPS = (
    *table("input", {"target": [[1.0, 0.0]]}, _RESULTS, rest=(0.25,)),
    *table("target", {"input": [[0.5, 0.25]]}, _RESULTS, rest=(1.0,)),
)
EMPTY = Special(
    condition="two empty sets, smoothed",
    args={"input": [[0.0, 0.0]], "target": [[0.0, 0.0]]},
    want="0",
)
UNDEFINED = Special(
    condition="two empty sets without smoothing: 0 / 0",
    args={"input": [[0.0, 0.0]], "target": [[0.0, 0.0]]},
    parameters={"smooth": 0.0},
    want="nan",
)


def counted(condition: str, want: float, **parameters: float) -> Special:
    """One member that both have, one that each has alone and one that none has."""
    args = {"input": [[1.0, 1.0, 0.0, 0.0]], "target": [[1.0, 0.0, 1.0, 0.0]]}
    return Special(condition=condition, args=args, parameters=parameters, want=want)


def _same(at: Points) -> Moved:
    """The target with its shares made whole, which no smoothing is needed for where it has members."""
    whole = np.where(np.asarray(at["target"]) >= 0.5, 1.0, 0.0)
    return Moved(
        args={**at.args, "input": whole, "target": whole},
        parameters=at.parameters,
        applies=everywhere(at) & (whole.any(axis=-1) | (at["smooth"] > 0.0)),
    )


def _full(at: Points) -> Mask:
    return np.asarray(np.isfinite(at.truth.value.exact), np.bool_)


LAWS: tuple[Law, ...] = (
    non_negative(_full),
    Vanishing(name="0 of a set and itself", move=_same),
    permuted(("input", "target"), name="the order of members does not matter"),
)
