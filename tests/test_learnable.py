"""Losses of which one call is judged as one number, and that give a number for every element of the batch."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from harness import records
from harness.api import UsageError
from lossproof import Result, validate

SMALL = ["real(N, low=-8.0, high=8.0)", "real(N, low=-8.0, high=8.0)"]
SCORES = ["logits(N, C, largest=16.0)", "class_index(N)"]


class Uncertainty(nn.Module):
    """A learnable log-variance: Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty (2018), a value each."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(()))

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return torch.exp(-self.s) * (pred - target) ** 2 + self.s


class Held(Uncertainty):
    """The variance is held constant where it divides."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return torch.exp(-self.s.detach()) * (pred - target) ** 2 + self.s


class Temperature(nn.Module):
    """A learnable temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(x / self.t, y, reduction="none")


def angle(pred: Tensor, target: Tensor) -> Tensor:
    return 1 - functional.cosine_similarity(pred, target, dim=1)


def table(x: Tensor, y: Tensor) -> Tensor:
    return (x - y[:, None]) ** 2


def pair(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([(x - y).abs().mean(), (x + y).mean()])


def _wrong(result: Result) -> list[str]:
    return [f.message for t in result.trials for f in t.findings if f.severity == "defect"] + [
        t.reason for t in result.trials if t.verdict == "error"
    ]


def _caveat(result: Result) -> str:
    return next(line.caveat for line in result.lines if isinstance(line, records.Declaration))


@pytest.mark.parametrize(
    ("loss", "inputs", "learned"),
    [(Uncertainty, SMALL, "parameter_s"), (Temperature, SCORES, "parameter_t")],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_values_of_a_loss_with_learnable_parameters_are_judged_as_their_sum(
    loss: type[nn.Module], inputs: list[str], learned: str
) -> None:
    result = validate(loss, inputs=inputs, dtype="float64")
    assert not _wrong(result)
    assert _caveat(result).endswith("its values over (N) are judged as their sum")
    surveys = [line for line in result.lines if isinstance(line, records.Survey)]
    assert learned in {o.output for s in surveys for o in s.outputs}


def test_the_gradient_of_a_learnable_parameter_must_be_the_derivative() -> None:
    result = validate(Held, inputs=SMALL, dtype="float64", check="gradcheck")
    assert [t.verdict for t in result.trials] == ["fail"]
    case = result.trials[0].findings[0]
    assert "derivatives differ from finite differences" in case.message


def test_a_reproduction_adds_the_values_up_too() -> None:
    result = validate(Uncertainty, inputs=SMALL, dtype="float16", check=["value", "range"])
    lines = [f.reproduction for t in result.trials for f in t.findings if f.reproduction]
    assert lines
    assert all("functional_call(" in text and "}).sum()\n" in text for text in lines)


def test_a_loss_with_a_value_for_every_example_of_a_batch_is_told_how_to_have_each_judged() -> None:
    result = validate(angle, inputs=["logits(B, C, largest=16.0)"] * 2, dtype="float64")
    assert not _wrong(result)
    assert _caveat(result).endswith("over (B) are judged as their sum: call the batch N and not B to judge each")
    apart = validate(angle, inputs=["logits(N, C, largest=16.0)"] * 2, dtype="float64", check="value")
    assert "judged as their sum" not in _caveat(apart)


def test_a_value_for_a_whole_batch_is_not_added_up() -> None:
    def mean(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().mean()

    assert "judged as their sum" not in _caveat(validate(mean, inputs=["real(B)"] * 2, dtype="float64", check="value"))


@pytest.mark.parametrize(
    ("loss", "dims", "said"),
    [
        (table, "B", r"table: expected one value of a batch, or one for each of its elements, got shape \(6, 6\)"),
        (pair, "B", r"pair: expected one value of a batch, or one for each of its elements, got shape \(2,\)"),
        (pair, "N", r"pair in float64: expected one value a row, shape \(3,\), got \(6,\)"),
    ],
)
def test_another_shape_is_told_in_one_line(loss: object, dims: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        validate(loss, inputs=[f"real({dims})"] * 2)
