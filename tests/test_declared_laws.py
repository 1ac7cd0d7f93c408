"""Laws that hold of a declared loss because of the kinds and names of its arguments: nobody has to ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.api import UsageError
from harness.checks.base import Context
from harness.checks.laws import ordered
from harness.domain import Arg, Interval, Score
from harness.effort import QUICK
from harness.lawbook import implied
from harness.registry import enlist, specimens, subjects
from harness.ulp import FLOAT32
from lossproof import Result, validate
from lossproof.inputs import (
    binary,
    boxes,
    class_index,
    embedding,
    lengths,
    log_simplex,
    logits,
    mask,
    positive,
    probability,
    real,
    sign,
    simplex,
    soft_label,
    weight,
)

SMALL = {"low": -8.0, "high": 8.0}
Declared = dict[str, Any]


def judged(loss: Any, inputs: Declared, **options: Any) -> Result:
    result = validate(loss, inputs=inputs, **{"dtype": "float32", "check": "laws", "name": "it", **options})
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return result


def asked(result: Result) -> list[str]:
    return [t.item for t in result.trials if "costs" in t.item]


# -- a perfect prediction is the minimum; a right one costs no more than a wrong one -----------------------------------

REAL: Declared = {"pred": real("N"), "target": real("N")}
ROWS: Declared = {"pred": real("N", "D", **SMALL), "target": real("N", "D", **SMALL)}
VECTORS: Declared = {"pred": embedding("N", "D"), "target": embedding("N", "D")}
BATCH: Declared = {"pred": real("B", **SMALL), "target": real("B", **SMALL)}
ONE: Declared = {"input": logits("N"), "target": binary("N")}
IMAGE: Declared = {"input": logits("N", 1, "H", "W"), "mask": binary("N", 1, "H", "W")}
MANY: Declared = {"input": logits("N", "C"), "target": class_index("N")}
PIXELS: Declared = {"input": logits("N", "C", "H", "W"), "target": class_index("N", "H", "W")}
SIGNS: Declared = {"input": logits("N"), "target": sign("N")}
CHANCE: Declared = {"p": probability("N", "D"), "y": binary("N", "D")}
SOFT: Declared = {"p": probability("N", "D"), "y": soft_label("N", "D")}
SHARES: Declared = {"p": simplex("N", "C"), "y": class_index("N")}
LOGARITHMS: Declared = {"input": log_simplex("N", "C"), "target": simplex("N", "C")}
TAUGHT: Declared = {"student": logits("N", "C"), "teacher": simplex("N", "C")}
CORNERS: Declared = {"predicted": boxes("N"), "wanted": boxes("N")}
SEQUENCE: Declared = {"input": logits("N", "T", "C"), "target": class_index("N", "T"), "length": lengths("N", of="T")}


def ce(input: Tensor, target: Tensor, **options: Any) -> Tensor:
    return F.cross_entropy(input, target, reduction="none", **options)


def bce(input: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(input, target, reduction="none")


def dice(p: Tensor, y: Tensor) -> Tensor:
    return 1 - (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)


def focal(p: Tensor, y: Tensor) -> Tensor:
    right = torch.where(y == 1, p, 1 - p).clamp(1e-6, 1 - 1e-6)
    return -((1 - right) ** 2 * right.log()).sum(1)


def iou(predicted: Tensor, wanted: Tensor) -> Tensor:
    sides = (torch.minimum(predicted, wanted)[:, 2:] - torch.maximum(predicted, wanted)[:, :2]).clamp(min=0)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (predicted, wanted)]
    both = sides.prod(dim=1)
    return 1 - both / (areas[0] + areas[1] - both)


def of_sequence(input: Tensor, target: Tensor, length: Tensor) -> Tensor:
    kept = torch.arange(input.shape[1]) < length[:, None]
    clean = torch.where(kept[..., None], input, 0.0)
    loss = F.cross_entropy(clean.transpose(1, 2), target * kept, reduction="none")
    return (loss * kept).sum(dim=1) / length


PERFECT: list[tuple[str, Callable[..., Tensor], Declared]] = [
    ("mse", lambda pred, target: (pred - target).square(), REAL),
    ("huber of rows", lambda pred, target: F.smooth_l1_loss(pred, target, reduction="none").sum(1), ROWS),
    ("quantile", lambda pred, target: torch.maximum(0.9 * (target - pred), 0.1 * (pred - target)), REAL),
    ("welsch", lambda pred, target: -torch.exp(-(pred - target).square() / 2), REAL),
    ("of a batch", lambda pred, target: (pred - target).abs().mean().sqrt(), BATCH),
    ("cosine", lambda pred, target: 1 - F.cosine_similarity(pred, target), VECTORS),
    ("iou", iou, CORNERS),
    ("rates", lambda pred, target: pred - target * pred.log(), {"pred": positive("N"), "target": positive("N")}),
    (
        "gaussian",
        lambda input, target, var: 0.5 * (var.log() + (input - target).square() / var),
        {"input": real("N", **SMALL), "target": real("N", **SMALL), "var": positive("N")},
    ),
]
RIGHT: list[tuple[str, Callable[..., Tensor], Declared]] = [
    ("bce", bce, ONE),
    ("dice of an image", lambda input, mask: dice(input.sigmoid().flatten(1), mask.flatten(1)), IMAGE),
    ("cross-entropy", ce, MANY),
    ("smoothed", lambda input, target: ce(input, target, label_smoothing=0.2), MANY),
    ("bounded", lambda input, target: 1 - input.softmax(1).gather(1, target[:, None])[:, 0] ** 0.7, MANY),
    ("of a small image", lambda input, target: ce(input, target).mean((1, 2)), PIXELS),
    ("hinge", lambda input, target: F.relu(1 - target * input), SIGNS),
    ("dice", dice, CHANCE),
    ("focal", focal, CHANCE),
    ("dice of soft labels", dice, SOFT),
    ("nll of shares", lambda p, y: -p.gather(1, y[:, None])[:, 0].clamp(min=1e-6).log(), SHARES),
    ("kl", lambda input, target: F.kl_div(input, target, reduction="none").sum(1), LOGARITHMS),
    ("distilled", lambda student, teacher: F.cross_entropy(student, teacher, reduction="none"), TAUGHT),
    ("of a sequence", of_sequence, SEQUENCE),
    (
        "weighed",
        lambda input, target, w: w * bce(input, target),
        {"input": logits("N", largest=1.0), "target": binary("N"), "w": weight("N")},
    ),
    (
        "masked",
        lambda input, target, m: (m * bce(torch.where(m, input, 0.0), target)).sum(1),
        {"input": logits("N", "D"), "target": binary("N", "D"), "m": mask("N", "D")},
    ),
]


@pytest.mark.parametrize(("name", "loss", "inputs"), [*PERFECT, *RIGHT], ids=[row[0] for row in [*PERFECT, *RIGHT]])
def test_a_sound_loss_is_asked_which_prediction_is_best(name: str, loss: Any, inputs: Declared) -> None:
    for dtype in ("float64", "float16"):
        result = judged(loss, inputs, dtype=dtype)
        (item,) = asked(result)
        (law,) = (t for t in result.trials if t.item == item)
        assert law.cases >= 16
        assert law.findings == []


@pytest.mark.parametrize(("name", "loss", "inputs"), [*PERFECT, *RIGHT], ids=[row[0] for row in [*PERFECT, *RIGHT]])
def test_a_turned_sign_is_told_in_plain_language(name: str, loss: Any, inputs: Declared) -> None:
    @wraps(loss)
    def negative(*given: Tensor, **named: Tensor) -> Any:
        return -loss(*given, **named)

    result = judged(negative, inputs)
    (item,) = asked(result)
    (found,) = (f for t in result.trials if t.item == item for f in t.findings)
    assert (found.kind, found.severity) == ("law", "defect")
    assert "costs more than" in found.message
    assert "is the sign turned" in found.message
    assert found.reproduction
    assert not result.ok


WRONG: list[tuple[str, Callable[..., Tensor], Declared, str]] = [
    (
        "plus for minus",
        lambda pred, target: (pred + target).square(),
        REAL,
        "pred = target costs more than another pred",
    ),
    ("off by one", lambda pred, target: (pred - target - 1).abs(), REAL, "pred = target costs more than another pred"),
    (
        "cosine added",
        lambda pred, target: 1 + F.cosine_similarity(pred, target),
        VECTORS,
        "pred = target costs more than another pred",
    ),
    (
        "overlap",
        lambda predicted, wanted: 1 - iou(predicted, wanted),
        CORNERS,
        "predicted = wanted costs more than another predicted",
    ),
    (
        "labels turned",
        lambda input, target: bce(input, 1 - target),
        ONE,
        "input that is sure of the right target costs more than one that is sure of a wrong one",
    ),
    (
        "distance for similarity",
        lambda input, target: F.softmax(input, 1).gather(1, target[:, None])[:, 0],
        MANY,
        "input that is sure of the right target costs more than one that is sure of a wrong one",
    ),
]


@pytest.mark.parametrize(("name", "loss", "inputs", "says"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_formula_costs_the_right_prediction_more(name: str, loss: Any, inputs: Declared, says: str) -> None:
    result = judged(loss, inputs)
    assert [f.message.partition(": ")[2].partition(":")[0] for f in result.findings] == [says]
    assert not result.ok


def test_the_lines_of_the_finding_show_what_the_right_prediction_costs(capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_declared_laws import turned\nimport torch"
    (found,) = judged(turned, MANY, setup=setup, name="turned").findings
    exec(found.reproduction, {})
    assert repr(float.fromhex(found.got)) in capsys.readouterr().out


def turned(input: Tensor, target: Tensor) -> Tensor:
    return -ce(input, target)


UNTOLD: list[tuple[str, Callable[..., Tensor], Declared]] = [
    ("two points", lambda x, y: -(x * y).sum(1), {"x": real("N", "D", **SMALL), "y": real("N", "D", **SMALL)}),
    (
        "two views",
        lambda first, second: F.cosine_similarity(first, second, dim=1),
        {"first": embedding("N", "D"), "second": embedding("N", "D")},
    ),
    (
        "triplet",
        lambda anchor, positive, negative: F.triplet_margin_loss(anchor, positive, negative, reduction="none"),
        {n: embedding("N", "D") for n in ("anchor", "positive", "negative")},
    ),
    ("generator and critic", lambda real, fake: real - fake, {"real": logits("N"), "fake": logits("N")}),
    (
        "divergence",
        lambda mean, log_var: mean**2 + log_var.exp() - log_var,
        {n: real("N", **SMALL) for n in ("mean", "log_var")},
    ),
    (
        "rate by its logarithm",
        lambda log_input, target: log_input.exp() - target * log_input,
        {"log_input": real("N", low=0.0, high=8.0), "target": real("N", low=0.0, high=8.0)},
    ),
    (
        "distance of a pair",
        lambda input, target: F.hinge_embedding_loss(input, target, reduction="none"),
        {"input": real("N", **SMALL), "target": sign("N")},
    ),
    (
        "a critic whose labels are turned",
        lambda input, target: target * input,
        {"input": real("N", **SMALL), "target": sign("N")},
    ),
    (
        "advantage of any sign",
        lambda input, target, advantage: advantage * (input - target) ** 2,
        {n: real("N", **SMALL) for n in ("input", "target", "advantage")},
    ),
    (
        "learnt by time",
        lambda input, seen, time: bce(input, seen) * -time,
        {"input": logits("N"), "seen": binary("N"), "time": positive("N")},
    ),
]


@pytest.mark.parametrize(("name", "loss", "inputs"), UNTOLD, ids=[row[0] for row in UNTOLD])
def test_arguments_that_tell_no_prediction_imply_no_law(name: str, loss: Any, inputs: Declared) -> None:
    assert asked(judged(loss, inputs)) == []


def as_declared(arg: Arg, args: tuple[Arg, ...]) -> Arg:
    """A real number beside a label as ``logits`` declares it."""
    real_ = arg.kind == Interval() and arg.role == "input"
    labels = any(t.role == "target" and t.dims == arg.dims and getattr(t.kind, "hard", ()) for t in args)
    return replace(arg, kind=Score(low=-64.0, high=64.0)) if real_ and labels else arg


def test_no_loss_of_torch_and_no_specimen_breaks_what_its_arguments_imply() -> None:
    enlist("suites.specimens")
    asked_of, broken = 0, []
    for subject in (*subjects(), *specimens()):
        if subject.contract.name.startswith("hinge_embedding"):  # distances, which logits do not declare
            continue
        if subject.specimen is not None and subject.specimen.form == "wild":  # wrong, as is known of it
            continue
        args = subject.contract.args
        for law in implied(tuple(as_declared(a, args) for a in args)):
            context = Context(subject=subject, precision=FLOAT32, device="cpu", effort=QUICK, item=law.name)
            found = ordered(context, law)
            asked_of += 1
            broken += [f.message for f in found.findings]
    assert broken == []
    assert asked_of >= 90


def test_a_law_of_predictions_is_asked_by_name() -> None:
    points = {"x": real("N", **SMALL), "y": real("N", **SMALL)}
    law = ["lowest_at_perfect(x, y)"]
    assert asked(judged(lambda x, y: (x - y).square(), points, laws=law)) == [
        "a perfect prediction costs the least (x = y)"
    ]
    assert not judged(lambda x, y: -x * y, points, laws=law).ok
    chosen = {"distance": real("N", **SMALL), "same": sign("N"), "score": logits("N")}
    loss: Any = lambda distance, same, score: same * score + 0 * distance  # noqa: E731
    assert judged(loss, chosen).ok
    assert not judged(loss, chosen, laws=["right_costs_less(score, same)"]).ok
    assert len(asked(judged(bce, ONE, laws=["right_costs_less(input, target)"]))) == 1


@pytest.mark.parametrize(
    ("law", "says"),
    [
        ("right_costs_less(pred, target)", "expected scores or probabilities pred"),
        ("lowest_at_perfect(pred)", "missing 1 required positional argument"),
        ("lowest_at_perfect(pred, other)", "expected arguments among pred, target"),
        ("lowest", "expected one of non_negative, .*right_costs_less"),
    ],
)
def test_a_law_that_does_not_fit_is_said(law: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        judged(lambda pred, target: (pred - target) ** 2, REAL, laws=[law])


def test_arguments_that_are_arranged_imply_no_law() -> None:
    assert asked(judged(bce, ONE, arrange=lambda args, _: args)) == []


def test_a_loss_that_is_no_number_for_a_right_prediction_is_said_to_be_unjudged() -> None:
    result = judged(lambda pred, target: (pred - target) ** 2 * torch.log((pred - target).abs()), REAL)
    (item,) = asked(result)
    (found,) = (f for t in result.trials if t.item == item for f in t.findings)
    assert (found.severity, "no row in which both are numbers" in found.message) == ("note", True)
