"""Losses without a contract, declared by what they take."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F

from harness import records
from harness.api import UsageError
from harness.cli import main
from harness.inputs import KINDS, InputsError, parsed, settings
from harness.itself import GRADIENTS_SELF_REFERENCED, SELF_REFERENCED
from harness.lawbook import BOOK
from lossproof import Result, validate
from lossproof.inputs import (
    binary,
    boxes,
    class_index,
    embedding,
    event,
    log_simplex,
    logits,
    mask,
    positive,
    probability,
    real,
    sign,
    simplex,
)
from reports import html, markdown

F32: dict[str, Any] = {"dtype": "float32"}
ACCURACY: dict[str, Any] = {"dtype": "float32", "check": ["value", "gradient", "range"]}
SMALL = {"low": -8.0, "high": 8.0}


def found(result: Result, severity: str = "defect") -> set[tuple[str, str]]:
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return {(f.kind, f.output) for f in result.findings if f.severity == severity}


# -- no false alarm: without an oracle a sound loss has no defect ------------------------------------------------------


def nt_xent(first: Tensor, second: Tensor) -> Tensor:
    z = F.normalize(torch.cat([first, second]), dim=1)
    count = len(first)
    own = torch.eye(2 * count, dtype=torch.bool, device=z.device)
    return F.cross_entropy((z @ z.T / 0.5).masked_fill(own, -torch.inf), torch.arange(2 * count).roll(count))


def cox(log_hazard: Tensor, seen: Tensor, time: Tensor) -> Tensor:
    later = torch.where(time >= time.unsqueeze(1), log_hazard, -torch.inf)
    return ((torch.logsumexp(later, dim=1) - log_hazard) * seen).sum()


class Centres(nn.Module):
    """A loss with learnable parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.ones(3, 4))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(embeddings @ self.centres.T, labels)


class Running(nn.Module):
    """A loss with a buffer that every call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return (input - target).square().mean() / self.calls.to(input.dtype)


SOUND: list[tuple[Any, dict[str, Any]]] = [
    (F.mse_loss, {"input": real("N", **SMALL), "target": real("N", **SMALL)}),
    (F.smooth_l1_loss, {"input": real("N", "D", **SMALL), "target": real("N", "D", **SMALL)}),
    (F.cross_entropy, {"input": logits("N", "C"), "target": class_index("N")}),
    (F.binary_cross_entropy_with_logits, {"input": logits("N", largest=16.0), "target": binary("N")}),
    (F.soft_margin_loss, {"input": logits("N", largest=16.0), "target": sign("N")}),
    (F.kl_div, {"input": log_simplex("N", "C"), "target": simplex("N", "C")}),
    (F.gaussian_nll_loss, {"input": real("N", **SMALL), "target": real("N", **SMALL), "var": positive("N")}),
    (nt_xent, {"first": embedding("B", "D", zero=False), "second": embedding("B", "D", zero=False)}),
    (cox, {"log_hazard": logits("B", largest=64.0), "seen": binary("B"), "time": positive("B")}),
    (Centres, {"embeddings": real("N", 4, **SMALL), "labels": class_index("N", classes=3)}),
    (Running, {"input": real("B", **SMALL), "target": real("B", **SMALL)}),
]


@pytest.mark.parametrize(("loss", "inputs"), SOUND, ids=[loss.__name__ for loss, _ in SOUND])
def test_a_sound_loss_has_no_defect(loss: Any, inputs: dict[str, Any]) -> None:
    result = validate(loss, inputs=inputs, **F32)
    assert found(result) == set(), [f.message for f in result.findings if f.severity == "defect"]
    assert result.ok


# -- what breaks is found ----------------------------------------------------------------------------------------------

EXAMPLES: list[tuple[str, str, dict[str, Any], set[tuple[str, str]]]] = [
    ("classification", "validated", ACCURACY, {("nan", "value"), ("nan", "input"), ("overflow", "value")}),
    ("segmentation", "validated", F32, set()),
    ("segmentation", "probabilities_validated", F32, {("nan", "value"), ("nan", "output")}),
    ("multilabel", "multi_hot_validated", ACCURACY, {("unstable", "value"), ("unstable", "output")}),
    ("multilabel", "soft_validated", ACCURACY, {("unstable", "value"), ("unstable", "output")}),
    ("multilabel", "probabilities_validated", ACCURACY, {("unstable", "value")}),
    ("masked", "validated", F32, set()),
    ("masked", "in_order_validated", F32, set()),
    ("metric", "validated", ACCURACY, {("nan", "embeddings"), ("nan", "parameter_centres")}),
    ("metric", "pairs_validated", F32, set()),
    ("metric", "references_validated", F32, set()),
    ("contrastive", "validated", ACCURACY, {("unstable", "value"), ("unstable", "first")}),
    ("contrastive", "simsiam_validated", F32, set()),
    ("contrastive", "info_nce_validated", ACCURACY, set()),
    ("contrastive", "memory_validated", F32, set()),
    ("survival", "validated", F32, {("nan", "value"), ("overflow", "log_hazard")}),
    ("structured", "boxes_validated", F32, set()),
    ("structured", "penalty_validated", F32, set()),
    ("structured", "stages_validated", F32, set()),
    ("structured", "detector_validated", F32, set()),
]


@pytest.mark.parametrize(("module", "name", "options", "want"), EXAMPLES, ids=[f"{m}.{n}" for m, n, _, _ in EXAMPLES])
def test_the_examples_say_what_breaks(module: str, name: str, options: Any, want: set[tuple[str, str]]) -> None:
    result: Result = getattr(importlib.import_module(f"examples.{module}"), name)(**options)
    defects = found(result)
    assert want <= defects
    assert bool(defects) == (not result.ok) == bool(want)


def normalised(x: Tensor) -> Tensor:
    """nan where a vector is 0."""
    return (x / x.norm(dim=1, keepdim=True)).sum(1)


def test_the_lines_of_a_finding_reproduce_it(capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_inputs import normalised\nimport torch"
    result = validate(normalised, inputs={"x": embedding("N", "D")}, setup=setup, check="edges", **F32)
    shown = [f for f in result.findings if f.kind == "nan"]
    assert {f.output for f in shown} == {"value", "x"}
    for finding in shown:
        exec(finding.reproduction, {})
        assert "nan" in capsys.readouterr().out


@dataclass
class Output:
    """What some libraries return: an object that holds the loss, and is no mapping."""

    loss: Tensor
    scores: Tensor


def as_object(x: Tensor) -> Output:
    return Output(normalised(x), x)


def as_dict(x: Tensor) -> dict[str, Tensor]:
    return {"scores": x, "loss": normalised(x)}


def as_tuple(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, normalised(x)


PARTS = [(as_object, "loss", ".loss"), (as_dict, "loss", "['loss']"), (as_tuple, "1", "[1]"), (as_tuple, "-1", "[-1]")]


@pytest.mark.parametrize(("loss", "output", "suffix"), PARTS)
def test_the_lines_of_a_finding_reach_the_part_that_is_the_loss(
    loss: Any, output: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = f"from tests.test_inputs import {loss.__name__}\nimport torch"
    declared = {"x": embedding("N", "D")}
    result = validate(loss, inputs=declared, output=output, setup=setup, check="edges", **F32)
    shown = [f for f in result.findings if f.kind == "nan"]
    assert {f.output for f in shown} == {"value", "x"}
    for finding in shown:
        assert f"{loss.__name__}(x=x){suffix}" in finding.reproduction
        exec(finding.reproduction, {})
        assert "nan" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("loss", "output", "has"),
    [
        (as_object, "los", "got Output"),
        (as_dict, "los", "got a dict of the keys 'scores', 'loss'"),
        (as_tuple, "2", "got a tuple of 2 parts"),
        (normalised, "los", "got Tensor"),
    ],
)
def test_a_part_that_a_result_lacks_is_said(loss: Any, output: str, has: str) -> None:
    with pytest.raises(UsageError, match=f"expected a result with a part '{output}', {has}"):
        validate(loss, inputs={"x": embedding("N", "D")}, output=output)


class Angular(nn.Module):
    """A learnable weight for every class: nan at the gradient of an embedding along it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        theta = torch.acos(F.normalize(x) @ F.normalize(self.weight).T)
        return F.cross_entropy(-theta, y)


def test_the_lines_of_a_finding_hold_the_parameters_of_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_inputs import Angular\nimport torch"
    inputs = {"x": embedding("N", 2), "y": class_index("N", classes=3)}
    result = validate(Angular, inputs=inputs, setup=setup, check=["gradient", "range"], **F32)
    shown = [f for f in result.findings if f.got == "nan"]
    assert {f.output for f in shown} >= {"x", "parameter_weight"}
    for finding in shown:
        assert "functional_call(Angular(), {'weight': parameter_weight}, (), {'x': x, 'y': y})" in finding.reproduction
        exec(finding.reproduction, {})
        assert "nan" in capsys.readouterr().out


EDGES: list[tuple[str, Any, dict[str, Any], tuple[str, str, str]]] = [
    (
        "root at a perfect prediction",
        lambda x, y: (x - y).square().sum(1).sqrt(),
        {"x": real("N", "D", **SMALL), "y": real("N", "D", **SMALL)},
        ("nan", "x", "all inputs 0: x, y"),
    ),
    (
        "norm of a zero vector",
        lambda x, y: (x / x.norm(dim=1, keepdim=True) * y).sum(1),
        {"x": embedding("N", "D"), "y": embedding("N", "D")},
        ("nan", "value", "all inputs 0: x, y"),
    ),
    (
        "mean over an empty mask",
        lambda x, mask: (x * mask).sum(1) / mask.sum(1),
        {"x": real("N", "D", **SMALL), "mask": mask("N", "D")},
        ("nan", "value", "all weights 0: mask"),
    ),
    (
        "angle of vectors along each other",
        lambda x, y: torch.acos(F.cosine_similarity(x, y)),
        {"x": embedding("N", "D"), "y": embedding("N", "D")},
        ("nan", "x", "all vectors along one axis: x, y"),
    ),
    (
        "half angle of vectors against each other",
        lambda x, y: (1 + F.cosine_similarity(x, y)).clamp(min=0).sqrt(),
        {"x": embedding("N", "D"), "y": embedding("N", "D")},
        ("nan", "x", "x against the other vectors"),
    ),
    (
        "angle to the weights of a module",
        Angular,
        {"x": embedding("N", 2), "y": class_index("N", classes=3)},
        ("nan", "x", "all vectors along one axis: x, parameter_weight"),
    ),
    (
        "share of no positive",
        lambda p, y: -(p * y).sum(1) / y.sum(1),
        {"p": probability("N", "D"), "y": binary("N", "D")},
        ("nan", "value", "all targets 0: y"),
    ),
]


@pytest.mark.parametrize(("name", "loss", "inputs", "want"), EDGES, ids=[name for name, *_ in EDGES])
def test_what_breaks_at_an_edge_is_found(name: str, loss: Any, inputs: Any, want: tuple[str, str, str]) -> None:
    result = validate(loss, inputs=inputs, name="it", check="edges", **F32)
    kind, output, says = want
    assert any(f.kind == kind and f.output == output and says in f.message for f in result.findings), result.findings
    assert not result.ok


def by_probability(x: Tensor, y: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return -(y * torch.log(p + 1e-8) + (1 - y) * torch.log(1 - p + 1e-8))


def of_softmax(x: Tensor, y: Tensor) -> Tensor:
    return -torch.log(x.softmax(1).gather(1, y[:, None])[:, 0] + 1e-8)


class Warm(nn.Module):
    """A learnable temperature beside logits that are cut off."""

    def __init__(self, most: float = float("inf")) -> None:
        super().__init__()
        self.t, self.most = nn.Parameter(torch.ones(())), most

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(x.clamp(-self.most, self.most) / self.t, y)


def cox(log_hazard: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """The partial likelihood of Cox (1972): that no event was seen says nothing against one."""
    order = torch.argsort(time, descending=True, stable=True)
    h, e = log_hazard[order], event[order]
    return ((torch.logcumsumexp(h, 0) - h) * e).sum() / e.sum().clamp(min=1)


ONE, MANY = {"x": logits("N"), "y": binary("N")}, {"x": logits("N", "C"), "y": class_index("N", classes="C")}
CONFIDENT: list[tuple[Any, dict[str, Any], set[str]]] = [
    (by_probability, ONE, {"dead-gradient"}),
    (of_softmax, MANY, {"dead-gradient"}),
    (lambda x, y: (2 * y - 1) * x, ONE, {"wrong-direction"}),
    (lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"), ONE, set()),
    (lambda x, y: F.cross_entropy(x, y, reduction="none"), MANY, set()),
    (lambda x, y: F.cross_entropy(x, y, reduction="none", label_smoothing=0.1), MANY, set()),
    (lambda x, y: F.multi_margin_loss(x, y, reduction="none"), MANY, set()),
    (lambda x, y: F.relu(1 - (2 * y - 1) * x), ONE, set()),
    # What an element has of a mean over many, and what a mask leaves out, is no gradient that died.
    (
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none").mean((1, 2)),
        {"x": logits("N", 128, 128), "y": binary("N", 128, 128)},
        set(),
    ),
    (
        lambda x, y, m: (m * F.binary_cross_entropy_with_logits(x, y, reduction="none")).sum(1),
        {"x": logits("N", "D"), "y": binary("N", "D"), "m": mask("N", "D")},
        set(),
    ),
    (
        lambda x, y: F.binary_cross_entropy_with_logits(x.detach(), y, reduction="none") + 0 * x,
        ONE,
        {"dead-gradient"},
    ),
    (Warm(), MANY, set()),
    (Warm(5.0), MANY, {"dead-gradient"}),
]


@pytest.mark.parametrize(("loss", "inputs", "kinds"), CONFIDENT)
def test_logits_that_are_confident_of_the_wrong_label_have_a_gradient(loss: Any, inputs: Any, kinds: set[str]) -> None:
    result = validate(loss, inputs=inputs, name="it", check="edges", **F32)
    shown = [f for t in result.trials if t.item.startswith("logits that are confident") for f in t.findings]
    assert {f.kind for f in shown} == kinds
    assert {f.severity for f in shown} <= {"weakness"}


def test_labels_beside_other_inputs_are_not_taken_for_what_is_right() -> None:
    result = validate(cox, inputs={"log_hazard": logits("B"), "time": positive("B"), "event": event("B")}, **F32)
    assert not [t for t in result.trials if t.item.startswith("logits that are confident")]
    assert not [f for f in result.findings if f.kind in ("dead-gradient", "wrong-direction")]


def test_a_loss_that_ties_its_examples_together_is_told_how_to_be_declared() -> None:
    def spread(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum()

    options: dict[str, Any] = {"name": "it", "check": "reductions", **F32}
    (finding,) = validate(spread, inputs={"x": real("N", 2, **SMALL)}, **options).findings
    assert "call the batch B and not N in the declarations" in finding.message
    tied = validate(spread, inputs={"x": real("B", 2, **SMALL)}, name="it", check="value", **F32)
    assert not [f for f in tied.findings if f.kind == "reduction"]


def test_rows_that_depend_on_each_other_are_not_told_of_their_backward() -> None:
    def centred(x: Tensor) -> Tensor:
        return ((x - x.mean(dim=0)) ** 2).sum(dim=1)

    kinds = {f.kind for f in validate(centred, inputs=["embedding(N, D)"], check="form", dtype="float32").findings}
    assert "upstream" not in kinds


def test_an_oracle_says_where_nan_is_meant() -> None:
    def mean(x: Tensor, mask: Tensor) -> Tensor:
        return (x * mask).sum(1) / mask.sum(1)

    inputs = {"x": real("N", "D", **SMALL), "mask": mask("N", "D")}
    options: dict[str, Any] = {"inputs": inputs, "check": "edges", "dtype": "float32"}
    assert not validate(mean, **options).ok
    assert validate(mean, oracle=lambda x, mask: (x * mask).sum(1) / mask.sum(1), **options).ok
    assert not validate(mean, oracle=lambda x, mask: (x * mask).sum(1) / np.maximum(mask.sum(1), 1), **options).ok


# -- oracles, laws, options --------------------------------------------------------------------------------------------


def twice(input: Tensor, target: Tensor) -> Tensor:
    """Twice the square."""
    return 2.0 * (input - target).square()


def test_an_oracle_tells_a_wrong_formula_which_the_loss_itself_cannot() -> None:
    inputs = {"input": real("N", **SMALL), "target": real("N", **SMALL)}
    right, wrong = (
        validate(twice, inputs=inputs, oracle=lambda input, target, k=k: k * (input - target) ** 2, **ACCURACY)
        for k in (2.0, 1.0)
    )
    assert validate(twice, inputs=inputs, **ACCURACY).ok
    assert right.ok
    assert ("unstable", "value") in found(wrong)


PAIR = {"x": real("N", "D", **SMALL), "y": real("N", "D", **SMALL)}
LAWS: list[tuple[str, Callable[..., Tensor], Callable[..., Tensor]]] = [
    ("non_negative", lambda x, y: (x - y).square().sum(1), lambda x, y: (x - y).sum(1)),
    ("shift_invariant(x)", lambda x, y: x.amax(1) - x.amin(1) + 0 * y.sum(1), lambda x, y: x.amax(1) + 0 * y.sum(1)),
    ("scale_invariant(x, y)", lambda x, y: x.sum(1) / y.abs().sum(1), lambda x, y: (x * y).sum(1)),
    ("permutation_invariant(x, y)", lambda x, y: (x * y).sum(1), lambda x, y: (x * y)[:, 0] + 0 * x.sum(1)),
    ("symmetric(x, y)", lambda x, y: (x - y).square().sum(1), lambda x, y: (2 * x - y).square().sum(1)),
    ("zero_at_perfect(x, y)", lambda x, y: (x - y).abs().sum(1), lambda x, y: 1 + (x - y).abs().sum(1)),
]


def test_every_law_of_the_book_is_tried() -> None:
    assert {text.partition("(")[0] for text, _, _ in LAWS} == set(BOOK)


@pytest.mark.parametrize(("text", "holds", "broken"), LAWS, ids=[text for text, _, _ in LAWS])
def test_a_law_holds_or_is_found_broken(text: str, holds: Any, broken: Any) -> None:
    options: dict[str, Any] = {"laws": [text], "name": "it", "dtype": "float32", "check": "laws"}
    assert found(validate(holds, inputs=PAIR, **options)) == set()
    assert ("law", "value") in {
        (f.kind, f.output or "value") for f in validate(broken, inputs=PAIR, **options).findings
    }


def test_the_order_of_a_batch_matters_to_a_loss_that_ties_it_together() -> None:
    def first_counts(x: Tensor) -> Tensor:
        return x[0].sum() + 0 * x.sum()

    result = validate(first_counts, inputs={"x": real("B", "D", **SMALL)}, check="laws", **F32)
    assert {f.kind for f in result.findings} == {"law"}


class Options(nn.Module):
    """Options of a constructor, reductions of other names."""

    def __init__(self, power: float = 1.0, reduction: str = "elementwise_mean") -> None:
        super().__init__()
        self.power, self.reduction = power, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss = (input - target).square() ** self.power
        return {"elementwise_mean": torch.mean, "added": torch.sum}.get(self.reduction, lambda x: x)(loss)


def test_options_and_reductions_of_other_names() -> None:
    inputs = {"input": real("N", **SMALL), "target": real("N", **SMALL)}
    options = {"init": {"power": 2.0}, "oracle": lambda input, target: (input - target) ** 4}
    assert validate(Options, inputs=inputs, **options, **ACCURACY).ok


def test_an_option_holds_for_a_contract() -> None:
    def powered(input: Tensor, target: Tensor, beta: float = 1.0, reduction: str = "mean") -> Tensor:
        assert beta == 0.5
        return F.smooth_l1_loss(input, target, beta=beta, reduction=reduction)

    options: dict[str, Any] = {"like": "smooth_l1_loss", "init": {"beta": 0.5}, "dtype": "float32", "check": "value"}
    assert validate(powered, **options).ok


# -- what is said ------------------------------------------------------------------------------------------------------


def test_every_table_says_that_the_loss_refers_to_itself() -> None:
    inputs = {"input": real("N", **SMALL), "target": real("N", **SMALL)}
    itself = validate(twice, inputs=inputs, **ACCURACY)
    given = validate(twice, inputs=inputs, oracle=lambda input, target: 2 * (input - target) ** 2, **ACCURACY)
    for result, caveat in ((itself, SELF_REFERENCED), (given, GRADIENTS_SELF_REFERENCED)):
        (declared,) = (line for line in result.lines if isinstance(line, records.Declaration))
        assert declared.caveat == caveat
        assert caveat in html.render(result.lines)
        assert caveat in markdown.render(result.lines)


BAD_INPUTS = [
    ("logit(N, C)", "expected one of logits, real"),
    ("logits", "expected KIND(DIMENSIONS)"),
    ("logits(N, C", "expected KIND(DIMENSIONS)"),
    ("logits(C, N)", "expected N, the batch, first"),
    ("lengths(N)", "missing 1 required keyword-only argument: 'of'"),
    ("logits(N, 'a b')", "expected a name such as 'N' or a size such as 1"),
]


@pytest.mark.parametrize(("text", "message"), BAD_INPUTS)
def test_a_declaration_that_cannot_be_understood_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(InputsError) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_declarations_as_text_are_those_of_python() -> None:
    assert parsed("logits(N, C)") == ("", logits("N", "C"))
    assert parsed("target: class_index(N, classes=C)") == ("target", class_index("N", classes="C"))
    assert parsed("real(N, low=-1.0, high=2)") == ("", real("N", low=-1.0, high=2))
    assert parsed("boxes(N)") == ("", boxes("N"))
    assert parsed("probability(N, 1, H, W)") == ("", probability("N", 1, "H", "W"))
    assert set(KINDS) <= set(importlib.import_module("lossproof.inputs").__all__)


def test_options_as_text() -> None:
    want = {"gamma": 2, "alpha": 0.25, "flag": True, "name": "x", "none": None}
    assert settings(["gamma=2", "alpha=0.25", "flag=True", "name=x", "none=None"]) == want
    with pytest.raises(InputsError, match="expected NAME=VALUE"):
        settings(["gamma"])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"inputs": {"x": logits("N")}, "like": "mse_loss"}, "expected either them or like=NAME, got both"),
    ({"laws": ["non_negative"]}, "laws: expected inputs={...} beside it"),
    ({"inputs": {"x": real("N")}, "laws": ["positive"]}, "law 'positive': expected one of non_negative"),
    ({"inputs": {"x": real("N")}, "laws": ["symmetric(x, z)"]}, "expected arguments among x, got z"),
    ({"inputs": {"x": real("N")}, "oracle": lambda x: 1.0}, "expected one value a row"),
    ({"inputs": {"x": real("N"), "y": real("N")}}, "expected a result for inputs as declared"),
    ({"inputs": {}}, "expected at least one declaration"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_judged_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    def absolute(x: Tensor) -> Tensor:
        return x.abs()

    with pytest.raises(UsageError) as caught:
        validate(absolute, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Weighed(nn.Module):
    """A class that cannot be made without a number."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.square()


def test_a_class_that_needs_an_option_says_so() -> None:
    declared = {"x": real("N", low=-8.0, high=8.0)}
    with pytest.raises(UsageError, match=r"cannot be constructed with no options: .*'weight'"):
        validate(Weighed, inputs=declared)
    assert validate(Weighed, inputs=declared, init={"weight": 2.0}, **ACCURACY).ok


# -- the command -------------------------------------------------------------------------------------------------------

FOCAL = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy


class FocalLoss(nn.Module):
    def __init__(self, gamma=2.0, alpha=1.0):
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits, targets):
        ce = cross_entropy(logits, targets, reduction="none")
        return self.alpha * (1 - torch.exp(-ce)) ** self.gamma * ce


def value(logits, targets):
    import numpy as np

    own = np.take_along_axis(logits, targets[:, None], 1)
    ce = np.log(np.exp(logits - own).sum(1))
    return 0.5 * (1 - np.exp(-ce)) ** 0.5 * ce


def halved(logits, targets):
    return {"loss": 0.5 * cross_entropy(logits, targets, reduction="none")}
"""
LABELS = ["--input", "targets: class_index(N, classes=C)", "--dtype", "float32"]
NEAR, FAR = "logits: logits(N, C, largest=8.0)", "logits: logits(N, C)"


def command(tmp_path: Path, name: str, *options: str) -> tuple[int, str]:
    file = tmp_path / "focal.py"
    file.write_text(FOCAL, encoding="utf-8")
    ran = CliRunner().invoke(main, ["validate", f"{file}:{name}", *LABELS, *options])
    return ran.exit_code, ran.output


def test_the_command_declares_inputs_and_options(tmp_path: Path) -> None:
    options = ("--init", "gamma=0.5", "alpha=0.5", "--law", "non_negative", "--check", "range", "--input", FAR)
    status, said = command(tmp_path, "FocalLoss", *options)
    assert status == 1
    assert SELF_REFERENCED in said
    assert "nan" in said
    assert "functools.partial(FocalLoss, gamma=0.5, alpha=0.5)()(" in said


def test_the_command_takes_an_oracle_and_an_output(tmp_path: Path) -> None:
    oracle = ("--input", NEAR, "--oracle", f"{tmp_path / 'focal.py'}:value", "--check", "value")
    assert command(tmp_path, "FocalLoss", "--init", "gamma=0.5", "--init", "alpha=0.5", *oracle)[0] == 0
    assert command(tmp_path, "FocalLoss", "--init", "gamma=0.5", *oracle)[0] == 1
    assert command(tmp_path, "halved", "--input", NEAR, "--output", "loss", "--check", "value")[0] == 0


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    for options, message in (
        (("--input", "logit(N)"), "expected one of logits, real"),
        (("--init", "gamma"), "expected NAME=VALUE"),
        (("--input", FAR, "--init", "colour=1"), "option 'colour': expected one of gamma, alpha"),
        (("--input", FAR, "--law", "magic"), "expected one of non_negative"),
    ):
        status, said = command(tmp_path, "FocalLoss", *options)
        assert status == 2, said
        assert message in said
        assert len(said.strip().splitlines()) == 1


OWN = """
from dataclasses import replace

from harness.registry import contract

CONTRACT = replace(contract("mse_loss"), name="my_mse", module="")


def my_mse(input, target):
    return (input - target) ** 2


def half_of_it(input, target):
    return 0.5 * (input - target) ** 2
"""


def test_a_contract_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")

    def judge(loss: str, contract: str) -> tuple[int, str]:
        options = ["--like", f"{file}:{contract}", "--check", "mistakes", "--dtype", "float32"]
        ran = CliRunner().invoke(main, ["validate", f"{file}:{loss}", *options])
        return ran.exit_code, ran.output

    assert judge("my_mse", "CONTRACT")[0] == 0
    status, said = judge("half_of_it", "CONTRACT")
    assert status == 1
    assert "every value is halved" in said
    status, said = judge("my_mse", "half_of_it")
    assert status == 2
    assert said.strip().endswith("half_of_it: expected a Contract, got function")
