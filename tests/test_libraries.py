"""Losses of maintained libraries, at the versions that constraints.txt pins.

What a library gets right passes; what it gets wrong is a Fault of that version, with the place in its source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import entmax
import kornia.losses
import pytest
import torch
from coral_pytorch import losses as coral
from pytorch_metric_learning import losses as metric_learning
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor

from harness.api import validate
from harness.inputs import binary, class_index, logits, real, simplex

pytestmark = pytest.mark.libraries


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Defects of one version of a library that have one cause."""

    shows: frozenset[tuple[str, str]]
    """(check, kind) of every defect."""
    version: str
    source: str
    """File and function."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A loss of a library and how it is judged."""

    loss: Callable[..., Any]
    package: str
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


MASKED = Fault(
    shows=frozenset({("range", "nan"), ("special", "nan"), ("laws", "law")}),
    version="1.3",
    source="entmax/losses.py, _GenericLossFunction.forward",
    reason="the dot product of probabilities and logits multiplies the 0 of a masked class by its -inf: nan for a loss "
    "that the other classes decide",
)
NO_SUPPORT = Fault(
    shows=frozenset({("special", "raised")}),
    version="1.3",
    source="entmax/activations.py, _sparsemax_threshold_and_support and _entmax_threshold_and_support",
    reason="no logit is above a threshold that is nan: the support has size 0, and its last index, -1, is gathered",
)
NOT_IGNORED = Fault(
    shows=frozenset({("laws", "raised")}),
    version="1.3",
    source="entmax/losses.py, _GenericLoss.forward",
    reason="an ignore_index below 0 is not looked for, its own default of -100 among them: the target -100 is gathered",
)
HALVED = Fault(
    shows=frozenset({("range", "overflow"), ("range", "nan")}),
    version="0.9.0",
    source="kornia/losses/divergence.py, _js_div_2d",
    reason="0.5 * (p + q) rounds to 0 where p + q is the smallest subnormal, and p log(p / 0) is inf for a result near "
    "0",
)
UNORDERED = Fault(
    shows=frozenset({("gradient", "unstable"), ("range", "vanished")}),
    version="0.9.0",
    source="kornia/losses/lovasz_hinge.py, lovasz_hinge_loss",
    reason="errors are put in order by 1 - s x, which is one number for all small logits: their slopes are those of "
    "another order",
)
RECTIFIED = Fault(
    shows=frozenset({("nonfinite", "finite-for-nan"), ("special", "finite-for-nan")}),
    version="0.9.0",
    source="kornia/losses/lovasz_hinge.py, lovasz_hinge_loss",
    reason="the slope of relu at nan is 1: the loss is nan, and its gradient a number in every logit",
)
ACOS = Fault(
    shows=frozenset({("gradient", "unstable"), ("range", "nan"), ("special", "nan"), ("special", "unstable")}),
    version="2.9.0",
    source="pytorch_metric_learning/losses/large_margin_softmax_loss.py, get_angles",
    reason="the slope of acos is infinite at 1 and -1, to which the cosine is clamped, and has few digits near them: "
    "nan along the weight of the class, and at small angles a wrong slope",
)


def lovasz_hinge_of_images(input: Tensor, target: Tensor) -> Tensor:
    """Rows as images of one line of pixels; their mean."""
    return kornia.losses.lovasz_hinge_loss(input[:, None, None], target[:, None])


PLAIN: Mapping[str, Any] = {"weight_init_func": torch.nn.init.zeros_, "reducer": DoNothingReducer()}
"""Weights that are replaced draw nothing, and a loss for each row."""


def arcface(
    embeddings: Tensor,
    weight: Tensor,
    labels: Tensor,
    scale: float = 64.0,
    margin: float = 0.5,
    reduction: str = "mean",
) -> Tensor:
    """With the class weights, of shape (C, D), in the place of the Module's own."""
    classes, size = weight.shape
    loss = metric_learning.ArcFaceLoss(classes, size, math.degrees(margin), scale, **PLAIN)
    losses = torch.func.functional_call(loss, {"W": weight.mT}, (embeddings, labels))["loss"]["losses"]
    return losses if reduction == "none" else getattr(torch, reduction)(losses)


REDUCTIONS = {"none": "none", "mean": "mean", "sum": "sum"}
OF_ELEMENTS = {"none": "none", "sum": "sum"}
ERROR = {"inputs": {"img1": real("N", "D"), "img2": real("N", "D")}, "reductions": OF_ELEMENTS}
HEATMAPS = {"inputs": {"pred": simplex("N", "1", "H", "W"), "target": simplex("N", "1", "H", "W")}}
IMAGES = {"pred": logits("B", "C", "H", "W"), "target": class_index("B", "H", "W")}
CLASSES = {"X": logits("N", "C", largest=64.0), "target": class_index("N")}
LEVELS = {"logits": logits("N", "C"), "levels": binary("N", "C")}

CASES = (
    Case(
        loss=kornia.losses.binary_focal_loss_with_logits,
        package="kornia",
        options={"inputs": {"pred": logits("N", "C"), "target": binary("N", "C")}, "reductions": OF_ELEMENTS},
    ),
    Case(
        loss=kornia.losses.focal_loss,
        package="kornia",
        options={"inputs": {"pred": logits("N", "C"), "target": class_index("N")}, "init": {"alpha": 0.25}},
    ),
    Case(loss=kornia.losses.dice_loss, package="kornia", options={"inputs": IMAGES}),
    Case(
        loss=kornia.losses.tversky_loss,
        package="kornia",
        options={"inputs": IMAGES, "init": {"alpha": 0.5, "beta": 0.5}},
    ),
    Case(loss=kornia.losses.kl_div_loss_2d, package="kornia", options=HEATMAPS),
    Case(loss=kornia.losses.js_div_loss_2d, package="kornia", options=HEATMAPS, faults=(HALVED,)),
    Case(loss=kornia.losses.charbonnier_loss, package="kornia", options=ERROR),
    Case(loss=kornia.losses.welsch_loss, package="kornia", options=ERROR),
    Case(loss=kornia.losses.cauchy_loss, package="kornia", options=ERROR),
    Case(loss=kornia.losses.geman_mcclure_loss, package="kornia", options=ERROR),
    Case(
        loss=lovasz_hinge_of_images,
        package="kornia",
        options={"like": "lovasz_hinge_loss"},
        faults=(UNORDERED, RECTIFIED),
    ),
    Case(loss=arcface, package="pytorch-metric-learning", options={"like": "arcface_loss"}, faults=(ACOS,)),
    Case(loss=entmax.sparsemax_loss, package="entmax", options={"like": "sparsemax_loss"}, faults=(MASKED, NO_SUPPORT)),
    Case(loss=entmax.entmax15_loss, package="entmax", options={"like": "entmax15_loss"}, faults=(MASKED, NO_SUPPORT)),
    Case(
        loss=entmax.SparsemaxLoss,
        package="entmax",
        options={"inputs": CLASSES, "init": {"reduction": "none"}},
        faults=(NOT_IGNORED,),
    ),
    Case(
        loss=entmax.EntmaxBisectLoss,
        package="entmax",
        options={"inputs": CLASSES, "init": {"alpha": 1.5, "reduction": "none"}},
        faults=(NOT_IGNORED,),
    ),
    Case(
        loss=coral.coral_loss,
        package="coral-pytorch",
        options={"inputs": LEVELS, "reductions": {**REDUCTIONS, "none": None}},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.package}-{case.loss.__name__}")
def test_a_loss_of_a_library_shows_its_faults_and_nothing_else(case: Case) -> None:
    for fault in case.faults:
        assert version(case.package) == fault.version, f"{fault.source}: a Fault of another version"
    result = validate(case.loss, dtype="float32", **case.options)
    assert {t.verdict for t in result.trials} <= {"pass", "fail"}, [t.reason for t in result.trials]
    found = {(t.check, f.kind) for t in result.trials for f in t.findings if f.severity == "defect"}
    messages = [f.message for f in result.findings if f.severity == "defect"]
    assert found == frozenset[tuple[str, str]]().union(*(fault.shows for fault in case.faults)), messages
