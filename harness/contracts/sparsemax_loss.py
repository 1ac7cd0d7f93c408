"""Fenchel-Young losses of the sparse transforms of logits against class indices: sparsemax and 1.5-entmax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contract import Contract
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAWS, LAYOUTS, special_logits
from harness.deviations import Points
from harness.laws import Moved, Vanishing, everywhere
from harness.special import Special
from reference import sparse
from reference.mp import sparse as definitions

LEAD = 2.0
"""By which the target is ahead of every other class so that it has all of the probability."""


def _ahead(at: Points) -> Moved:
    x = np.where(np.arange(at["input"].shape[1]) == at["target"][:, None], LEAD, 0.0)
    return Moved(args={**at.args, "input": x}, parameters=at.parameters, applies=everywhere(at))


CONTRACT = Contract(
    name="sparsemax_loss",
    module="SparsemaxLoss",
    summary="How far a class is from having all the probability of the Euclidean projection of logits on the simplex.",
    formula="-x_y + sum over the support of (x_j**2 - tau**2) / 2 + 1/2, p = max(x - tau, 0) of sum 1",
    sources=("Martins and Astudillo, From Softmax to Sparsemax, ICML 2016, https://arxiv.org/abs/1602.02068",),
    dims=CLASSES,
    args=ARGS,
    oracle=sparse.sparsemax_loss,
    definition=definitions.sparsemax_loss,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="B_ref = the rounding of max(x) - x_j and of tau in norm(p - onehot)**2 / 2 + max(tau - x_y, 0); "
    "B_abs = 1 + max abs(x), of gradients 2",
    specials=(
        *special_logits(tied=0.375, confident="0", hopeless="+inf"),
        Special(condition="two classes apart by 1/2", args={"input": [[0.5, 0.0]], "target": [0]}, want=0.0625),
        Special(
            condition="two classes apart by 1/2, the other", args={"input": [[0.5, 0.0]], "target": [1]}, want=0.5625
        ),
        Special(condition="ahead by just 1", args={"input": [[1.0, 0.0, 0.0]], "target": [0]}, want="0"),
        Special(condition="behind by 3", args={"input": [[3.0, 0.0]], "target": [1]}, want=3.0),
    ),
    laws=(*LAWS, Vanishing(name="0 where the target is ahead by 2", move=_ahead)),
)

ENTMAX = replace(
    CONTRACT,
    name="entmax15_loss",
    module="Entmax15Loss",
    summary="How far a class is from having all the probability of the 1.5-entmax of logits.",
    formula="(p - onehot) . x + (1 - sum of p**1.5) / 0.75, p = max(x / 2 - tau, 0)**2 of sum 1",
    sources=(
        "Peters, Niculae and Martins, Sparse Sequence-to-Sequence Models, ACL 2019, https://arxiv.org/abs/1905.05702",
    ),
    oracle=sparse.entmax15_loss,
    definition=definitions.entmax15_loss,
    scales="B_ref = the rounding of (max(x) - x_j) / 2 and of tau in the terms of the distances from the threshold; "
    "B_abs = 1 + max abs(x), of gradients 2",
    specials=(
        *special_logits(tied=0.66666666667, confident="0", hopeless="+inf"),
        Special(condition="two tied classes", args={"input": [[0.0, 0.0]], "target": [0]}, want=0.39052429175),
        Special(condition="ahead by just 2", args={"input": [[2.0, 0.0, 0.0]], "target": [0]}, want="0"),
        Special(condition="behind by 3", args={"input": [[3.0, 0.0]], "target": [1]}, want=3.0),
    ),
    laws=(*LAWS, Vanishing(name="0 where the target is ahead by 2", move=_ahead)),
)
