"""Binary focal loss on probabilities."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Binary, Probability
from harness.laws import Law, Moved, non_negative
from harness.special import SPECIAL_VALUES, Special, table
from harness.ulp import round_to
from reference.focal import binary_focal_loss
from reference.mp import focal

NO_PROBABILITY = ("outside", "not a probability")
OUTSIDE = dict.fromkeys(("+largest", "-largest", "-subnormal", "-normal", "+inf", "-inf", "nan"), NO_PROBABILITY)
NO_LABEL = ("outside", "a label is 0 or 1")


def _mirror(at: Points) -> Moved:
    x = 1.0 - at["input"]
    exact = (round_to(at.precision, x) == x) & (1.0 - x == at["input"])
    args = {"input": np.where(exact, x, at["input"]), "target": 1.0 - at["target"]}
    return Moved(args=args, parameters={**at.parameters, "alpha": 1.0 - at["alpha"]}, applies=exact)


CONTRACT = Contract(
    name="binary_focal_loss",
    module="BinaryFocalLoss",
    summary="Binary cross-entropy of a probability times a power of what it lacks, alpha for positives.",
    formula="-alpha_t (1 - p_t)**gamma log(p_t); p_t = x where y = 1, 1 - x where y = 0, alpha_t = alpha or 1 - alpha",
    sources=("Lin et al., Focal Loss for Dense Object Detection (2017), equation 5",),
    args=(
        Arg(name="input", kind=Probability(edges=(1e-12,))),
        Arg(name="target", kind=Binary(), role="target", differentiable=False),
    ),
    parameters=(Parameter(name="alpha", values=(0.25, 0.75)), Parameter(name="gamma", values=(2.0, 0.0, 1.0, 0.5))),
    oracle=binary_focal_loss,
    definition=focal.binary_focal_loss,
    scales="B_ref = (1 + gamma) abs(f): log1p(-x), and 1 - p_t to a power; B_abs = alpha_t (1 - log(p_t)), of the "
    "gradient alpha_t (1 + gamma) / p_t",
    specials=(
        *table("input", {"target": 1.0}, OUTSIDE | {"+0": "+inf", "-0": "+inf"}),
        *table("input", {"target": 0.0}, OUTSIDE | {"+0": "0", "-0": "0"}),
        *table("target", {"input": 0.25}, dict.fromkeys(SPECIAL_VALUES, NO_LABEL) | {"+0": "formula"}),
        Special(condition="certain and right", args={"input": [1.0], "target": [1.0]}, want="0"),
        Special(condition="certain and wrong", args={"input": [1.0], "target": [0.0]}, want="+inf"),
        Special(
            condition="published: even odds of both labels at alpha 0.75",
            args={"input": [0.5, 0.5], "target": [1.0, 0.0]},
            parameters={"alpha": 0.75},
            want=0.0866,
            reduction="mean",
        ),
        Special(
            condition="published: 0.9 and 0.1, both right, at alpha 0.75",
            args={"input": [0.9, 0.1], "target": [1.0, 0.0]},
            parameters={"alpha": 0.75},
            want=0.0005,
            reduction="mean",
        ),
        Special(
            condition="without focus: half of the cross-entropy of even odds",
            args={"input": [0.5, 0.5], "target": [1.0, 0.0]},
            parameters={"gamma": 0.0},
            want=0.3466,
            reduction="mean",
        ),
        Special(
            condition="without focus: half of the cross-entropy of 0.9 and 0.1",
            args={"input": [0.9, 0.1], "target": [1.0, 0.0]},
            parameters={"gamma": 0.0},
            want=0.0527,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="mirror: x against y as 1 - x against 1 - y at 1 - alpha",
            move=_mirror,
            needs=("alpha",),
            gradients={"input": ("input", -1.0)},
        ),
        non_negative(),
    ),
)
