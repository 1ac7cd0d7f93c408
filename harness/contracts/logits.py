"""What the losses of the softmax probability of one class share: arguments, special logits, laws."""

from __future__ import annotations

import numpy as np

from harness.contracts.classes import shifted
from harness.contracts.cross_entropy import INFINITE_LOGIT
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Logits
from harness.laws import Law, Moved, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special

CLASSES = {"C": (5, 1, 2, 10, 64)}
LAYOUTS = ("rows", "strided")
ARGS = (
    Arg(name="input", kind=Logits(masked=True), dims=("C",)),
    Arg(name="target", kind=ClassIndex(), role="target"),
)


def unrivalled(at: Points) -> Moved:
    x = np.where(np.arange(at["input"].shape[1]) == at["target"][:, None], 0.0, -np.inf)
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


LAWS: tuple[Law, ...] = (
    shifted("logits"),
    permuted(("input",), index="target"),
    Vanishing(name="0 where every class but the target is masked", move=unrivalled),
    non_negative(),
)


def _off_target(value: str) -> Special:
    want, reason = {"+inf": ("outside", INFINITE_LOGIT), "nan": ("nan", "")}.get(value, ("formula", ""))
    args = {"input": [[0.5, value, -1.0]], "target": [0]}
    return Special(
        condition=f"logits={value} off target", args=args, want=want, reason=reason, covers=(("input", value),)
    )


def special_logits(tied: float, confident: str | float, *, hopeless: str | float) -> tuple[Special, ...]:
    """Special logits off the target, on it and everywhere, at the default parameters.

    The loss of four tied logits, of ``[10, 0, -10]`` against the first, and of a target that cannot be.
    """
    return (
        *map(_off_target, SPECIAL_VALUES),
        Special(condition="logits=-inf on target", args={"input": [[0.5, "-inf", -1.0]], "target": [1]}, want=hopeless),
        Special(condition="logits=+largest on target", args={"input": [[0.5, "+largest"]], "target": [1]}, want="0"),
        Special(
            condition="logits=-largest on target", args={"input": [[0.5, "-largest"]], "target": [1]}, want="formula"
        ),
        Special(
            condition="logits=+largest everywhere", args={"input": [["+largest"] * 4], "target": [1]}, want="formula"
        ),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(condition="tied logits", args={"input": [[7.0] * 4], "target": [2]}, want=tied),
        Special(
            condition="[10,0,-10] against the first",
            args={"input": [[10.0, 0.0, -10.0]], "target": [0]},
            want=confident,
        ),
    )
