"""Mistakes that people make are told by name, and a loss without them is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.api import UsageError
from lossproof import validate
from lossproof.inputs import binary, logits, positive, probability, real


def told(loss: Any, like: str, dtype: str = "float32") -> list[str]:
    result = validate(loss, like=like, check="mistakes", dtype=dtype, name="loss")
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return [f.message for f in result.findings if f.kind == "mistake"]


BCE, CE, NLL = F.binary_cross_entropy_with_logits, F.cross_entropy, F.nll_loss


def of_shares(p: Tensor, y: Tensor) -> Tensor:
    return -(y * p.log() + (1 - y) * (1 - p).log())


MISTAKES: list[tuple[str, str, Callable[..., Tensor]]] = [
    ("sigmoid_twice", BCE.__name__, lambda input, target: BCE(input.sigmoid(), target, reduction="none")),
    ("softmax_twice", CE.__name__, lambda input, target: CE(input.softmax(1), target, reduction="none")),
    ("sigmoid_before_softmax", CE.__name__, lambda input, target: CE(input.sigmoid(), target, reduction="none")),
    ("order", BCE.__name__, lambda y_true, y_pred: BCE(y_pred, y_true, reduction="none")),
    ("probabilities", "kl_div", lambda input, target: F.kl_div(input.exp(), target, reduction="none")),
    ("classes_from_1", CE.__name__, lambda input, target: CE(input, (target - 1) % input.shape[1], reduction="none")),
    ("labels_cut", BCE.__name__, lambda input, target: BCE(input, target.trunc(), reduction="none")),
    ("numbers_cut", "mse_loss", lambda input, target: (input - target.long()).square()),
    ("labels_0_1", "soft_margin_loss", lambda input, target: F.softplus(-(2 * target - 1) * input)),
    ("base_2", CE.__name__, lambda input, target: CE(input, target, reduction="none") / math.log(2)),
    ("sign", CE.__name__, lambda input, target: -CE(input, target, reduction="none")),
    ("halved", "mse_loss", lambda input, target: 0.5 * (input - target).square()),
    ("seven_times", "mse_loss", lambda input, target: 7 * (input - target).square()),
    ("constant", "mse_loss", lambda input, target: (input - target).square() + 0.25),
    ("sigmoid_of_probability", "binary_cross_entropy", lambda input, target: BCE(input, target, reduction="none")),
    ("axis", CE.__name__, lambda input, target: NLL(input.log_softmax(0), target, reduction="none")),
    ("sigmoid_missing", BCE.__name__, lambda input, target: of_shares(input.clamp(1e-7, 1 - 1e-7), target)),
    ("sigmoid_missing_nan", BCE.__name__, lambda x, y: of_shares(x, y) + 0 * y),
    ("softmax_missing", CE.__name__, lambda input, target: NLL(input.clamp(min=1e-8).log(), target, reduction="none")),
    ("log_softmax_missing", CE.__name__, lambda input, target: NLL(input, target, reduction="none")),
    ("log_missing", CE.__name__, lambda input, target: NLL(input.softmax(1), target, reduction="none")),
    (
        "log_missing_of_ignored",
        CE.__name__,
        lambda input, target, ignore_index=-100: NLL(
            input.softmax(1), target, ignore_index=ignore_index, reduction="none"
        ),
    ),
    ("axis_of_positions", CE.__name__, lambda input, target: NLL(input.log_softmax(-1), target, reduction="none")),
    ("mean_for_sum", "categorical_cross_entropy", lambda p, y: NLL(p.log(), y, reduction="none") / p.shape[1]),
]
SAYS = {
    "sigmoid_twice": "a sigmoid is applied to input first: twice",
    "softmax_twice": "a softmax is applied to input first: twice",
    "sigmoid_before_softmax": "a sigmoid is applied to input before the softmax of the loss",
    "order": "input and target are in each other's place",
    "probabilities": "input holds log-probabilities and is taken for probabilities",
    "classes_from_1": "target is taken to count from 1",
    "labels_cut": "target is cut to whole numbers",
    "numbers_cut": "target is cut to whole numbers",
    "labels_0_1": "target is -1 or 1 and is taken for 0 or 1",
    "base_2": "the logarithm has base 2",
    "sign": "the sign is turned",
    "halved": "every value is halved",
    "seven_times": "every value is 7 times what it should be",
    "constant": "a constant is added to every value: 0.25",
    "sigmoid_of_probability": "input holds probabilities, and a sigmoid is applied to it again",
    "axis": "the softmax of input is taken over its first axis",
    "sigmoid_missing": "input is taken for probabilities: the sigmoid is missing",
    "sigmoid_missing_nan": "input is taken for probabilities: the sigmoid is missing",
    "softmax_missing": "input is taken for probabilities: the softmax is missing",
    "log_softmax_missing": "input is taken for log-probabilities: the log_softmax is missing",
    "log_missing": "the softmax of input is taken where its logarithm, log_softmax, is meant",
    "log_missing_of_ignored": "the softmax of input is taken where its logarithm, log_softmax, is meant",
    "axis_of_positions": "the softmax of input of shape (N, C, d) is taken over its last axis, the positions, not",
    "mean_for_sum": "the mean over the",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "like", "loss"), MISTAKES, ids=[name for name, _, _ in MISTAKES])
def test_a_mistake_is_told_by_name(name: str, like: str, loss: Any, dtype: str) -> None:
    (message,) = told(loss, like, dtype)
    assert message.startswith(f"loss: {SAYS[name]}")


class _Uphill(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(input, target)
        return (input - target).square()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        input, target = ctx.saved_tensors
        return -2 * (input - target) * upstream, -2 * (input - target) * upstream


def uphill(input: Tensor, target: Tensor) -> Tensor:
    return _Uphill.apply(input, target)  # type: ignore[no-any-return]


GRADIENTS: list[tuple[str, str, Callable[..., Tensor], str]] = [
    (
        "wrong_sign",
        "mse_loss",
        uphill,
        "the gradient with respect to input has the wrong sign",
    ),
    (
        "half",
        "mse_loss",
        lambda input, target: (input - target) * (input - target).detach(),
        "the gradient with respect to input is 0.5 times that of the value",
    ),
    (
        "branch",
        BCE.__name__,
        lambda input, target: (1 - target) * input + F.softplus(-input).detach(),
        "the gradient with respect to input is wrong though the value is right: a part of it is detached",
    ),
    (
        "dead",
        "mse_loss",
        lambda input, target: (input.detach() - target).square() + 0 * input,
        "the gradient with respect to input is 0 where the value changes with it",
    ),
]


@pytest.mark.parametrize(("name", "like", "loss", "says"), GRADIENTS, ids=[row[0] for row in GRADIENTS])
def test_a_mistake_of_the_gradient_is_told(name: str, like: str, loss: Any, says: str) -> None:
    assert any(message.startswith(f"loss: {says}") for message in told(loss, like))


class Grows(torch.nn.Module):
    """A mean that is a sum."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = (input - target) ** 2
        return loss if self.reduction == "none" else loss.sum()


def grows(input: Tensor, target: Tensor, reduction: str = "mean") -> Any:
    return Grows(reduction)(input, target)


def test_a_mean_that_grows_with_the_batch_is_told() -> None:
    (message,) = told(Grows, "mse_loss")
    assert message.startswith("loss: reduction='mean' gives the sum, which grows with the number of examples")


def test_a_class_that_is_called_with_the_tensors_is_told() -> None:
    def made(input: Tensor, target: Tensor) -> Any:
        return torch.nn.MSELoss(input, target)

    (finding,) = validate(made, like="mse_loss", dtype="float32", check="value", name="it").findings
    assert "the class was called with the tensors; make an instance first and call that: MSELoss()(" in finding.message


SOUND: list[tuple[str, Any]] = [
    ("binary_cross_entropy_with_logits", lambda input, target: BCE(input, target, reduction="none")),
    ("cross_entropy", lambda input, target: NLL(input.log_softmax(1), target, reduction="none")),
    ("cross_entropy", F.cross_entropy),
    ("soft_margin_loss", lambda input, target: -F.logsigmoid(target * input)),
    ("mse_loss", lambda input, target: (input - target) ** 2),
    ("binary_cross_entropy", lambda input, target: F.binary_cross_entropy(input, target, reduction="none")),
    ("l1_loss", F.l1_loss),
    ("multi_margin_loss", F.multi_margin_loss),
    ("triplet_margin_loss", F.triplet_margin_loss),
    ("kl_div", F.kl_div),
]


@pytest.mark.parametrize(("like", "loss"), SOUND, ids=[like for like, _ in SOUND])
def test_a_loss_without_mistakes_is_left_alone(like: str, loss: Any) -> None:
    assert told(loss, like) == []


def test_what_no_mistake_explains_is_left_to_the_check_of_values() -> None:
    def wrong(input: Tensor, target: Tensor) -> Tensor:
        return (input - target).square() + torch.sin(input)

    assert told(wrong, "mse_loss") == []
    assert not validate(wrong, like="mse_loss", check="value", dtype="float32").ok


def test_an_oracle_that_is_given_has_a_formula() -> None:
    def halved(x: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (x - y).square()

    inputs = {"x": real("N", low=-8.0, high=8.0), "y": real("N", low=-8.0, high=8.0)}
    options: dict[str, Any] = {"inputs": inputs, "dtype": "float32", "check": "mistakes", "name": "it"}
    wrong = validate(halved, oracle=lambda x, y: (x - y) ** 2, **options)
    assert [f.message.partition(": expected")[0] for f in wrong.findings] == ["it: every value is halved"]
    assert validate(halved, oracle=lambda x, y: 0.5 * (x - y) ** 2, **options).ok


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_target_that_comes_first_and_is_refused_is_tried_the_other_way(reduction: str) -> None:
    def keras(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.cross_entropy(y_pred, y_true, reduction=reduction)

    (message,) = told(keras, "cross_entropy")
    assert "in TensorFlow's order, target first: called with y_true as the input and y_pred as the target" in message
    assert "it raises NotImplementedError" in message
    assert message.endswith("exchanged it is right")


def test_a_declared_target_that_comes_first_is_said_before_anything_is_judged() -> None:
    def keras(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.cross_entropy(y_pred, y_true)

    said = "got NotImplementedError.*; with y_true and y_pred exchanged it gives one: does it take them in TensorFlow"
    with pytest.raises(UsageError, match=said):
        validate(keras, inputs=["logits(N, C)", "class_index(N)"])
    with pytest.raises(UsageError, match=r"out of order$"):
        validate(out_of_order, inputs=["logits(N, C)", "class_index(N)"])


def out_of_order(input: Tensor, target: Tensor) -> Tensor:
    raise RuntimeError("out of order")


def test_a_loss_that_raises_either_way_has_no_order_to_blame() -> None:
    assert told(out_of_order, "cross_entropy") == []


# -- without a formula -------------------------------------------------------------------------------------------------

SMALL = {"low": -8.0, "high": 8.0}
COLUMN = {"pred": real("N", 1, **SMALL), "target": real("N", **SMALL)}


def declared(loss: Any, inputs: dict[str, Any], **options: Any) -> list[str]:
    result = validate(loss, inputs=inputs, **{"dtype": "float32", "check": "mistakes", "name": "loss", **options})
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    assert {t.item for t in result.trials} == {"without a formula"}
    return [f.message for f in result.findings]


CROSSED: list[tuple[str, Any, dict[str, Any], str]] = [
    (
        "mean",
        lambda pred, target: ((pred - target) ** 2).mean(),
        COLUMN,
        "pred of shape (5, 1) and target of shape (5,)",
    ),
    ("sum", lambda pred, target: (pred - target).abs().sum(), COLUMN, "pred of shape (5, 1) and target of shape (5,)"),
    ("rows", lambda pred, target: (pred - target) ** 2, COLUMN, "pred of shape (5, 1) and target of shape (5,)"),
    (
        "target",
        lambda pred, target: ((pred - target) ** 2).mean(),
        {"pred": real("N", **SMALL), "target": real("N", 1, **SMALL)},
        "pred of shape (5,) and target of shape (5, 1)",
    ),
    (
        "weight",
        lambda score, label, weight: (weight * BCE(score, label, reduction="none")).mean(),
        {"score": logits("N", largest=8.0), "label": binary("N"), "weight": positive("N", 1)},
        "weight of shape (5, 1) and score of shape (5,), label of shape (5,)",
    ),
]


@pytest.mark.parametrize(("name", "loss", "inputs", "shapes"), CROSSED, ids=[row[0] for row in CROSSED])
def test_silent_broadcasting_is_told_with_the_shapes(name: str, loss: Any, inputs: Any, shapes: str) -> None:
    (message,) = declared(loss, inputs)
    assert message.startswith(f"loss: silent broadcasting: {shapes} become 5 x 5 numbers")
    assert "bring both to one shape" in message


def test_silent_broadcasting_is_told_of_a_loss_with_a_contract() -> None:
    says = "silent broadcasting: input of shape (5,) and target of shape (5,) become 5 x 5 numbers"
    (message,) = told(lambda input, target: (input.unsqueeze(-1) - target).square().mean(), "mse_loss")
    assert message.startswith(f"loss: {says}")
    wide = validate(lambda input, target: (input.unsqueeze(-1) - target).square(), like="mse_loss", dtype="float32")
    assert [says in f.message for f in wide.findings] == [True]


def test_silent_broadcasting_is_not_told_to_be_declared_as_a_tied_batch() -> None:
    options: dict[str, Any] = {"inputs": COLUMN, "dtype": "float32", "check": "reductions", "name": "it"}
    (crossed,) = validate(lambda pred, target: ((pred - target) ** 2).mean(), **options).findings
    assert "silent broadcasting: pred of shape (5, 1)" in crossed.message
    assert "call the batch B" not in crossed.message
    (tied,) = validate(lambda pred, target: pred.std() + target.std(), **options).findings
    assert "call the batch B" in tied.message


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("function", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_a_label_in_the_place_of_its_prediction_is_told(function: str, reduction: str) -> None:
    def exchanged(y: Tensor, p: Tensor) -> Tensor:
        return getattr(F, function)(y, p, reduction=reduction)  # type: ignore[no-any-return]

    inputs = {"y": binary("N"), "p": probability("N") if function == "binary_cross_entropy" else logits("N")}
    (message,) = declared(exchanged, inputs)
    assert message.startswith(f"loss: p and y are in each other's place: torch's {function} takes the prediction first")
    assert declared(lambda y, p: getattr(F, function)(p, y), inputs) == []


def test_a_mean_of_a_declared_loss_that_grows_with_the_batch_is_told() -> None:
    inputs = {"input": real("N", **SMALL), "target": real("N", **SMALL)}
    names = {"none": "none", "mean": "mean", "sum": "sum"}
    (message,) = declared(grows, inputs, reductions=names)
    assert message.startswith("loss: reduction='mean' gives the sum, which grows with the number of examples")
    assert declared(F.mse_loss, inputs, reductions=names) == []


ALONE: list[tuple[Any, dict[str, Any]]] = [
    (lambda pred, target: ((pred[:, 0] - target) ** 2).mean(), COLUMN),
    (lambda pred, target: (pred[:, 0] - target).abs().sum(), COLUMN),
    (lambda pred, target: (pred[:, 0] - target) ** 2, COLUMN),
    (lambda pred, target: (pred[:, 0] - pred.mean() - target).abs().mean(), COLUMN),
    (lambda x, y: torch.cdist(x, y).amin(dim=1).mean(), {n: real("N", 2, **SMALL) for n in ("x", "y")}),
    (lambda x: x.abs(), {"x": real("N", **SMALL)}),
]


@pytest.mark.parametrize(("loss", "inputs"), ALONE)
def test_what_shows_without_a_formula_is_not_told_of_other_losses(loss: Any, inputs: Any) -> None:
    assert declared(loss, inputs) == []


def test_a_tied_batch_has_no_rows_to_be_crossed() -> None:
    inputs = {"x": real("B", 2, **SMALL), "y": real("B", 2, **SMALL)}
    result = validate(lambda x, y: torch.cdist(x, y).mean(), inputs=inputs, dtype="float32", name="it")
    assert "mistakes" not in {t.check for t in result.trials}
