"""Controls of arguments of fewer elements than the input: what must be found out, and what must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.checks.broadcast import broadcasts
from harness.contract import Contract
from harness.domain import Arg, Embedding, Positive
from harness.registry import contract
from harness.ulp import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Precision
from tests.checking import BCE, MSE, bce, defects, mse, reduced, run, subject

GAUSSIAN = contract("gaussian_nll_loss")
VAR = "var {} = var repeated to (N, C)"
WEIGHT = "weight of shape {} = weight repeated to (N, C)"


def filled(var: Tensor | float, input: Tensor) -> Tensor:
    """The variance as the documentation lets it be given, in the dimensions of the input."""
    if isinstance(var, float):
        return torch.full_like(input, var)
    return var[..., None] if var.shape == input.shape[:-1] else var


def gaussian_of(prepare: Callable[[Any, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A sound likelihood of the variance that ``prepare`` makes of what it is given."""

    def gaussian(
        input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
    ) -> Tensor:
        v = torch.clamp(prepare(var, input), min=eps)
        value = 0.5 * (torch.log(v) + (input - target) ** 2 / v)
        return reduced(value + (0.9189385332046727 if full else 0.0), reduction)

    return gaussian


def deviation_for_float(var: Any, input: Tensor) -> Tensor:
    return filled(var * var if isinstance(var, float) else var, input)


def first_of_all(var: Any, input: Tensor) -> Tensor:
    v = filled(var, input)
    return v if v.shape == input.shape else v.flatten()[0].expand(input.shape)


def averaged(var: Any, input: Tensor) -> Tensor:
    v = filled(var, input)
    return v if v.shape == input.shape else v.mean().expand(input.shape)


def detached(var: Any, input: Tensor) -> Tensor:
    v = filled(var, input)
    return v if v.shape == input.shape else v.detach().expand(input.shape)


class Averaging(torch.autograd.Function):
    """Repetition whose backward averages where it should add up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: torch.Size) -> Tensor:
        ctx.shape = x.shape
        ctx.times = shape.numel() // x.numel()
        return x.expand(shape).clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].sum_to_size(ctx.shape) / ctx.times, None


def averaging(var: Any, input: Tensor) -> Tensor:
    return Averaging.apply(filled(var, input), input.shape)


def weight_as_given(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """A mean over the weights, which are fewer than the elements they weigh."""
    value = bce(input, target, weight, "none")
    if reduction != "mean":
        return reduced(value, reduction)
    few = weight is not None and weight.shape != input.shape
    return value.sum() / weight.numel() if few and weight is not None else value.mean()


def first_weight(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    few = weight is not None and weight.shape != input.shape
    return bce(input, target, weight.flatten()[0] if few and weight is not None else weight, reduction)


def summed_classes(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    value = bce(input, target, weight, "none")
    return reduced(value.sum(-1) if weight is not None and weight.shape != input.shape else value, reduction)


PLANTED = [
    (gaussian_of(deviation_for_float), GAUSSIAN, VAR.format("as a float"), "value: expected"),
    (gaussian_of(first_of_all), GAUSSIAN, VAR.format("of shape (N, 1)"), "value: expected"),
    (gaussian_of(averaged), GAUSSIAN, VAR.format("of shape (N,)"), "value: expected"),
    (gaussian_of(averaged), GAUSSIAN, VAR.format("of shape (1, C)"), "gradient with respect to input: expected"),
    (gaussian_of(averaging), GAUSSIAN, VAR.format("of shape (N, 1)"), "gradient with respect to var: expected"),
    (gaussian_of(averaging), GAUSSIAN, VAR.format("of shape (1, C)"), "gradient with respect to var: expected"),
    (gaussian_of(detached), GAUSSIAN, VAR.format("of shape (N,)"), "expected a gradient with respect to var, got none"),
    (gaussian_of(lambda var, input: var), GAUSSIAN, VAR.format("of shape (N,)"), "expected a result, got RuntimeError"),
    (gaussian_of(lambda var, input: var), GAUSSIAN, VAR.format("as a float"), "expected a result, got TypeError"),
    (weight_as_given, BCE, WEIGHT.format("(C,)"), "reduction=mean: value: expected"),
    (weight_as_given, BCE, WEIGHT.format("(1,)"), "reduction=mean: gradient with respect to input: expected"),
    (first_weight, BCE, WEIGHT.format("(N, 1)"), "reduction=none: value: expected"),
    (summed_classes, BCE, WEIGHT.format("(C,)"), "expected shape (3, 4), got (3,)"),
]


@pytest.mark.parametrize(("loss", "like", "law", "evidence"), PLANTED)
def test_what_is_not_repeated_is_flagged(loss: Any, like: Contract, law: str, evidence: str) -> None:
    found = defects(run("laws", subject(loss, like), law))
    assert any(evidence in message for message in found), found


@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=lambda p: p.name)
@pytest.mark.parametrize(("loss", "like"), [(gaussian_of(filled), GAUSSIAN), (bce, BCE)])
def test_what_is_repeated_passes(loss: Any, like: Contract, precision: Precision) -> None:
    sound = subject(loss, like)
    laws = broadcasts(sound)
    assert len(laws) == sum(len(a.broadcasts) for a in like.args if a.name in sound.arguments) > 0
    for law in laws:
        outcome = run("laws", sound, law, precision)
        assert not outcome.findings
        assert outcome.cases


@pytest.mark.parametrize("form", ["as a float", "of shape (N, 1)"])
def test_a_finding_has_the_lines_that_show_it(form: str) -> None:
    wrong = gaussian_of(deviation_for_float if form == "as a float" else averaging)
    (finding, *_) = run("laws", subject(wrong, GAUSSIAN), VAR.format(form)).findings
    printed: list[str] = []
    scope = {"loss": wrong, "print": lambda text: printed.append(str(text))}
    exec(finding.reproduction.replace("loss = loss(", "result = loss(").replace("loss.", "result."), scope)
    assert str(float.fromhex(finding.got)) in printed[0]
    assert str(float.fromhex(finding.want)) in finding.reproduction


def test_of_a_loss_of_a_user_a_shape_that_it_refuses_is_a_note() -> None:
    theirs = replace(subject(gaussian_of(lambda var, input: var), GAUSSIAN), origin="user")
    (finding,) = run("laws", theirs, VAR.format("of shape (N,)")).findings
    assert finding.severity == "note"


def test_a_loss_that_documents_no_such_shape_is_not_asked() -> None:
    assert not broadcasts(subject(mse, MSE))


@pytest.mark.parametrize(("kind", "form"), [(Positive(), "(N, N)"), (Embedding(), "(C,)")])
def test_only_scalar_arguments_are_repeated_and_in_known_shapes(kind: Any, form: str) -> None:
    with pytest.raises(ValueError, match="expected a scalar and some of"):
        Arg(name="weight", kind=kind, dims=("K",) if isinstance(kind, Embedding) else (), broadcasts=(form,))
