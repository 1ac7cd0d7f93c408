"""Controls: every check flags a planted defect of its own kind and passes a sound implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.cases import Batch
from harness.checks import grading, laws, reductions
from harness.checks.deprecated import DEPRECATED, pair_text
from harness.checks.fixed import fixed_reduction
from harness.contract import Contract
from harness.special import Special
from harness.ulp import FLOAT16, FLOAT32, FLOAT64, Array
from reference.truth import Truth
from tests.checking import BCE, CE, ITEMS, MSE, bce, cross_entropy, defects, mse, reduced, run, subject

PLAIN = replace(
    MSE, specials=(*MSE.specials, Special(condition="one", args={"input": [1.0], "target": [0.5]}, want=0.25))
)
SOUND = [(mse, PLAIN), (bce, BCE), (cross_entropy, CE)]


@pytest.mark.parametrize("check", ITEMS)
@pytest.mark.parametrize(("loss", "like"), SOUND)
def test_a_sound_loss_passes(check: str, loss: Any, like: Contract) -> None:
    sound = subject(loss, like, errors=())
    assert ITEMS[check](sound)
    for item in ITEMS[check](sound):
        if item.startswith(("weight", "pos_weight")):
            continue  # how an infinite weight meets a zero is the builtin's own affair
        for precision in (FLOAT32, FLOAT16) if item.startswith("reduction=") else (FLOAT32,):
            assert not defects(run(check, sound, item, precision)), item


@pytest.mark.parametrize("check", ["gradcheck", "gradgradcheck", "forward-mode"])
@pytest.mark.parametrize(("loss", "like"), SOUND)
def test_derivatives_of_a_sound_loss_pass(check: str, loss: Any, like: Contract) -> None:
    assert not run(check, subject(loss, like), precision=FLOAT64).findings


# -- planted defects ---------------------------------------------------------------------------------------------------


def overflowing(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(torch.log1p(torch.exp(input)) - input * target, reduction)


def swallowing(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return mse(torch.nan_to_num(input), torch.nan_to_num(target), reduction)


def spreading(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((input - target) ** 2 + 0.0 * input.sum(), reduction)


def halved_mean(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return mse(input, target, reduction) / (2.0 if reduction == "mean" else 1.0)


def half_sum(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = (input - target) ** 2
    total = value.sum(dtype=value.dtype)
    return {"none": value, "sum": total, "mean": total / value.numel()}[reduction]


def safe_mean(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = (input - target) ** 2
    return value.sum() / max(value.numel(), 1) if reduction == "mean" else reduced(value, reduction)


def first_axis(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = (input - target) ** 2
    return value.sum() / len(value) if reduction == "mean" else reduced(value, reduction)


def counting_ignored(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    value = cross_entropy(input, target, ignore_index, "none")
    return reduced(value, reduction)


def touching_ignored(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    clean = cross_entropy(input, target, ignore_index, reduction)
    return clean + 0.0 * input.sum()


def lopsided(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((input - target) ** 2 + 1e-3 * input**2, reduction)


def negative(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((input - target) ** 2 - 0.1, reduction)


def standardised(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced((input - target) ** 2 * (1 + 1e-2 * torch.tanh(input.mean())), reduction)


def squared_weight(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    return bce(input, target, None if weight is None else 2 * weight**2, reduction)


class Unweighed(torch.autograd.Function):
    """A backward that forgets its argument."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(input - target)
        return (input - target) ** 2

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor]:
        (gap,) = ctx.saved_tensors
        return 2 * gap, -2 * gap


def unweighed(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(Unweighed.apply(input, target), reduction)


def widening(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return mse(input.double(), target.double(), reduction)


def keeping(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = mse(input, target, reduction)
    return value if reduction == "none" else value[None]


def scribbling(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    value = mse(input, target, reduction)
    input.data.mul_(0.5)
    return value


def noisy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return mse(input, target, reduction) * (1 + 1e-3 * torch.rand(()))


def unchecked(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return mse(input, target.to(input.device) if target.device == input.device else torch.zeros_like(input), reduction)


def weight_twice(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    value = bce(input, target, None, "none")
    return reduced(value if weight is None else value * (2 * weight - weight.detach()), reduction)


def other_default(input: Tensor, target: Tensor, ignore_index: int = -1, reduction: str = "mean") -> Tensor:
    return cross_entropy(input, target, ignore_index, reduction)


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * ctx.saved_tensors[0] * 2.01


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * ctx.saved_tensors[0].detach() * 2.0


def wrong_backward(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(WrongBackward.apply(input - target), reduction)


def once_only(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(OnceOnly.apply(input - target), reduction)


def no_forward_mode(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return wrong_backward(input, target, reduction)


def reseeding(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    torch.manual_seed(0)
    return mse(input, target, reduction)


DEFECTS = [
    ("special", overflowing, BCE, "input=+largest, target=1.0 -> formula", "nan"),
    ("special", swallowing, MSE, "input=nan, target=0.0 -> nan", "expected nan"),
    ("nonfinite", swallowing, MSE, "input", "a number where the truth is nan"),
    ("nonfinite", spreading, MSE, "target", None),
    ("nonfinite", spreading, MSE, "input", "nan where the truth is a number"),
    ("reductions", halved_mean, MSE, "reduction=mean", "mean of"),
    ("reductions", safe_mean, MSE, "reduction=mean, empty batch", "expected nan"),
    ("reductions", first_axis, MSE, "reduction=mean", "layout matrix"),
    ("reductions", counting_ignored, CE, "reduction=mean", "mean of"),
    ("reductions", counting_ignored, CE, "reduction=mean, all ignored", "expected nan"),
    ("reductions", keeping, MSE, "reduction=sum", "expected a scalar"),
    ("laws", lopsided, MSE, "symmetric in input and target", "expected"),
    ("laws", negative, MSE, "never below 0", "expected 0.0"),
    ("laws", lopsided, MSE, "0 at a perfect prediction", "expected 0.0"),
    ("laws", standardised, MSE, laws.general.__globals__["INDEPENDENT"], "expected"),
    ("laws", squared_weight, BCE, "no weight = weight of ones", "expected"),
    ("laws", squared_weight, BCE, "integer weight = repeated rows under sum", "expected"),
    ("laws", touching_ignored, CE, laws.general.__globals__["IGNORED"], "in ignored rows"),
    ("form", widening, MSE, "the result has the dtype and device of the inputs", "got float64"),
    ("form", keeping, MSE, "the result has the shape of the batch, or none", "got (1,)"),
    ("form", scribbling, MSE, "inputs are left as they are", "other numbers in input"),
    ("form", noisy, MSE, "the same input gives the same bits", "random"),
    ("form", unweighed, MSE, "a weight on the loss weighs its gradient", "does not multiply by what it is given"),
    ("form", reseeding, MSE, "global state is left as it is", "the seed of torch"),
    ("form", unchecked, MSE, "on another device: target", "expected an exception"),
    ("form", weight_twice, BCE, "constant: weight", "the loss over the weight"),
    ("form", other_default, CE, "defaults are those of the Contract", "expected the default -100, got -1"),
]


@pytest.mark.parametrize(("check", "loss", "like", "item", "evidence"), DEFECTS)
def test_a_planted_defect_is_flagged(check: str, loss: Any, like: Contract, item: str, evidence: str | None) -> None:
    planted = subject(loss, like)
    assert item in ITEMS[check](planted)
    found = defects(run(check, planted, item))
    if evidence is None:
        assert not found
    else:
        assert any(evidence in message for message in found), found


@pytest.mark.parametrize(
    ("check", "loss"), [("gradcheck", wrong_backward), ("gradgradcheck", once_only), ("forward-mode", no_forward_mode)]
)
def test_a_wrong_or_missing_derivative_is_flagged(check: str, loss: Any) -> None:
    assert defects(run(check, subject(loss, MSE), precision=FLOAT64))


def test_a_declared_message_is_unsupported_and_another_a_defect() -> None:
    missing = subject(no_forward_mode, MSE)
    told = replace(missing, unsupported={"forward-mode": "forward mode|forward-mode|jvp"})
    assert run("forward-mode", told, precision=FLOAT64).unsupported
    other = replace(missing, unsupported={"forward-mode": "some other message"})
    assert defects(run("forward-mode", other, precision=FLOAT64))


@pytest.mark.filterwarnings("ignore")
def test_finite_differences_of_a_compiled_loss_are_unsupported_and_no_defect() -> None:
    """Its backward runs once, as in training; every other check of a gradient calls it once."""

    def squared(input: Tensor, target: Tensor) -> Tensor:
        return (input - target) ** 2

    compiled = subject(torch.compile(squared, dynamic=True), MSE)
    outcome = run("gradcheck", compiled, precision=FLOAT64)
    assert "asks twice of a compiled loss" in outcome.unsupported
    assert not outcome.findings
    eager = run("gradcheck", subject(squared, MSE), precision=FLOAT64)
    assert eager.cases
    assert not eager.unsupported
    # gradcheck takes the tangent that it drops for a derivative of 0.
    (told,) = run("forward-mode", replace(compiled, origin="user"), precision=FLOAT64).findings
    assert (told.severity, told.kind) == ("note", "not supported")
    assert "You must implement the jvp function" in told.message
    assert not run("forward-mode", subject(squared, MSE), precision=FLOAT64).findings


def test_a_half_sum_that_overflows_is_flagged() -> None:
    def narrow(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        value = (input - target) ** 2
        return value.sum() / value.numel() if reduction == "mean" else reduced(value, reduction)

    planted = subject(narrow, MSE)
    assert "inf" in defects(run("reductions", planted, reductions.MANY, FLOAT16))[0]
    assert not defects(run("reductions", planted, reductions.MANY, FLOAT32))


def test_of_a_loss_of_a_user_a_convention_is_a_note() -> None:
    theirs = replace(subject(other_default, CE), origin="user")
    (finding,) = run("form", theirs, "defaults are those of the Contract").findings
    assert finding.severity == "note"


# -- fixed reductions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_fixed_reduction_is_found_out_and_judged(reduction: str) -> None:
    def fixed(input: Tensor, target: Tensor) -> Tensor:
        return mse(input, target, reduction)

    plain = subject(fixed, MSE, reductions={"sum": MSE.reductions["sum"], "mean": MSE.reductions["mean"]})
    assert fixed_reduction(plain) == reduction
    assert not defects(run("reductions", plain, "fixed reduction"))


def test_a_fixed_result_that_is_no_reduction_is_flagged() -> None:
    def odd(input: Tensor, target: Tensor) -> Tensor:
        return mse(input, target, "sum") / 3.5

    assert fixed_reduction(subject(odd, MSE)) == ""
    assert "none or sum or mean" in defects(run("reductions", subject(odd, MSE), "fixed reduction"))[0]


def test_what_is_wrong_in_one_row_is_not_asked_of_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    conditioning = grading._conditioning

    def counted(contract: Contract, batch: Batch, truth: Truth, c: Array, name: str, suspect: Array) -> Array:
        asked.append(name)
        return conditioning(contract, batch, truth, c, name, suspect)

    monkeypatch.setattr(grading, "_conditioning", counted)
    found = run("reductions", subject(halved_mean, MSE), "reduction=mean").findings
    assert {(f.output, f.kind) for f in found} == {(o, "unstable") for o in ("value", "input", "target")}
    assert sorted(asked) == ["input", "target", "value"]


def legacy(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    swapped: bool = False,
) -> Tensor:
    if size_average is not None or reduce is not None:
        import warnings

        warnings.warn("size_average and reduce are deprecated", UserWarning, stacklevel=2)
        mean = (size_average is not False) != swapped
        reduction = "none" if reduce is False else "mean" if mean else "sum"
    return mse(input, target, reduction)


@pytest.mark.parametrize("item", [pair_text(*pair) for pair in DEPRECATED])
def test_the_deprecated_pair_maps_as_documented(item: str) -> None:
    def swapped(
        input: Tensor,
        target: Tensor,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        return legacy(input, target, size_average, reduce, reduction, swapped=True)

    assert not run("reductions", subject(legacy, MSE), item).findings
    assert bool(defects(run("reductions", subject(swapped, MSE), item))) == (not item.endswith("none"))


def test_a_layout_that_mixes_rows_is_flagged() -> None:
    def mixing(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        value = (input - target) ** 2
        return reduced(value.flip(0) if value.ndim == 2 else value, reduction)

    planted = subject(mixing, MSE)
    assert defects(run("reductions", planted, "layout=matrix"))
    assert not defects(run("reductions", planted, "layout=strided"))
