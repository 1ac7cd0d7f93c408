"""Cross-entropy over the k largest logits, the loss of sparse-softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAWS, LAYOUTS, special_logits
from harness.deviations import Points
from harness.laws import Mask, Moved, Sibling
from harness.special import Special
from reference.mp.top_k import top_k_cross_entropy as definition
from reference.top_k import top_k_cross_entropy

NEAR = 1e-3


def _near_kink(at: Points) -> Mask:
    """The last of the k and the next logit within NEAR."""
    falling = -np.sort(-at["input"], axis=1)
    k = at["k"]
    if k >= falling.shape[1]:
        return np.zeros(len(falling), np.bool_)
    return np.asarray(~(falling[:, k - 1] - falling[:, k] >= NEAR), np.bool_)


def _all_chosen(at: Points) -> Moved:
    applies = np.full(len(at["target"]), at["k"] >= at["input"].shape[1])
    return Moved(args=at.args, parameters={}, applies=applies)


def _cross_entropy(torch: Any) -> Any:
    return lambda **given: torch.nn.functional.cross_entropy(**given, reduction="none")


CONTRACT = Contract(
    name="top_k_cross_entropy",
    module="TopKCrossEntropyLoss",
    summary="Cross-entropy of a class index under the softmax of the k largest logits.",
    formula="log(sum of exp(x_j) over the k largest x_j) - x_y",
    sources=(
        "Sun et al., Sparse-softmax: A Simpler and Faster Alternative Softmax Transformation (2021)",
        "https://arxiv.org/abs/2112.12433",
    ),
    dims=CLASSES,
    args=ARGS,
    parameters=(Parameter(name="k", values=(10, 3, 1)),),
    oracle=top_k_cross_entropy,
    definition=definition,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = those of cross_entropy over the k largest logits; B_abs = 1 + max abs(x), of gradients 2",
    specials=(
        *special_logits(tied=1.3862943611, confident=4.540096e-05, hopeless="+inf"),
        Special(
            condition="the target is not among the 3 largest: at least log 3",
            args={"input": [[2.0, 2.0, 0.0, 2.0]], "target": [2]},
            parameters={"k": 3},
            want=3.0986122887,
        ),
        Special(
            condition="four tied for three places: log 3",
            args={"input": [[7.0] * 4], "target": [2]},
            parameters={"k": 3},
            want=1.0986122887,
        ),
        Special(
            condition="the largest alone is the target",
            args={"input": [[0.5, 2.0, 1.0]], "target": [1]},
            parameters={"k": 1},
            want="0",
        ),
        Special(
            condition="of the largest alone the rest is a difference",
            args={"input": [[0.5, 2.0, 1.0]], "target": [0]},
            parameters={"k": 1},
            want=1.5,
        ),
    ),
    laws=(
        *LAWS,
        Sibling(name="cross_entropy where there are no more than k classes", move=_all_chosen, loss=_cross_entropy),
    ),
    near_kink=_near_kink,
)
