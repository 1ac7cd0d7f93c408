"""What an oracle has answered is known: once for the same bits, and never another's answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import fields, replace

import msgspec
import numpy as np
import pytest
import torch.nn.functional as F

from harness import cases, records
from harness.cases import Batch
from harness.registry import contract
from harness.remembered import LARGE, Remembered, size_of
from harness.ulp import FLOAT32, FLOAT64
from lossproof import validate
from reference.truth import Astray, Output, Truth

X, Y = np.array([0.5, -0.0, 2.0]), np.array([1.0, 0.0, 0.0])


def batch(x: np.ndarray = X, y: np.ndarray = Y, **parameters: object) -> Batch:
    return Batch(args={"input": x, "target": y}, parameters=parameters, precision=FLOAT64)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Hashable]:
    """The questions that the oracle was asked, by a process that knows nothing yet."""
    questions: list[Hashable] = []

    class Counting(Remembered):
        def answer(self, question: Hashable, ask: Callable[[], Truth]) -> Truth:
            def counted() -> Truth:
                questions.append(question)
                return ask()

            return super().answer(question, counted)

    monkeypatch.setattr(cases, "ANSWERS", Counting())
    return questions


def test_the_same_bits_are_asked_once_in_whatever_dtype_layout_and_reduction(asked: list[Hashable]) -> None:
    huber, first = contract("huber_loss"), batch()
    truth = first.truth(huber)
    again = replace(first, precision=FLOAT32, reduction="mean", layout="strided", args=dict(first.args))
    assert again.truth(huber) is truth
    assert batch(X.copy(), delta=1.0).truth(huber) is truth, "a parameter at its default"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        batch(np.array([0.5, 0.0, 2.0])),
        batch(Y, X),
        batch(X.reshape(1, 3), Y.reshape(1, 3)),
        batch(y=np.array([1, 0, 0])),
        batch(delta=0.5),
        batch(delta=1),
        batch(delta=True),
    ],
    ids=["zero of another sign", "exchanged", "shape", "integers", "parameter", "whole number", "flag"],
)
def test_another_question_is_asked(asked: list[Hashable], other: Batch) -> None:
    huber = contract("huber_loss")
    batch().truth(huber)
    other.truth(huber)
    assert len(asked) == 2


def test_another_contract_and_other_weights_of_rows_are_asked(asked: list[Hashable]) -> None:
    batch().truth(contract("huber_loss"))
    batch().truth(contract("mse_loss"))
    linear = contract("linear_cross_entropy")
    rows = Batch(
        args={"input": np.ones((2, 3)), "linear_weight": np.ones((4, 3)), "target": np.array([0, 1])},
        precision=FLOAT64,
    )
    one, other = (rows.truth(linear, upstream=np.array(w)) for w in ([1.0, 1.0], [1.0, 0.5]))
    assert not np.array_equal(one.gradients["linear_weight"].exact, other.gradients["linear_weight"].exact)
    assert len(asked) == 4


def test_what_cannot_be_compared_or_is_large_is_asked_anew(asked: list[Hashable]) -> None:
    bare = replace(contract("mse_loss"), oracle=lambda input, target, listed: Truth(value=of(input)))
    assert batch(listed=[1]).truth(bare) is not batch(listed=[1]).truth(bare)
    assert len(asked) == 2
    large = batch(np.zeros(LARGE), np.zeros(LARGE))
    assert large.truth(contract("mse_loss")) is not large.truth(contract("mse_loss"))
    assert len(asked) == 2, "not even known"


def of(array: np.ndarray) -> Output:
    one = np.ones(())
    return Output(exact=array, reference=one, accumulation=one, underflow=one, absolute=one, interval=(array, array))


def test_what_was_not_asked_for_lately_is_forgotten() -> None:
    answer = Truth(value=of(np.zeros(100)))
    assert size_of(answer) == 3 * 800 + 4 * 8
    known = Remembered(most=2 * size_of(answer))
    asked = []

    def ask(question: str) -> None:
        known.answer(question, lambda: asked.append(question) or answer)

    for question in "abacabc":
        ask(question)
    assert "".join(asked) == "abcbc"
    assert known.size <= known.most


def bits(held: object) -> object:
    """Everything in a Truth, to compare."""
    if isinstance(held, Truth):
        return {name: bits(o) for name, o in held.outputs().items()}
    if isinstance(held, (Output, Astray)):
        return [bits(getattr(held, f.name)) for f in fields(held)]
    return [bits(part) for part in held] if isinstance(held, tuple) else np.asarray(held).tobytes()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.huber_loss])
def test_nobody_changes_an_answer(monkeypatch: pytest.MonkeyPatch, loss: Callable[..., object]) -> None:
    """Whatever is known is what the oracle would say now; and the records are as without it."""
    compared = []

    class Doubting(Remembered):
        def answer(self, question: Hashable, ask: Callable[[], Truth]) -> Truth:
            known, fresh = super().answer(question, ask), ask()
            compared.append(question)
            assert bits(known) == bits(fresh)
            return known

    class Forgetful(Remembered):
        def answer(self, question: Hashable, ask: Callable[[], Truth]) -> Truth:
            return ask()

    found = []
    for kind in (Doubting, Forgetful):
        monkeypatch.setattr(cases, "ANSWERS", kind())
        lines = validate(loss, dtype="float32", check=["special", "reductions", "laws"]).lines
        found.append([msgspec.structs.replace(x, seconds=0.0) if isinstance(x, records.Trial) else x for x in lines])
    assert len(compared) > len(set(compared))
    assert found[0] == found[1]
