"""Options that nobody gives: a number that has to matter is tried at another value."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from harness.trying import another
from lossproof import Result, validate
from lossproof.inputs import class_index, logits, real

PAIR = {"pred": real("N"), "target": real("N")}
SCORES = {"scores": logits("N", "C"), "labels": class_index("N")}


class Dead(nn.Module):
    """gamma is stored and never used."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels, reduction="none")


class Focal(Dead):
    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        ce = super().forward(scores, labels)
        return (1 - (-ce).exp()) ** self.gamma * ce


def dead_beta(pred: Tensor, target: Tensor, beta: float = 1.0, scale: float = 2.0) -> Tensor:
    return scale * (pred - target).square()


def dead_switch(pred: Tensor, target: Tensor, size_average: bool = True, eps: float = 1e-8, dim: int = 0) -> Tensor:
    return (pred - target).square()


def dead_weight(pred: Tensor, target: Tensor, weight: int = 0) -> Tensor:
    return (pred - target).square()


def refuses_others(pred: Tensor, target: Tensor, power: float = 2.0) -> Tensor:
    if power != 2.0:
        raise ValueError("only squares")
    return (pred - target).square()


def asked(loss: Any, inputs: Any, **options: Any) -> Result:
    result = validate(loss, inputs=inputs, check=("options", "value"), dtype="float64", **options)
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return result


DEAD: list[tuple[Any, Any, str]] = [(Dead, SCORES, "gamma"), (dead_beta, PAIR, "beta"), (dead_weight, PAIR, "weight")]


@pytest.mark.parametrize(("loss", "inputs", "name"), DEAD)
def test_a_number_that_is_never_used_is_found_though_it_is_not_given(loss: Any, inputs: Any, name: str) -> None:
    found = [f for f in asked(loss, inputs).findings if f.kind == "option"]
    assert [f.severity for f in found] == ["weakness"]
    assert f"option {name}: expected to matter, got the same bits" in found[0].message


def test_the_lines_of_an_option_that_is_tried_run_by_themselves() -> None:
    options = {"expression": "dead_beta", "setup": f"import torch\nfrom {__name__} import dead_beta"}
    (found,) = [f for f in asked(dead_beta, PAIR, **options).findings if f.kind == "option"]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(found.reproduction, {})
    assert out.getvalue().strip() == "True"


@pytest.mark.parametrize(
    ("loss", "inputs"), [(Focal, SCORES), (dead_switch, PAIR), (refuses_others, PAIR), (F.smooth_l1_loss, PAIR)]
)
def test_what_matters_and_what_need_not_is_no_finding(loss: Any, inputs: Any) -> None:
    named = {"input": real("N"), "target": real("N")} if loss is F.smooth_l1_loss else inputs
    assert [f.message for f in asked(loss, named).findings if f.kind == "option"] == []


def test_an_option_that_is_given_is_asked_once_and_stays_a_defect() -> None:
    found = [f for f in asked(Dead, SCORES, init={"gamma": 3.0}).findings if f.kind == "option"]
    assert [f.severity for f in found] == ["defect"]


@pytest.mark.parametrize(
    ("name", "default", "want"),
    [
        ("gamma", 2.0, 3.0),
        ("gamma", 2, 3),
        ("alpha", 0.0, 0.5),
        ("beta", 0, 1),
        ("eps", 1e-7, None),
        ("dim", 1, None),
        ("num_classes", 10, None),
        ("momentum", 0.9, None),
        ("weight", None, None),
        ("squared", False, None),
        ("mode", "mean", None),
        ("tau", 1e-5, None),
    ],
)
def test_what_is_tried_in_place_of_a_default(name: str, default: Any, want: float | None) -> None:
    assert another(name, default) == want
