"""What holds of a declared loss because of its arguments: masks, finite slopes, a batch as the mean of its singles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.objectives import masked_mean
from lossproof import Result, validate
from lossproof.inputs import class_index, lengths, logits, mask, real

SMALL = {"low": -8.0, "high": 8.0}
ROWS = {"input": real("N", "D", **SMALL), "target": real("N", "D", **SMALL), "mask": mask("N", "D")}
BATCH = {"input": real("B", **SMALL), "target": real("B", **SMALL), "mask": mask("B", dtype="")}
TOKENS = {"scores": logits("N", "T", "C", largest=16.0), "labels": class_index("N", "T"), "mask": mask("N", "T")}
LAW = "what mask leaves out does not matter"


def judged(loss: Any, inputs: dict[str, Any], **options: Any) -> Result:
    result = validate(loss, inputs=inputs, **{"dtype": "float32", "check": "laws", **options})
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return result


def found(result: Result, severity: str = "defect") -> set[tuple[str, str]]:
    return {(f.kind, f.output) for f in result.findings if f.severity == severity}


def of_batch(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    kept = mask > 0
    return torch.where(kept, input - target, 0.0).square().sum() / kept.sum().clamp(min=1)


def of_tokens(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    clean = torch.where(mask[..., None], scores, 0.0)
    loss = F.cross_entropy(clean.transpose(1, 2), labels, reduction="none")
    return (loss * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


SOUND: list[tuple[Callable[..., Tensor], dict[str, Any]]] = [
    (masked_mean, ROWS),
    (of_batch, BATCH),
    (of_tokens, TOKENS),
]


@pytest.mark.parametrize(("loss", "inputs"), SOUND, ids=[loss.__name__ for loss, _ in SOUND])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_sound_mask_is_asked_and_has_no_finding(loss: Any, inputs: dict[str, Any], dtype: str) -> None:
    result = judged(loss, inputs, dtype=dtype)
    (law,) = (t for t in result.trials if t.item == LAW)
    assert law.cases >= 16
    assert result.findings == []


def mean_of_all(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return (input - target).square().mean(dim=1) * mask.any(dim=1)


def target_unmasked(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return (input * mask - target).square().sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def batch_unmasked(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mask of another loss."""
    return F.mse_loss(input, target) + 0 * mask.sum()


def padding_taken_for_mask(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return masked_mean(input, target, ~mask)


def slope_unmasked(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """A value that is masked, with the slope of one that is not."""
    straight = (input - target).square().sum(dim=1)
    return straight + (masked_mean(input, target, mask) - straight).detach()


PLANTED: list[tuple[Callable[..., Tensor], dict[str, Any], str]] = [
    (mean_of_all, ROWS, "value"),
    (target_unmasked, ROWS, "value"),
    (batch_unmasked, BATCH, "value"),
    (padding_taken_for_mask, ROWS, "value"),
    (slope_unmasked, ROWS, "input"),
]


@pytest.mark.parametrize(("loss", "inputs", "output"), PLANTED, ids=[loss.__name__ for loss, *_ in PLANTED])
def test_what_is_masked_and_counts_is_found(loss: Any, inputs: dict[str, Any], output: str) -> None:
    result = judged(loss, inputs)
    assert ("law", output) in found(result)
    assert any(f.message.count(LAW) for f in result.findings)


def multiplied(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((input - target).square() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def replaced_too_late(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The value is clean; the slope is 0 times that of a square of nan."""
    squares = torch.where(mask, (input - target).square(), 0.0)
    return squares.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [(multiplied, {"value", "input", "target"}), (replaced_too_late, {"input", "target"})],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_nan_under_a_mask_that_gets_out_is_a_weakness(
    loss: Any, outputs: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    setup = f"from tests.test_masks import {loss.__name__}\nimport torch"
    result = judged(loss, ROWS, setup=setup)
    assert found(result) == set()
    assert found(result, "weakness") == {("ignored", output) for output in outputs}
    assert result.ok
    assert not judged(loss, ROWS, strict=True).ok
    for finding in result.findings:
        exec(finding.reproduction, {})
        assert "nan" in capsys.readouterr().out


def test_arguments_that_are_arranged_are_left_alone() -> None:
    arranged = validate(masked_mean, inputs=ROWS, check="laws", dtype="float32", arrange=lambda args, _: args)
    assert LAW not in {t.item for t in arranged.trials}


# -- finite slopes -----------------------------------------------------------------------------------------------------

PAIR = {"x": real("N", "D", **SMALL), "y": real("N", "D", **SMALL)}


def root_of_magnitudes(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().sum(dim=1).sqrt() + 0 * y.sum(dim=1)


def root(x: Tensor) -> Tensor:
    return x.sqrt().sum(dim=1)


def logarithm(x: Tensor) -> Tensor:
    """Infinite itself where its slope is."""
    return -x.log().sum(dim=1)


def test_an_infinite_slope_of_a_finite_loss_is_a_weakness() -> None:
    unit = {"x": real("N", "D", low=0.0, high=8.0)}
    options: dict[str, Any] = {"check": "edges"}
    result = judged(root, unit, **options)
    assert found(result, "weakness") == {("infinite-slope", "x")}
    assert any("all inputs 0: x" in f.message for f in result.findings)
    for sound in (logarithm, lambda x: (x + 1e-3).sqrt().sum(dim=1)):
        assert found(judged(sound, unit, name="it", **options), "weakness") == set()
    assert found(judged(lambda x, y: (x - y).square().sum(dim=1), PAIR, name="it", **options), "weakness") == set()


# -- a batch is the mean, or the sum, of its singles -------------------------------------------------------------------

SINGLES: list[tuple[str, Callable[..., Tensor], bool]] = [
    ("mean", lambda x: x.square().sum(dim=1).mean(), True),
    ("sum", lambda x: x.square().sum(), True),
    ("one too many", lambda x: x.square().sum() / (len(x) + 1), False),
    ("root of a mean", lambda x: (x.square().sum(dim=1).mean() + 1).sqrt(), False),
    ("spread", lambda x: (x - x.mean(dim=0)).square().sum(), False),
]


@pytest.mark.parametrize(("name", "loss", "sound"), SINGLES, ids=[name for name, *_ in SINGLES])
def test_a_batch_is_the_mean_or_the_sum_of_its_singles(name: str, loss: Any, sound: bool) -> None:
    result = judged(loss, {"x": real("N", "D", **SMALL)}, name="it", check="reductions")
    assert result.ok == sound
    assert bool(found(result)) == (not sound)


def test_an_oracle_does_not_hide_what_a_mask_leaves_out() -> None:
    def oracle(input: Any, target: Any, mask: Any) -> Any:
        return (np.where(mask, input - target, 0.0) ** 2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)

    assert ("law", "value") in found(judged(mean_of_all, ROWS, oracle=oracle))
    assert found(judged(masked_mean, ROWS, oracle=oracle)) == set()


# -- lengths -----------------------------------------------------------------------------------------------------------

STEPS = {
    "scores": logits("N", "T", "C", largest=16.0),
    "labels": class_index("N", "T"),
    "length": lengths("N", of="T"),
}
CHANNELS = {"input": real("N", "C", "T", **SMALL), "target": real("N", "C", "T", **SMALL), "seen": lengths("N", of="T")}
TIED = {"input": real("B", "T", **SMALL), "target": real("B", "T", **SMALL), "length": lengths("B", of="T")}


def within(length: Tensor, steps: int) -> Tensor:
    return torch.arange(steps) < length[..., None]


def of_steps(scores: Tensor, labels: Tensor, length: Tensor) -> Tensor:
    return of_tokens(scores, labels, within(length, scores.shape[1]))


def of_channels(input: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    kept = within(seen, input.shape[2])[:, None]
    return torch.where(kept, input - target, 0.0).square().sum((1, 2)) / seen


def of_tied(input: Tensor, target: Tensor, length: Tensor) -> Tensor:
    kept = within(length, input.shape[1])
    return torch.where(kept, input - target, 0.0).abs().sum() / length.sum()


def steps_unmasked(scores: Tensor, labels: Tensor, length: Tensor) -> Tensor:
    return F.cross_entropy(scores.transpose(1, 2), labels, reduction="none").sum(dim=1) / length


def one_step_more(scores: Tensor, labels: Tensor, length: Tensor) -> Tensor:
    return of_steps(scores, labels, (length + 1).clamp(max=scores.shape[1]))


def channels_unmasked(input: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    return (input - target).square().sum((1, 2)) / seen


def tied_unmasked(input: Tensor, target: Tensor, length: Tensor) -> Tensor:
    return (input - target).abs().sum() / length.sum()


LENGTHS = [(of_steps, STEPS, "length"), (of_channels, CHANNELS, "seen"), (of_tied, TIED, "length")]


@pytest.mark.parametrize(("loss", "inputs", "name"), LENGTHS, ids=[loss.__name__ for loss, *_ in LENGTHS])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_what_lies_beyond_a_length_is_asked_and_a_sound_loss_has_no_finding(
    loss: Any, inputs: dict[str, Any], name: str, dtype: str
) -> None:
    result = judged(loss, inputs, dtype=dtype)
    (law,) = (t for t in result.trials if t.item == f"what lies beyond {name} does not matter")
    assert law.cases >= 16
    assert result.findings == []


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [(steps_unmasked, STEPS), (one_step_more, STEPS), (channels_unmasked, CHANNELS), (tied_unmasked, TIED)],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_lies_beyond_a_length_and_counts_is_found(loss: Any, inputs: dict[str, Any]) -> None:
    result = judged(loss, inputs)
    assert ("law", "value") in found(result)
    assert any("what lies beyond" in f.message for f in result.findings)


def test_nan_beyond_a_length_that_gets_out_is_a_weakness() -> None:
    def times_nothing(input: Tensor, target: Tensor, seen: Tensor) -> Tensor:
        return ((input - target).square() * within(seen, input.shape[2])[:, None]).sum((1, 2)) / seen

    result = judged(times_nothing, CHANNELS)
    assert found(result) == set()
    assert ("ignored", "value") in found(result, "weakness")


def test_of_two_lengths_of_one_dimension_none_is_taken_for_that_of_an_argument() -> None:
    inputs = {**CHANNELS, "other": lengths("N", of="T")}
    result = judged(lambda input, target, seen, other: (input - target).abs().sum((1, 2)), inputs, name="it")
    assert not any("beyond" in t.item for t in result.trials)


# -- ignored classes ---------------------------------------------------------------------------------------------------

CLASSES = {"input": logits("N", "C"), "target": class_index("N")}
PIXELS = {"input": logits("N", "C", "H", "W"), "target": class_index("N", "H", "W")}
PAIRED = {"input": logits("B", "C"), "target": class_index("B")}


class Ignores(torch.nn.Module):
    """Cross-entropy that leaves out a class."""

    def __init__(self, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, ignore_index=self.ignore_index, reduction=self.reduction)


class Gathers(Ignores):
    """The class is taken as it comes: -1 is the last one."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        picked = input.log_softmax(1)[torch.arange(len(target)), target % input.shape[1]]
        return -picked if self.reduction == "none" else -picked.mean()


class Refuses(Ignores):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return -input.log_softmax(1).gather(1, target[:, None])[:, 0]


class Divides(Ignores):
    """Ignored rows are 0 and count in the mean."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, ignore_index=self.ignore_index, reduction="none").mean()


class Multiplies(Ignores):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        kept = target != self.ignore_index
        return F.cross_entropy(input, target * kept, reduction="none") * kept


@pytest.mark.parametrize(
    ("loss", "inputs", "init"),
    [
        (Ignores, CLASSES, {"ignore_index": -1}),
        (Ignores, CLASSES, {}),
        (Ignores, CLASSES, {"ignore_index": 0, "reduction": "none"}),
        (Ignores, PIXELS, {"ignore_index": 255}),
        (Ignores, PAIRED, {"ignore_index": -1}),
        (F.cross_entropy, CLASSES, {}),
        (torch.nn.CrossEntropyLoss(ignore_index=2), CLASSES, {}),
    ],
)
def test_what_is_ignored_is_asked_and_a_sound_loss_has_no_finding(loss: Any, inputs: Any, init: Any) -> None:
    result = judged(loss, inputs, init=init, name="it")
    (law,) = (t for t in result.trials if t.item.startswith("what ignore_index="))
    assert law.cases >= 7
    assert found(result) == set()
    # The backward of log_softmax makes nan of the 0 that comes from an ignored row which holds nan or inf.
    assert found(result, "weakness") == {("ignored", "input")}


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_an_ignored_class_that_counts_is_found(reduction: str, capsys: pytest.CaptureFixture[str]) -> None:
    setup = "from tests.test_masks import Gathers\nimport torch"
    options = {"init": {"ignore_index": -1, "reduction": reduction}, "setup": setup}
    result = judged(Gathers, CLASSES, **options)
    assert {("ignored", "value"), ("ignored", "input")} <= found(result)
    message = result.findings[0].message
    assert message.startswith("Gathers: what ignore_index=-1 leaves out: value: expected ")
    shown = next(f for f in result.findings if f.kind == "ignored" and f.output == "value")
    exec(shown.reproduction, {})
    assert capsys.readouterr().out


def test_an_ignored_class_that_is_refused_is_found() -> None:
    (found_,) = judged(Refuses, CLASSES, init={"ignore_index": -1}).findings
    assert found_.message.startswith("Refuses: what ignore_index=-1 leaves out: expected a result, got RuntimeError")


def test_an_ignored_row_that_counts_in_a_mean_is_a_weakness() -> None:
    result = judged(Divides, CLASSES, init={"ignore_index": -1})
    assert found(result) == set()
    (shown,) = (f for f in result.findings if f.kind == "ignored rows")
    assert shown.severity == "weakness"
    assert "that of the other rows alone" in shown.message


def test_nan_in_an_ignored_row_that_gets_out_is_a_weakness() -> None:
    result = judged(Multiplies, CLASSES, init={"ignore_index": -1})
    assert found(result) == set()
    assert ("ignored", "value") in found(result, "weakness")


def test_without_an_ignored_class_nothing_is_asked_of_it() -> None:
    result = judged(lambda input, target: F.nll_loss(input.log_softmax(1), target), CLASSES, name="it")
    assert not any("ignore_index" in t.item for t in result.trials)


@pytest.mark.parametrize("ignored", [-100, 0])
def test_an_ignored_class_leads_nowhere_and_the_others_are_asked_all_the_same(ignored: int) -> None:
    """Of both a gradient that dies at confident logits is seen; of the sound loss none is missed at what is ignored."""

    def sound(logits: Tensor, target: Tensor, ignore_index: int = ignored) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")

    def dying(logits: Tensor, target: Tensor, ignore_index: int = ignored) -> Tensor:
        return F.cross_entropy(logits.clamp(-5, 5), target, ignore_index=ignore_index, reduction="none")

    inputs = {"logits": logits("N", "C"), "target": class_index("N", classes="C")}
    for loss, dead in ((sound, False), (dying, True)):
        result = validate(loss, inputs=inputs, dtype="float32", check="edges")
        assert ("dead-gradient" in {f.kind for f in result.findings}) == dead


class Padded(torch.nn.Module):
    """A loss around that of torch, which leaves out the class of the padding."""

    def __init__(self, pad: int = 0) -> None:
        super().__init__()
        self.own = torch.nn.CrossEntropyLoss(ignore_index=pad)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.own(input, target)  # type: ignore[no-any-return]


class Rooted(Ignores):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target) + input.square().mean().sqrt()


@pytest.mark.parametrize("ignored", [-100, 0])
@pytest.mark.parametrize(
    "loss", [lambda i: torch.nn.CrossEntropyLoss(ignore_index=i), Padded], ids=["torch", "around torch"]
)
def test_nan_where_all_targets_are_ignored_is_called_so(loss: Any, ignored: int) -> None:
    result = validate(loss(ignored), inputs=CLASSES, dtype="float32", check="edges", name="it")
    (shown,) = result.findings
    assert (shown.severity, shown.kind) == ("weakness", "nan")
    assert "all targets ignored: target: expected a number, got nan" in shown.message


def test_other_nan_at_the_edges_is_found_beside_an_ignored_class() -> None:
    result = validate(Rooted(0, "mean"), inputs=CLASSES, dtype="float32", check="edges", name="it")
    messages = [f.message for f in result.findings if f.severity == "defect"]
    assert any("all inputs 0: input: expected a number, got nan" in m for m in messages)


def of_two_labels(input: Tensor, first: Tensor, second: Tensor, ignore_index: int = 0) -> Tensor:
    """A share for each of two labels, which is nan where one of them is ignored."""

    def mean(scores: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(scores[None], label[None], ignore_index=ignore_index)

    return torch.stack([0.7 * mean(i, a) + 0.3 * mean(i, b) for i, a, b in zip(input, first, second, strict=True)])


def test_nan_where_one_of_several_targets_is_ignored_is_told() -> None:
    """Nothing asks for it by its name, for nobody says which targets are ignored together."""
    labels = class_index("N", classes=2)
    inputs = {"input": logits("N", 2), "first": labels, "second": labels}
    result = validate(of_two_labels, inputs=inputs, dtype="float32", check="edges")
    assert [(f.kind, f.severity) for f in result.findings if f.output == "value"] == [("nan", "weakness")]
