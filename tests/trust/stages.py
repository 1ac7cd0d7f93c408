"""What the lane of trust runs: certificates, controls, mutants, sound losses; each a list of jobs and a function."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import registry
from harness.bounds import GRADES
from harness.certify import ROWS, certify
from tests.controls import CONTROLS, named
from tests.sound import SOUND
from tests.sound.declare import ALL
from tests.test_controls import judged, shown
from tests.test_sound import SEEDS, alarms, identity, reached
from tests.test_sound import judged as judged_sound
from tests.trust.lines import Certified, Flagged, Judged, Line, Measured, Result, only
from tests.trust.mutation import SPECIMENS, digest, judge, mutants_of

OTHER_SEEDS = (1, 2, 3, 4, 5)
"""The kept certificates are of seed 0."""
MORE = 4
"""Times as many rows as a kept certificate has."""

Job = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the lane."""

    name: str
    jobs: Callable[[Sequence[Line]], dict[str, Job]]
    """All there is to do by the key of its result, given what is known."""
    perform: Callable[..., Result]
    seconds: float
    """What one job may take."""
    lost: Callable[[Job, str, float], Result | None]
    """The result of a job that ran out of time or took its process down; None where that says nothing."""


def _nothing(job: Job, why: str, seconds: float) -> None:
    return None


def _certificates(_: Sequence[Line]) -> dict[str, Job]:
    return {f"{name} seed {seed}": (name, seed) for seed in OTHER_SEEDS for name in registry.contracts()}


def _certify(name: str, seed: int) -> Certified:
    started = time.perf_counter()
    found = certify(registry.contract(name), MORE * ROWS, seed)
    return Certified(
        contract=name,
        seed=seed,
        rows=found.rows,
        ulp=found.ulp,
        output=found.output,
        seconds=round(time.perf_counter() - started, 2),
    )


def _controls(lines: Sequence[Line]) -> dict[str, Job]:
    """Each at quick effort; what that misses, at ci effort too."""
    missed = {r.control for r in only(lines, Flagged) if r.effort == "quick" and not r.flagged}
    quick: dict[str, Job] = {f"{c.id} at quick": (c.id, "quick") for c in CONTROLS}
    return quick | {f"{c.id} at ci": (c.id, "ci") for c in CONTROLS if c.id in missed}


def _flag(name: str, effort: str) -> Flagged:
    started = time.perf_counter()
    control = dataclasses.replace(named(name), effort=effort)
    found = shown(control, judged(control))
    return Flagged(
        control=control.id,
        like=control.like,
        family=control.family,
        check=control.check,
        effort=effort,
        flagged=any(f.kind == control.shows for f in found),
        seconds=round(time.perf_counter() - started, 2),
    )


def _mutation(_: Sequence[Line]) -> dict[str, Job]:
    """Each specimen as it is, then its mutants."""
    return {
        f"{s} {digest(s)} {key}": (s, key) for s in SPECIMENS for key in ("", *(mutant.key for mutant in mutants_of(s)))
    }


def _judge(specimen: str, key: str) -> Judged:
    return judge(specimen, next((m for m in mutants_of(specimen) if m.key == key), None))


def _lost(job: Job, why: str, seconds: float) -> Judged:
    specimen, key = str(job[0]), str(job[1])
    line = next((m.line for m in mutants_of(specimen) if m.key == key), 0)
    return Judged(
        specimen=specimen,
        source=digest(specimen),
        mutant=key,
        line=line,
        killed=True,
        by=why,
        seconds=round(seconds, 2),
    )


BY_IDENTITY = {identity(s): s for s in SOUND}


def _sound(_: Sequence[Line]) -> dict[str, Job]:
    """All dtypes of a seed before the next seed."""
    return {
        f"{identity(s)} {dtype} seed {seed} at thorough": (identity(s), dtype, seed)
        for seed in SEEDS
        for dtype in ALL
        for s in SOUND
    }


def _measure(name: str, dtype: str, seed: int) -> Measured:
    sound, started = BY_IDENTITY[name], time.perf_counter()
    result = judged_sound(sound, dtype, "thorough", seed)
    worst = {"value": -1, "gradient": -1}
    for (_, output), got in reached(result).items():
        kind = "value" if output == "value" else "gradient"
        worst[kind] = max(worst[kind], got)
    said = [line.partition("\n")[0] for line in alarms(sound, result)]
    return Measured(
        sound=name,
        dtype=dtype,
        seed=seed,
        effort="thorough",
        ok=not said,
        shows="; ".join(dict.fromkeys(said))[:160],
        value=GRADES[worst["value"]] if worst["value"] >= 0 else "",
        gradient=GRADES[worst["gradient"]] if worst["gradient"] >= 0 else "",
        seconds=round(time.perf_counter() - started, 2),
    )


STAGES = {
    s.name: s
    for s in (
        Stage(name="certificates", jobs=_certificates, perform=_certify, seconds=900, lost=_nothing),
        Stage(name="controls", jobs=_controls, perform=_flag, seconds=600, lost=_nothing),
        Stage(name="mutation", jobs=_mutation, perform=_judge, seconds=120, lost=_lost),
        Stage(name="sound", jobs=_sound, perform=_measure, seconds=3600, lost=_nothing),
    )
}
