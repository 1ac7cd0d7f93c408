"""The mutator changes one place at a time, all of it, and its judge tells the killed from the survivors."""

from __future__ import annotations

import ast
import dataclasses
import operator
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.trust import work
from tests.trust.lines import Judged, Start, append, done, only, path, read
from tests.trust.mutants import mutants, mutated
from tests.trust.mutation import SPECIMENS, built, digest, mutants_of, source_of, verdict
from tests.trust.reviewed import BLIND, EQUIVALENT, names

SOURCE = '''
"""A module."""
SCALE = 2 * 0.5

@decorated(3)
def hinge(x: Tensor | None, y: "mean", reduction: str = "mean", margin: float = 0.0) -> Tensor | None:
    """The text of a function."""
    gap = -(x - y).sum(dim=-1)
    return torch.where(gap < margin and not flat, torch.inf, gap.clamp(min=SCALE))

def other(x):
    return x + 1
'''
EXPECTED = """
example.SCALE: 2 * 0.5 -> 2 / 0.5
example.SCALE: 2 * 0.5 -> 3 * 0.5
example.SCALE: 2 * 0.5 -> 2 * 0.5005
example.hinge: reduction='mean' -> reduction='sum'
example.hinge: margin=0.0 -> margin=1.0
example.hinge: -(x - y).sum(dim=-1) -> (x - y).sum(dim=-1)
example.hinge: -(x - y).sum(dim=-1) -> -(x - y).mean(dim=-1)
example.hinge: -(x - y).sum(dim=-1) -> -(x + y).sum(dim=-1)
example.hinge: -(x - y).sum(dim=-1) -> -(x - y).sum()
example.hinge: -(x - y).sum(dim=-1) -> -(x - y).sum(dim=1)
example.hinge: -(x - y).sum(dim=-1) -> -(x - y).sum(dim=-2)
example.hinge: gap < margin and (not flat) -> gap < margin or not flat
example.hinge: gap < margin and (not flat) -> gap <= margin and (not flat)
example.hinge: gap < margin and (not flat) -> gap >= margin and (not flat)
example.hinge: gap < margin and (not flat) -> gap < margin and flat
example.hinge: torch.inf -> -torch.inf
example.hinge: gap.clamp(min=SCALE) -> gap.clamp(max=SCALE)
example.hinge: gap.clamp(min=SCALE) -> gap.clamp()
"""


def test_every_place_is_changed_once() -> None:
    tree = ast.parse(SOURCE)
    found = list(mutants("any", "of.example", tree, {"SCALE", "hinge"}))
    assert [m.key for m in found] == EXPECTED.strip().splitlines()
    assert ast.dump(tree) == ast.dump(ast.parse(SOURCE)), "to list mutants changes nothing"
    original = ast.unparse(tree).splitlines()
    for mutant in found:
        changed = ast.unparse(mutated(tree, mutant.number)).splitlines()
        assert sum(a != b for a, b in zip(original, changed, strict=True)) == 1, mutant.key


def test_equal_changes_of_one_place_are_told_apart() -> None:
    tree = ast.parse("def f(x):\n    y = x + 1\n    return g(x + 1, x + 1, [" + "x, " * 30 + "])")
    keys = [m.key for m in mutants("any", "m", tree, {"f"})]
    assert keys[:2] == ["m.f: x + 1 -> x - 1", "m.f: x + 1 -> x + 2"]
    assert "m.f: x + 1 -> x - 1 (3)" in keys
    assert len(set(keys)) == len(keys) == 6


def test_the_source_of_a_loss_is_all_that_it_runs() -> None:
    found = source_of(SPECIMENS["huber_loss: a clamped slope times what is left"])
    assert found == {
        "tests.losses": {"reduced"},
        "tests.sound.pieces": {"in_float32", "internally", "Tensor", "Loss"},
        "tests.sound.regression": {"clamped_huber", "_Huber"},
    }


def test_there_is_a_mutant_of_every_specimen() -> None:
    keys = {s: [m.key for m in mutants_of(s)] for s in SPECIMENS}
    assert min(map(len, keys.values())) >= 8
    assert all(len(set(k)) == len(k) for k in keys.values())
    assert len({digest(s) for s in SPECIMENS}) >= len(SPECIMENS) - 2, "a digest is of the source"


FATES = (
    ("l1_loss: the difference turned to its sign", "torch.where(d == 0, 1.0, d)", ""),
    ("l1_loss: the difference turned to its sign", "torch.where(d == 0, 0.0, d)", "value"),
    ("hinge_embedding_loss: a branch a label", "margin=1.001", "note"),
    ("hinge_embedding_loss: labels that move the operands", "torch.where(gap < 0, 0.0, gap * live)", "grade"),
)


def test_nothing_is_left_of_a_mutant() -> None:
    specimen = "mse_loss: squared error, fused"
    sound = SPECIMENS[specimen]
    mutant = next(m for m in mutants_of(specimen) if m.key.endswith("d * d -> d / d"))
    before = dict(vars(sys.modules[sound.loss.__module__]))
    assert built(sound, mutant) is not sound.loss
    assert vars(sys.modules[sound.loss.__module__]) == before


@pytest.mark.parametrize(("specimen", "change", "by"), FATES)
def test_the_killed_are_told_from_the_survivors(specimen: str, change: str, by: str) -> None:
    # All of them keep few ulp at quick effort, in which the mutants are judged.
    sound = dataclasses.replace(SPECIMENS[specimen], dtypes=("float32",), grade="few-ulp")
    mutant = next(m for m in mutants_of(specimen) if change in m.after)
    assert verdict(sound, built(sound, mutant))[0] == by


def outcomes(*jobs: tuple[Any, ...], until: float) -> dict[tuple[Any, ...], tuple[object, str]]:
    made = work.done(jobs, operator.call, workers=2, seconds=1.0, until=until)
    return {job: (result, why) for job, result, why, _ in made}


def test_a_job_that_dies_or_hangs_takes_nothing_along() -> None:
    die, hang = (os._exit, 1), (time.sleep, 60)
    found = outcomes((abs, -1), die, (abs, -2), hang, (abs, -3), until=time.monotonic() + 60)
    assert found[die] == (None, "crash")
    assert found[hang] == (None, "time")
    assert [found[abs, -n] for n in (1, 2, 3)] == [(1, ""), (2, ""), (3, "")]


def test_no_job_is_begun_when_time_is_up() -> None:
    assert outcomes((abs, -1), until=time.monotonic() - 1) == {}


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "build" / "mutation.jsonl"
    assert read(file) == []
    line = Judged(specimen="s", source="0", mutant="m", line=1, killed=True, by="value", seconds=0.5)
    start = Start(date="d", lossproof="0", torch="2", numpy="2", python="3", platform="p", processor="c")
    append(file, start)
    append(file, line)
    with file.open("ab") as out:
        out.write(b'{"kind":"judged","spec')
    assert read(file) == [start, line]
    assert done(read(file)) == {"s 0 m"}


def test_what_is_reviewed_is_a_mutant_that_survived() -> None:
    """One that was killed is not equivalent, whatever is said of it."""
    alive = [r for r in only(read(path("mutation")), Judged) if r.mutant and not r.killed]
    met = {key for r in alive for key in names(r.specimen, r.mutant)}
    assert not [key for table in (EQUIVALENT, BLIND) for key in table if key not in met]
