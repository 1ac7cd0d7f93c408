"""No false alarm: sound losses that are not torch's pass, and their declared grade is what is measured."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness import records
from harness.bounds import GRADES
from harness.checks.specimen import measured
from harness.registry import contract, subject_of
from lossproof import Result, validate
from tests.controls.control import OF_TORCH
from tests.losses import reduced
from tests.sound import SOUND
from tests.sound.declare import Sound

QUICK = [s for s in SOUND if not s.compiled]
SEEDS = (1, 2, 3)
WITHOUT = {
    "adaptive_log_softmax_with_loss_predict",
    "adaptive_log_softmax_with_loss_log_prob",
    "adaptive_log_softmax_with_loss",
    "ctc_loss",
    "ctc_loss_of_logits",
    "linear_cross_entropy_soft",
    "triplet_margin_with_distance_loss_squared",
}
"""Contracts that no sound form here keeps."""


def identity(sound: Sound) -> str:
    return f"{sound.like}: {sound.name}"


@contextmanager
def as_declared(sound: Sound) -> Iterator[Callable[..., Any]]:
    """The loss itself, or as torch.compile makes it: one function is compiled for every setting."""
    if not sound.compiled:
        yield sound.loss
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.compiler.reset()
        compiled = torch.compile(sound.loss, dynamic=True)
    # Beyond the limit it would run as it is.
    with torch._dynamo.config.patch(recompile_limit=256, fail_on_recompile_limit_hit=True):
        yield compiled


def judged(sound: Sound, dtypes: str | Sequence[str], effort: str, seed: int = 0) -> Result:
    """One strict run: whether it is ok without strict is a matter of the severities in it."""
    with warnings.catch_warnings(), as_declared(sound) as loss:
        warnings.simplefilter("ignore")
        return validate(
            loss, like=sound.like, dtype=dtypes, effort=effort, seed=seed, strict=True, name=sound.loss.__name__
        )


def reached(result: Result) -> dict[tuple[str, str], int]:
    """The worst grade of every output in every dtype, as its place on the ladder."""
    surveys = [line for line in result.lines if isinstance(line, records.Survey)]
    return {(s.dtype, t.output): measured(t) for s in surveys for t in s.outputs}


def alarms(sound: Sound, result: Result) -> list[str]:
    """What is found that should not be, and what is measured worse than declared."""
    allowed = () if sound.keeps_digits else ("weakness",)
    false = [f for f in result.findings if f.severity not in ("note", *allowed)]
    wrong = [t for t in result.trials if t.verdict in ("error", "stale")]
    grades = reached(result)
    return [
        *(f"{f.severity} {f.kind} of {f.output}: {f.message}\n{f.reproduction}" for f in false),
        *(f"{t.check}: {t.verdict}: {t.reason}" for t in wrong),
        *(
            f"{dtype}: {output}: {GRADES[got]}, declared {GRADES[sound.grade_of(output)]}"
            for (dtype, output), got in grades.items()
            if got > sound.grade_of(output)
        ),
        *([] if grades else ["nothing was measured"]),
    ]


@pytest.mark.parametrize("sound", QUICK, ids=identity)
def test_no_false_alarm(sound: Sound) -> None:
    result = judged(sound, sound.dtypes, "quick")
    assert not alarms(sound, result)
    assert result.ok == all(f.severity == "note" for f in result.findings)
    assert sound.keeps_digits or GRADES.index("absolute-only") in reached(result).values(), "declared worse than it is"


def test_a_false_alarm_would_be_seen() -> None:
    """A loss that is declared better than it is, and one with a defect."""
    sound = next(s for s in SOUND if s.name == "shifted log-sum")
    result = judged(sound, "float32", "quick")
    assert not alarms(sound, result)
    shown = alarms(replace(sound, grade="reference"), result)
    assert any(line.startswith("weakness") for line in shown)
    assert "float32: value: absolute-only, declared reference" in shown
    assert any(
        line.startswith("defect") for line in alarms(sound, judged(replace(sound, loss=unshifted), "float32", "quick"))
    )


def unshifted(input: torch.Tensor, target: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    return reduced(input.exp().sum(1).log() - input.gather(1, target[:, None])[:, 0], reduction)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_mean_of_many_halves_has_no_gradient() -> None:
    """As the table of sound losses shows: with dynamic shapes torch 2.13.0 divides by their number, inf in float16."""
    rows = torch.ones(70_000, dtype=torch.float16)
    gradients = []
    for loss in (torch.mean, torch.compile(torch.mean, dynamic=True)):
        x = rows.clone().requires_grad_()
        loss(x * x).backward()
        gradients.append(None if x.grad is None else float(x.grad[0]))
    assert gradients == [pytest.approx(2 / 70_000, rel=1e-2), 0.0]


def test_compiled_losses_follow_each_other() -> None:
    for sound in (s for s in SOUND if s.compiled):
        with as_declared(sound) as loss:
            assert loss is not sound.loss
            assert torch._dynamo.config.recompile_limit == 256
        assert torch._dynamo.config.recompile_limit != 256


def test_the_catalogue_is_wide() -> None:
    assert len(SOUND) >= 42
    assert not [name for name, count in Counter(map(identity, SOUND)).items() if count > 1]
    assert not [s.name for s in SOUND if subject_of(s.loss) is not None]
    assert set(OF_TORCH) - {contract(s.like).name for s in SOUND} == WITHOUT
    assert len({s.grade for s in SOUND}) == len(GRADES) - 1
