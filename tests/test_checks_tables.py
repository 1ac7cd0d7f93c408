"""Controls of what a Contract lists: rows of tables, laws, calls that must raise."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from harness import laws as declare
from harness.binding import Subject
from harness.checks import special
from harness.checks.grading import VacuousCheckError
from harness.checks.special import WrongTableError
from harness.deviations import Points
from harness.special import ErrorInput, Special, numbers, special_value
from harness.ulp import FLOAT16, FLOAT32
from tests.checking import MSE, defects, mse, run, subject


def with_special(**fields: Any) -> Subject:
    row = Special(**{"condition": "row", "args": {"input": [1.5], "target": [1.0]}, **fields})
    return subject(mse, MSE, specials=(row,))


@pytest.mark.parametrize("want", ["formula", "finite", 0.25, 0.2])
def test_a_row_that_holds_passes(want: Any) -> None:
    under_test = with_special(want=want)
    assert not run("special", under_test, special._items(under_test)[0]).findings


@pytest.mark.parametrize("want", ["0", "+inf", "nan", 0.26])
def test_a_row_that_the_oracle_denies_is_an_error_of_ours(want: Any) -> None:
    under_test = with_special(want=want)
    with pytest.raises(WrongTableError, match=r"row -> .*oracle gives \[0\.25\]"):
        run("special", under_test, special._items(under_test)[0])


def test_what_is_outside_the_domain_is_shown_and_never_fails() -> None:
    under_test = with_special(want="outside", reason="because")
    (finding,) = run("special", under_test, special._items(under_test)[0]).findings
    assert finding.severity == "note"
    assert "seen: 0.25" in finding.message


def test_a_published_number_is_compared_at_its_digits() -> None:
    def off(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return mse(input, target, reduction) * 1.001

    row = Special(condition="row", args={"input": [1.5], "target": [1.0]}, want=0.25)
    assert defects(run("special", subject(off, MSE, specials=(row,)), row.law))


def test_names_of_special_values() -> None:
    assert special_value("-largest", FLOAT16) == -65504.0
    assert special_value("+subnormal", FLOAT16) == 2.0**-24
    assert np.signbit(special_value("-0", FLOAT32))
    assert numbers([["-inf", 0.1]], FLOAT32, integral=False).tolist() == [[-np.inf, float(np.float32(0.1))]]
    with pytest.raises(ValueError, match="expected one of"):
        special_value("+huge", FLOAT32)


def nowhere(points: Points) -> Any:
    return ~declare.everywhere(points)


def test_a_law_that_applies_nowhere_is_an_error_of_ours() -> None:
    law = declare.non_negative(nowhere, name="empty")
    with pytest.raises(VacuousCheckError, match="applied to no row"):
        run("laws", subject(mse, MSE, args=MSE.args[:2], laws=(law,)), "empty")


def squares(factor: float, only: float = np.inf) -> declare.Sibling:
    """The sibling of mse; ``factor`` is wrong unless 1, from differences of ``only`` on."""

    def move(at: Points) -> declare.Moved:
        difference = np.abs(at["input"] - at["target"])
        wrong = np.where(difference < only, 1.0, factor)
        return declare.Moved(args=dict(at.args), parameters={}, applies=difference < 1e30, factor=wrong)

    def build(torch_: Any) -> Callable[..., Any]:
        return lambda input, target: (input - target) * (input - target)

    return declare.Sibling(name="sibling", move=move, loss=build, real=("input", "target"))


def enlarged(input: Any, target: Any, reduction: str = "mean") -> Any:
    return 1.01 * mse(input, target, reduction=reduction)


@pytest.mark.parametrize(("loss", "wrong"), [(mse, False), (enlarged, True)])
def test_a_sibling_is_another_loss_built_from_torch(loss: Callable[..., Any], wrong: bool) -> None:
    assert bool(defects(run("laws", subject(loss, MSE, laws=(squares(1.0),)), "sibling"))) == wrong


def test_the_subject_is_not_blamed_for_its_sibling() -> None:
    assert not defects(run("laws", subject(mse, MSE, laws=(squares(1.01, only=100.0),)), "sibling"))
    assert defects(run("laws", subject(enlarged, MSE, laws=(squares(1.01, only=100.0),)), "sibling"))
    with pytest.raises(RuntimeError, match="the sibling is off the truth in"):
        run("laws", subject(mse, MSE, laws=(squares(1.01, only=0.0),)), "sibling")


# -- calls that must raise ---------------------------------------------------------------------------------------------


def erring(call: Callable[[Any, Any], Any], *, crashes: bool = False) -> Subject:
    error = ErrorInput(name="bad", call=call, raises=("ValueError",), match="not a valid value", crashes=crashes)
    return subject(mse, MSE, errors=(error,))


@pytest.mark.parametrize("crashes", [False, True])
def test_a_call_that_must_raise(crashes: bool) -> None:
    def refused(torch_: Any, loss: Any) -> Any:
        return loss(torch_.zeros(3), torch_.zeros(3), reduction="median")

    def accepted(torch_: Any, loss: Any) -> Any:
        return loss(torch_.zeros(3), torch_.zeros(3))

    assert not run("form", erring(refused, crashes=crashes), "error: bad").findings
    assert "got a result" in defects(run("form", erring(accepted, crashes=crashes), "error: bad"))[0]


def test_a_call_that_ends_the_interpreter_is_a_finding() -> None:
    def fatal(torch_: Any, loss: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    assert "ended with code -9" in defects(run("form", erring(fatal, crashes=True), "error: bad"))[0]
