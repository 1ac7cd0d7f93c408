"""Mean over classes of the binary cross-entropy of a logit and a label for each."""

from __future__ import annotations

import numpy as np

from harness.contract import Contract
from harness.contracts.classes import TWICE_THE_WEIGHT, class_weights
from harness.contracts.errors import NO_KERNEL, ones, refused, unknown_reduction
from harness.deviations import Points
from harness.domain import Arg, Binary, Logits, Weight
from harness.laws import Law, Moved, Sibling, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.mp import classes
from reference.multiclass import multilabel_soft_margin_loss

INFINITE_LOGIT = "the loss of an infinite logit that its label agrees with depends on the form of the formula"
NO_LABEL = "a label is 0 or 1"
OTHER_CLASSES = (("RuntimeError", "ValueError"), "must match the size")


def _mirror(at: Points) -> Moved:
    args = {**at.args, "input": -at["input"], "target": 1.0 - at["target"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters=at.parameters, applies=everywhere(at))


def _as_signs(at: Points) -> Moved:
    here = np.full(len(at["input"]), "weight" not in at.args)
    args = {"input": at["input"], "target": 2.0 * at["target"] - 1.0}
    return Moved(args=args, parameters=at.parameters, applies=here)


def _logit(value: str, label: float) -> Special:
    agrees, against = ("+inf", "-inf") if label else ("-inf", "+inf")
    wanted = {against: "+inf", "nan": "nan", agrees: "outside"}
    return Special(
        condition=f"logit={value} against {label:g}",
        args={"input": [[0.5, value, -1.0]], "target": [[1.0, label, 0.0]]},
        want=wanted.get(value, "formula"),
        reason=INFINITE_LOGIT if value == agrees else "",
        covers=(("input", value),),
    )


def _label(value: str) -> Special:
    want = {"+0": "formula", "-0": "formula", "nan": "nan"}.get(value, "outside")
    return Special(
        condition=f"label={value}",
        args={"input": [[0.5, 2.0, -1.0]], "target": [[1.0, value, 0.0]]},
        want=want,
        reason=NO_LABEL if want == "outside" else "",
        covers=(("target", value),),
    )


CONTRACT = Contract(
    name="multilabel_soft_margin_loss",
    module="MultiLabelSoftMarginLoss",
    summary="Mean over the classes of the negative log-likelihood of a label under the sigmoid of a logit.",
    formula="mean over classes of weight * [y softplus(-x) + (1 - y) softplus(x)]",
    sources=("torch.nn.MultiLabelSoftMarginLoss",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("C",)),
        Arg(name="target", kind=Binary(), dims=("C",), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    oracle=multilabel_soft_margin_loss,
    definition=classes.multilabel_soft_margin_loss,
    layouts=("rows", "matrix", "strided", "single"),
    scales="B_ref = sum of both non-negative terms; B_abs = mean of weight (1 + abs(x)), of the gradient weight / C",
    specials=(
        *(_logit(value, label) for label in (0.0, 1.0) for value in SPECIAL_VALUES),
        *(_label(value) for value in SPECIAL_VALUES),
        *class_weights(
            {"input": [[0.5, 2.0, -1.0]], "target": [[1.0, 0.0, 0.0]]}, place=1, want="formula", of="a class"
        ),
        Special(condition="no evidence: log 2", args={"input": [[0.0] * 3], "target": [[0.0, 1.0, 0.0]]}, want=0.6931),
        Special(condition="one class, right by 1", args={"input": [[1.0]], "target": [[1.0]]}, want=0.3133),
        Special(
            condition="logits=+largest everywhere, labels 1",
            args={"input": [["+largest"] * 4], "target": [[1.0] * 4]},
            want="0",
        ),
        Special(
            condition="logits=+largest everywhere, labels 0",
            args={"input": [["+largest"] * 4], "target": [[0.0] * 4]},
            want="formula",
        ),
        Special(
            condition="wrong by 100 in one class of two",
            args={"input": [[100.0, 100.0]], "target": [[0.0, 1.0]]},
            want=50.0,
        ),
        Special(
            condition="mean of a row right by 1 and one wrong by 1",
            args={"input": [[1.0, 1.0], [1.0, 1.0]], "target": [[1.0, 1.0], [0.0, 0.0]]},
            want=0.8133,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="mirror: x against y as -x against 1 - y",
            move=_mirror,
            gradients={"input": ("input", -1.0), "target": ("target", -1.0)},
        ),
        permuted(("input", "target"), per_class=("weight",)),
        TWICE_THE_WEIGHT,
        Sibling(
            name="mean over classes of binary_cross_entropy_with_logits",
            move=_same,
            loss=lambda torch: (
                lambda **given: torch.nn.functional.binary_cross_entropy_with_logits(**given, reduction="none").mean(-1)
            ),
            real=("target",),
        ),
        Sibling(
            name="mean over classes of soft_margin_loss with labels -1 and 1",
            move=_as_signs,
            loss=lambda torch: lambda **given: torch.nn.functional.soft_margin_loss(**given, reduction="none").mean(-1),
            real=("target",),
        ),
        non_negative(),
    ),
    errors=(
        refused("labels for other classes than the logits", ones((2, 3), (2, 2)), *OTHER_CLASSES),
        refused("weight of another length than the classes", ones((2, 3), (2, 3), 2), *OTHER_CLASSES),
        refused(
            "logits of dtype int64",
            lambda torch: (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)),
            *NO_KERNEL,
        ),
        unknown_reduction(ones((2, 3), (2, 3)), "average is not valid"),
    ),
)
