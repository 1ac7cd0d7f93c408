"""Categorical cross-entropy of given probabilities against class indices."""

from __future__ import annotations

from harness.contract import Contract
from harness.contracts.cross_entropy import NO_PROBABILITY
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Simplex
from harness.laws import Moved, Sibling, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference import softmax_family
from reference.mp import softmax_family as definitions


def _on_target(value: str) -> Special:
    wanted = {"+0": "+inf", "-0": "+inf", "+subnormal": "formula", "+normal": "formula", "nan": "nan"}
    want = wanted.get(value, "outside")
    return Special(
        condition=f"probability={value} of the target",
        args={"input": [[0.25, value, 0.75]], "target": [1]},
        want=want,
        reason=NO_PROBABILITY if want == "outside" else "",
        covers=(("input", value),),
    )


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters=at.parameters, applies=everywhere(at))


CONTRACT = Contract(
    name="categorical_cross_entropy",
    module="CategoricalCrossEntropyLoss",
    summary="Minus the logarithm of the probability of a class, of probabilities that are given.",
    formula="-log p_t, p = input as it is",
    sources=("keras.losses.SparseCategoricalCrossentropy(from_logits=False), without its clipping",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Simplex(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(), role="target"),
    ),
    oracle=softmax_family.categorical_cross_entropy,
    definition=definitions.categorical_cross_entropy,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f): one logarithm; B_abs = 1 + abs(f), of gradients 1 / p_t",
    specials=(
        *map(_on_target, SPECIAL_VALUES),
        Special(condition="probability=1 of the target", args={"input": [[0.0, 1.0]], "target": [1]}, want="0"),
        Special(condition="probability=0 off target", args={"input": [[0.0, 1.0]], "target": [1]}, want="0"),
        Special(condition="uniform", args={"input": [[0.25] * 4], "target": [2]}, want=1.3862943611),
        Special(
            condition="published: [[0.05,0.95,0],[0.1,0.8,0.1]] against [1,2]",
            args={"input": [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]], "target": [1, 2]},
            want=1.177,
            reduction="mean",
        ),
    ),
    laws=(
        permuted(("input",), index="target"),
        Sibling(
            name="is nll_loss of the logarithm",
            move=_same,
            loss=lambda torch: (
                lambda input, target: torch.nn.functional.nll_loss(torch.log(input), target, reduction="none")
            ),
            real=("input",),
        ),
        non_negative(),
    ),
)
