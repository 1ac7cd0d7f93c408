"""No false alarm: sound losses that are not torch's pass, and their declared grade is what is measured."""

from __future__ import annotations

import warnings
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import core

from harness import generate, records
from harness.bounds import GRADES
from harness.checks.specimen import measured
from harness.registry import contract, subject_of
from lossproof import Result, validate
from tests.controls.control import OF_TORCH
from tests.sound import SOUND
from tests.sound.declare import ALL, Sound

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


def ids(sound: Sound) -> str:
    return f"{sound.like}: {sound.name}"


def judged(sound: Sound, dtypes: tuple[str, ...], effort: str) -> Result:
    """One strict run: whether it is ok without strict is a matter of the severities in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = torch.compile(sound.loss, dynamic=True) if sound.compiled else sound.loss
        return validate(loss, like=sound.like, dtype=dtypes, effort=effort, strict=True, name=sound.loss.__name__)


def check(sound: Sound, result: Result) -> list[int]:
    """Nothing false is found and nothing worse than declared is measured; the grades that are."""
    allowed = () if sound.keeps_digits else ("weakness",)
    false = [f for f in result.findings if f.severity not in ("note", *allowed)]
    assert not false, "\n".join(
        f"{f.severity} {f.kind} of {f.output}: {f.message}\n{f.reproduction}" for f in false[:3]
    )
    wrong = [t for t in result.trials if t.verdict in ("error", "stale")]
    assert not wrong, wrong[0].reason
    assert result.ok == all(f.severity == "note" for f in result.findings)
    surveys = [line for line in result.lines if isinstance(line, records.Survey)]
    assert surveys
    reached = {f"{s.dtype} {t.output}": (measured(t), sound.grade_of(t.output)) for s in surveys for t in s.outputs}
    beyond = {where: GRADES[got] for where, (got, declared) in reached.items() if got > declared}
    assert not beyond, f"{sound.name}: measured worse than declared: {beyond}"
    return [got for got, _ in reached.values()]


@pytest.mark.parametrize("sound", QUICK, ids=ids)
def test_no_false_alarm(sound: Sound) -> None:
    grades = check(sound, judged(sound, sound.dtypes, "quick"))
    assert sound.keeps_digits or GRADES.index("absolute-only") in grades, f"{sound.name}: declared worse than measured"


@pytest.mark.trust
@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sound", SOUND, ids=ids)
def test_no_false_alarm_ever(sound: Sound, seed: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other draws of the sweep and of the hunt for every seed."""

    def seeded(*parts: object) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32("/".join(map(str, parts)).encode())])

    monkeypatch.setattr(generate, "seeded", seeded)
    monkeypatch.setattr(core, "global_force_seed", seed)
    if sound.compiled:
        # One function is compiled for every setting; beyond the limit it would run as it is.
        torch.compiler.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 256)
            monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    check(sound, judged(sound, (dtype,), "thorough"))


def test_the_catalogue_is_wide() -> None:
    assert len(SOUND) >= 42
    assert not [name for name, count in Counter(map(ids, SOUND)).items() if count > 1]
    assert not [s.name for s in SOUND if subject_of(s.loss) is not None]
    assert set(OF_TORCH) - {contract(s.like).name for s in SOUND} == WITHOUT
    assert len({s.grade for s in SOUND}) == len(GRADES) - 1
