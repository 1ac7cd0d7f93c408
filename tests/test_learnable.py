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
    inputs = [*SMALL, "parameter_s: real()"]
    result = validate(Uncertainty, inputs=inputs, dtype="float16", check=["value", "range"])
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


class Contrast(nn.Module):
    """Radford et al., Learning transferable visual models from natural language supervision (2021), figure 3."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(2.6593))

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        i, t = functional.normalize(image, dim=-1), functional.normalize(text, dim=-1)
        logits = self.logit_scale.exp() * i @ t.T
        y = torch.arange(len(logits))
        return (functional.cross_entropy(logits, y) + functional.cross_entropy(logits.T, y)) / 2


class TwoTasks(nn.Module):
    """Kendall, Gal, Cipolla (2018): a regression and a classification."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(2))

    def forward(self, pred: Tensor, target: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        precision = torch.exp(-self.s)
        first, second = functional.mse_loss(pred, target), functional.cross_entropy(logits, labels)
        return 0.5 * precision[0] * first + precision[1] * second + 0.5 * self.s.sum()


PAIRS = ["embedding(B, D)"] * 2
TASKS = ["real(B)", "real(B)", "logits(B, C)", "class_index(B)"]


@pytest.mark.parametrize(
    ("loss", "inputs", "said"),
    [
        (Contrast, PAIRS, "drawn about its start: parameter_logit_scale from -3.375 to 8.75"),
        (TwoTasks, TASKS, "drawn about its start: parameter_s from -6 to 6"),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_a_learnable_parameter_is_drawn_about_its_start_and_that_is_said(
    loss: type[nn.Module], inputs: list[str], said: str
) -> None:
    result = validate(loss, inputs=inputs, dtype="float32")
    assert not _wrong(result)
    assert said in _caveat(result)


class Sharp(Uncertainty):
    """A log(1 + exp) as written, that overflows where its parameter has hardly moved."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return torch.log(1 + torch.exp(32.0 * self.s)) * (pred - target) ** 2


def test_what_breaks_near_the_start_is_found() -> None:
    result = validate(Sharp, inputs=SMALL, dtype="float32", check="range")
    assert any(f.kind == "overflow" and f.output == "value" for t in result.trials for f in t.findings)


def test_a_declared_parameter_goes_as_far_as_declared() -> None:
    result = validate(TwoTasks, inputs=[*TASKS, "parameter_s: real(2)"], dtype="float32", check="range")
    assert any("nan" in (f.got, f.kind) for t in result.trials for f in t.findings)
    assert "start" not in _caveat(result)
    inputs = [*TASKS, "parameter_s: real(2, low=-2.0, high=2.0)"]
    assert not _wrong(validate(TwoTasks, inputs=inputs, dtype="float32", check="range"))


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("parameter_s: real(3)", r"parameter_s: expected real numbers of its shape, as real\(2\)"),
        ("parameter_s: binary(2)", r"parameter_s: expected real numbers of its shape, as real\(2\)"),
        ("parameter_t: real(2)", "parameter_t: expected one of parameter_s"),
    ],
)
def test_a_declaration_of_no_learnable_parameter_is_told_in_one_line(declared: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        validate(TwoTasks, inputs=[*TASKS, declared])
