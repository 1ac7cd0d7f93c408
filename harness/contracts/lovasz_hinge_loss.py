"""Binary Lovasz hinge of logits: the convex surrogate of the Jaccard error of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Binary, Logits
from harness.laws import Mask, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.lovasz import lovasz_hinge_loss
from reference.mp import lovasz

NEAR = 1e-3
NO_LABEL = "a label is 0 or 1"


def _near_kink(at: Points) -> Mask:
    """An error within NEAR of 0, or two within NEAR."""
    errors = np.sort(1.0 - (2.0 * at["target"] - 1.0) * at["input"], axis=1)
    close = (np.diff(errors, axis=1) < NEAR).any(axis=1) | (np.abs(errors) < NEAR).any(axis=1)
    return np.asarray(close, np.bool_)


def _won(at: Points) -> Moved:
    """Every pixel on its side, by twice the margin."""
    args = {**at.args, "input": 2.0 * (2.0 * np.asarray(at["target"]) - 1.0)}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=everywhere(at))


def _as_published(torch: Any) -> Any:
    def loss(input: Any, target: Any) -> Any:
        errors, order = torch.sort(1 - (2 * target.double() - 1) * input.double(), dim=1, descending=True)
        labels = target.double().gather(1, order)
        total = labels.sum(dim=1, keepdim=True)
        jaccard = 1 - (total - labels.cumsum(dim=1)) / (total + (1 - labels).cumsum(dim=1))
        return (torch.relu(errors) * torch.diff(jaccard, dim=1, prepend=torch.zeros_like(total))).sum(dim=1)

    return loss


def _logit(value: str, label: float) -> Special:
    """A logit of a special value beside two pixels that are right."""
    wrong = {"-inf": "+inf", "+inf": "0"} if label else {"+inf": "+inf", "-inf": "0"}
    return Special(
        condition=f"logit={value} of a label {label:g}",
        args={"input": [[value, 2.0, -2.0]], "target": [[label, 1.0, 0.0]]},
        want="nan" if value == "nan" else wrong.get(value, "formula"),
        covers=(("input", value),),
    )


def _label(value: str) -> Special:
    legal = value in ("+0", "-0")
    return Special(
        condition=f"label={value}",
        args={"input": [[0.5, -0.25]], "target": [[value, 1.0]]},
        want="formula" if legal else "outside",
        reason="" if legal else NO_LABEL,
        covers=(("target", value),),
    )


CONTRACT = Contract(
    name="lovasz_hinge_loss",
    module="LovaszHingeLoss",
    summary="Lovasz extension of the Jaccard error of an image, at the hinge errors of its pixels.",
    formula="sum of max(e_i, 0) (J_i - J_(i-1)), e = 1 - (2 y - 1) x falling, J_i the Jaccard error of the first i",
    sources=(
        "Berman, Triki and Blaschko, The Lovasz-Softmax Loss, CVPR 2018, definition 2 and algorithm 1",
        "lovasz_hinge of https://github.com/bermanmaxim/LovaszSoftmax, with per_image",
    ),
    dims={"P": (16, 1, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("P",)),
        Arg(name="target", kind=Binary(), dims=("P",), role="target", differentiable=False),
    ),
    oracle=lovasz_hinge_loss,
    definition=lovasz.lovasz_hinge_loss,
    layouts=("rows", "strided"),
    scales="B_ref = B_acc = abs(f), as the Jaccard error never falls; of gradients their magnitude, the order being "
    "that of (2 y - 1) x, which does not round; B_abs = 1 + max abs(x), of gradients 1",
    specials=(
        *(_logit(value, label) for label in (1.0, 0.0) for value in SPECIAL_VALUES),
        *map(_label, SPECIAL_VALUES),
        Special(
            condition="one wrong of two positives: half of its error",
            args={"input": [[-1.0, 3.0, -3.0]], "target": [[1.0, 1.0, 0.0]]},
            want=1.0,
        ),
        Special(
            condition="one wrong negative beside two positives: a third of its error",
            args={"input": [[2.0, 3.0, 0.5]], "target": [[1.0, 1.0, 0.0]]},
            want=0.5,
        ),
        Special(
            condition="no positive: the largest error",
            args={"input": [[0.25, -0.5, 0.5]], "target": [[0.0, 0.0, 0.0]]},
            want=1.5,
        ),
        Special(
            condition="logits of 0: the Jaccard error of all pixels",
            args={"input": [[0.0, 0.0, 0.0, 0.0]], "target": [[1.0, 0.0, 1.0, 0.0]]},
            want=1.0,
        ),
        Special(
            condition="every pixel at just the margin",
            args={"input": [[1.0, -1.0]], "target": [[1.0, 0.0]]},
            want="0",
        ),
    ),
    laws=(
        permuted(("input", "target"), name="the order of pixels does not matter"),
        Vanishing(name="0 where every pixel is ahead by twice the margin", move=_won),
        Sibling(name="algorithm 1 in float64", move=_same, loss=_as_published, real=("input", "target")),
        non_negative(),
    ),
    near_kink=_near_kink,
)
