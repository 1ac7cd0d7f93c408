"""Every finding has lines that reproduce it at an input, and these show it."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness import registry
from harness.api import subject_for
from harness.cases import Batch
from harness.findings import given_lines, literal
from harness.probe import provoking_lines
from harness.ulp import FLOAT32
from lossproof import Result, validate
from lossproof.inputs import real
from tests.losses import sound_bce

SAME = {"pred": real("N"), "target": real("N")}


def printed(lines: str) -> str:
    """What the lines print, or the exception that they end in."""
    out = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out):
        warnings.simplefilter("ignore")
        state = torch.get_rng_state()
        try:
            exec(compile(lines, "reproduction", "exec"), {"__name__": "reproduction", "NAMED": NAMED})
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            torch.set_rng_state(state)
    return out.getvalue().strip()


def judged(loss: Any, like: str | None = None, **options: Any) -> Result:
    name = loss.__name__
    return validate(loss, like, name=name, expression=f"NAMED[{name!r}]", setup="import torch", **options)


def mutates(pred: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        pred.mul_(0.5)
    return (pred - target).square()


def draws(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square() * (1 + 1e-9 * torch.rand(()))


def crossed(input: Tensor, target: Tensor) -> Tensor:
    return (input[:, None] - target).square()


def in_double(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square().double()


def refuses_large(pred: Tensor, target: Tensor) -> Tensor:
    if (pred.abs() > 100).any():
        raise ValueError("too large")
    return (pred - target).square()


def detached(pred: Tensor, target: Tensor) -> Tensor:
    return (pred.detach() - target).square()


def wrong_backward(pred: Tensor, target: Tensor) -> Tensor:
    difference = pred - target
    return difference.square() + (difference - difference.detach())


def dead_option(pred: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    return (pred - target).square()


def leaves_a_seed(pred: Tensor, target: Tensor) -> Tensor:
    torch.manual_seed(0)
    return (pred - target).square()


def unknown_mean(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).square().mean() * 1.37


def wrong_among_many(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    loss = (input - target).square() * (1.01 if input.shape[:1] > (40,) else 1.0)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def integer_ready(input: Tensor, target: Tensor, delta: float = 3.0, reduction: str = "mean") -> Tensor:
    """Another default than that of the contract."""
    return F.huber_loss(input, target, delta=delta, reduction=reduction)


def never_empty(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    loss = (input - target).square()
    return {"none": loss, "sum": loss.sum(), "mean": loss.sum() / max(len(loss), 1)}[reduction]


NAMED: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        mutates,
        draws,
        crossed,
        in_double,
        refuses_large,
        wrong_backward,
        dead_option,
        detached,
        leaves_a_seed,
        unknown_mean,
        wrong_among_many,
        integer_ready,
        never_empty,
        sound_bce,
    )
}

DECLARED: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
    # loss, options, kind of finding, what its lines print
    (mutates, {}, "mutated", r"\[.*\]"),
    (draws, {}, "random", "False"),
    (in_double, {}, "dtype", "torch.float64.*"),
    (refuses_large, {"check": ("value", "edges", "nonfinite")}, "raised", "ValueError: too large"),
    (wrong_backward, {"check": "gradcheck"}, "gradcheck", "GradcheckError: .*"),
    (dead_option, {"init": {"gamma": 3.0}, "check": "options"}, "option", "True"),
    (leaves_a_seed, {"check": "form"}, "global state", r"\[.*\]"),
]


@pytest.mark.parametrize(("loss", "options", "kind", "want"), DECLARED, ids=[row[0].__name__ for row in DECLARED])
def test_a_finding_of_a_declared_loss_is_reproduced(
    loss: Callable[..., Any], options: dict[str, Any], kind: str, want: str
) -> None:
    found = judged(loss, inputs=SAME, dtype=("float64", "float32"), **options).findings
    assert kind in {f.kind for f in found}, [(f.kind, f.message) for f in found]
    assert [f.message for f in found if not f.reproduction] == []
    for finding in (f for f in found if f.kind == kind):
        assert re.fullmatch(want, printed(finding.reproduction), re.DOTALL), finding.reproduction


CONTRACTED: list[tuple[Callable[..., Any], str, dict[str, Any], str, str]] = [
    (crossed, "mse_loss", {"check": "value"}, "shape", r"\(3, 3\)"),
    (wrong_among_many, "mse_loss", {"check": "value", "dtype": "float32"}, "unstable", r"\[[^,]+(, [^,]+){40,85}\]"),
    (unknown_mean, "mse_loss", {"check": "reductions"}, "reduction", r"\d+\.\d+"),
    (never_empty, "mse_loss", {"check": "reductions"}, "reduction", r"0\.0"),
    (integer_ready, "huber_loss", {"check": "form"}, "default", r".*delta: 'float' = 3\.0.*"),
]


@pytest.mark.parametrize(
    ("loss", "like", "options", "kind", "want"), CONTRACTED, ids=[row[0].__name__ for row in CONTRACTED]
)
def test_a_finding_of_a_loss_with_a_contract_is_reproduced(
    loss: Callable[..., Any], like: str, options: dict[str, Any], kind: str, want: str
) -> None:
    found = judged(loss, like, **options).findings
    assert kind in {f.kind for f in found}, [(f.kind, f.message) for f in found]
    assert [f.message for f in found if not f.reproduction] == []
    finding = next(f for f in found if f.kind == kind)
    assert re.fullmatch(want, printed(finding.reproduction), re.DOTALL), finding.reproduction


def test_no_gradient_is_printed_as_none() -> None:
    found = judged(detached, inputs=SAME, check="gradient", dtype="float32").findings
    assert [printed(f.reproduction) for f in found if f.kind == "detached"] == ["None"]


def accepting(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Takes what torch refuses."""
    loss = torch.zeros(input.shape) + input.float().sum() * 0.0
    return {"none": loss}.get(reduction, loss.sum())


NAMED["accepting"] = accepting


def test_a_call_that_has_to_raise_is_written_out() -> None:
    found = [f for f in judged(accepting, "mse_loss", check="form").findings if f.kind == "error"]
    assert len(found) >= 2
    for finding in found:
        assert "input = torch.tensor(" in finding.reproduction
        assert re.fullmatch(r"tensor\(.*\)", printed(finding.reproduction), re.DOTALL), finding.reproduction


def test_no_contract_has_an_error_whose_call_cannot_be_written() -> None:
    missing = [
        (subject.name, error.name)
        for subject in registry.subjects()
        if subject.origin == "torch" and subject.twin is None
        for error in subject.contract.errors
        if not provoking_lines(subject, error.call)
    ]
    # These construct the module instead of calling the loss.
    assert {name for name, _ in missing} <= {
        "nn.AdaptiveLogSoftmaxWithLoss",
        "nn.AdaptiveLogSoftmaxWithLoss.log_prob",
        "nn.AdaptiveLogSoftmaxWithLoss.predict",
    }


# -- tensors as text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.0),
        np.zeros((2, 0)),
        np.arange(12.0).reshape(3, 4),
        np.resize(np.random.default_rng(0).standard_normal(60), 70_000),
        np.resize(np.random.default_rng(1).standard_normal(60), (2, 35_000)),
        np.full((3, 1000), -0.0),
        np.resize(np.array([0.0, -0.0, np.nan, np.inf]), 2000),
        np.resize(np.arange(7), (500, 3)),
        np.repeat(np.arange(600.0), 2),
    ],
    ids=lambda a: str(np.shape(a)),
)
def test_a_literal_has_the_very_numbers(array: Any) -> None:
    array = np.asarray(array)
    text = literal(array, "float64")
    tensor = eval(text, {"torch": torch})
    assert tensor.shape == array.shape
    assert tensor.numpy().tobytes() == array.tobytes()
    assert len(text) < 12_000


def test_a_layout_is_that_of_the_call() -> None:
    subject = subject_for(sound_bce, "binary_cross_entropy_with_logits", expression="NAMED['sound_bce']")
    rows = {"input": np.arange(4.0), "target": np.array([0.0, 1.0, 1.0, 0.0])}
    for layout, want in (("rows", (4,)), ("matrix", (2, 2)), ("strided", (4,))):
        batch = Batch(args=rows, precision=FLOAT32, layout=layout)
        lines = given_lines(subject, batch, "input").replace("print(input.grad.tolist())", "print(tuple(input.shape))")
        assert printed(lines) == str(want)
        assert ("torch.stack" in lines) == (layout == "strided")
