"""Workers that are ahead with the later dtypes while the first is under way: the records are those of one worker."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import msgspec
import pytest

from harness import confined, process, records
from harness.api import prepare, subject_for
from harness.confined import Supervisor
from harness.plan import shares
from harness.ulp import PRECISIONS
from harness.wire import Begun, Clock, Limits, Pipes, Request, Task
from tests.losses import sound_bce

LOSSES = Path(__file__).parent / "hostile.py"


def request(loss: str, *checks: str, dtype: tuple[str, ...] = ("float64", "float32", "bfloat16")) -> Request:
    return Request(loss=f"{LOSSES}:{loss}", like="mse_loss", dtype=dtype, check=checks)


def ran(monkeypatch: pytest.MonkeyPatch, asked: Request, processors: int) -> list[records.Line]:
    monkeypatch.setattr(confined, "_processors", lambda: processors)
    run = Supervisor(asked, Limits(seconds=5.0))
    run.run()
    return run.lines


def told(lines: list[records.Line]) -> list[records.Line]:
    """The records without times."""
    return [msgspec.structs.replace(x, seconds=0.0) if isinstance(x, records.Trial) else x for x in lines]


LOSSES_AND_CHECKS = [
    ("mse", ("value", "laws")),
    ("segfault_above_3", ("value",)),
    ("print_stdout", ("laws",)),
    ("hello", ("laws",)),
    ("exit_3", ("value",)),
]


@pytest.mark.parametrize(("loss", "checks"), LOSSES_AND_CHECKS, ids=[loss for loss, _ in LOSSES_AND_CHECKS])
def test_the_records_do_not_depend_on_how_many_workers_there_are(
    monkeypatch: pytest.MonkeyPatch, loss: str, checks: tuple[str, ...]
) -> None:
    few = ("float32", "bfloat16") if loss in ("segfault_above_3", "exit_3") else ("float64", "float32", "bfloat16")
    asked = request(loss, *checks, dtype=few)
    alone = ran(monkeypatch, asked, 1)
    assert len([line for line in alone if isinstance(line, records.Trial)]) >= len(few)
    assert told(ran(monkeypatch, asked, 3)) == told(alone)


COUNTED = """
import itertools, os, time, torch
for COUNT in itertools.count(1):
    try:
        open(f"{__file__}.{COUNT}", "x").close()
        break
    except FileExistsError:
        pass
def loss(input, target, reduction="mean"):
    value = (input - target) ** 2
    return value if reduction == "none" else value.mean() if reduction == "mean" else value.sum()
"""
LOCKED = """
import fcntl
LOCK = open(__file__ + ".lock", "w")
fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""
SECOND_ENDS = """
if COUNT == 2:
    os._exit(3)
"""
SLOW = """
def slow(input, target, reduction="mean"):
    time.sleep(2.0 * (input.dtype == torch.float32))
    return loss(input, target, reduction)
"""


def own(folder: Path, more: str, check: str, name: str = "loss") -> Request:
    file = folder / "own.py"
    file.write_text(COUNTED + more)
    return Request(loss=f"{file}:{name}", like="mse_loss", dtype=("float64", "float32", "bfloat16"), check=(check,))


def first_alone(monkeypatch: pytest.MonkeyPatch, run: Supervisor, processors: int) -> None:
    """As many processors, for a loss that counts its loads: workers begun at once may load in any order."""
    monkeypatch.setattr(confined, "_processors", lambda: processors if run.trials else 1)


@pytest.mark.parametrize(
    ("more", "name"), [(LOCKED, "loss"), (SECOND_ENDS, "loss"), (SLOW, "slow")], ids=["locked", "second ends", "slow"]
)
def test_a_loss_that_does_not_bear_company_is_judged_as_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: str, name: str
) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "ahead").mkdir()
    found = []
    for folder, processors in (("alone", 1), ("ahead", 3)):
        asked = own(tmp_path / folder, more.replace("COUNT == 2", "COUNT == 2 and 'ahead' in __file__"), "value", name)
        run = Supervisor(asked, Limits(seconds=1.0))
        first_alone(monkeypatch, run, processors)
        run.run()
        found.append(
            [(t.id, t.verdict, [f.kind for f in t.findings]) for t in run.lines if isinstance(t, records.Trial)]
        )
    assert found[0] == found[1]
    assert len(found[1]) == len(run.trials) == 3
    kinds = {(t.rpartition("-")[2].partition(":")[0], *k) for t, _, k in found[1]}
    assert ("float32", "hang") in kinds or name == "loss"
    assert not [k for k in kinds if len(k) > 1 and k[0] != "float32"]


ENDS_IN_BFLOAT16 = """
def ends_in_bfloat16(input, target, reduction="mean"):
    if input.dtype == torch.bfloat16:
        os._exit(4)
    return loss(input, target, reduction)
"""
LATER_ENDS = """
if COUNT > 1:
    os._exit(3)
"""
LATER_OTHER = """
if COUNT > 1:
    def loss(input, target):
        return (input - target) ** 2
    def ends_in_bfloat16(input, target):
        return (input - target) ** 2
"""
LATER_REFUSED = """
if COUNT > 1:
    raise ValueError("once is enough")
"""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (LATER_ENDS, "it ended the process with status 3"),
        (LATER_OTHER, "it is another loss when it is loaded again"),
        (LATER_REFUSED, "it cannot be loaded again: .*ValueError: once is enough"),
    ],
    ids=["ends", "other", "refused"],
)
@pytest.mark.parametrize("processors", [1, 2])
def test_a_loss_that_cannot_be_loaded_again_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: str, says: str, processors: int
) -> None:
    """A second worker that cannot load it is no finding, one that follows a worker that has ended is."""
    run = Supervisor(own(tmp_path, ENDS_IN_BFLOAT16 + more, "reductions", "ends_in_bfloat16"), Limits(seconds=5.0))
    first_alone(monkeypatch, run, processors)
    run.run()
    assert run.status == 1
    trials = [line for line in run.lines if isinstance(line, records.Trial)]
    assert {t.verdict for t in trials if t.dtype == "float64"} == {"pass"}
    failed = [t for t in trials if t.verdict == "fail"]
    assert failed
    messages = [f.message for t in failed for f in t.findings]
    assert all(re.search(f"{says}|status 4", m) for m in messages)
    assert any(re.search(says, m) for m in messages)
    left = sum(int(line.what.split()[0]) for line in run.lines if isinstance(line, records.NotRun))
    assert len(trials) + left == len(run.trials)


def test_what_workers_that_are_ahead_have_done_is_kept_at_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: 2)
    run = Supervisor(request("mse", "value", "laws", dtype=("float64", "float32")), Limits())

    def interrupt(number: int, total: int, trial: records.Trial) -> None:
        for other in run._ahead.values():
            while not other.idle:
                other.listen()
                time.sleep(0.01)
            raise KeyboardInterrupt

    run.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        run.run()
    kept = [line for line in run.lines if isinstance(line, records.Trial)]
    ahead = [t.id for t in run.trials if t.dtype == "float64" and t.check == "laws"]
    assert [t.id for t in kept if t.check == "laws"] == ahead
    assert len({t.id for t in kept}) == len(kept)
    left = [line for line in run.lines if isinstance(line, records.NotRun)]
    missing = len(run.trials) - len(kept)
    assert left == ([records.NotRun(what=f"{missing} trials", reason="interrupted")] if missing else [])
    assert not run._ahead
    assert not run._workers


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_shares_are_in_order_and_trials_that_read_one_survey_are_in_one(count: int) -> None:
    checks = ["value", "range", "form", "laws"]
    trials = prepare(subject_for(sound_bce, "binary_cross_entropy_with_logits"), check=checks).trials
    parts = shares(trials, count)
    assert len(parts) == count
    assert [n for part in parts for n in part] == list(range(len(trials)))
    groups = [{(trials[n].dtype, trials[n].check.name in ("value", "range")) for n in part} for part in parts]
    assert sum(map(len, groups)) == 2 * len(PRECISIONS), "a group is in two shares"
    assert max(map(len, groups)) == -(-2 * len(PRECISIONS) // min(count, 2 * len(PRECISIONS)))


def test_a_call_is_not_overdue_while_its_time_is_being_written() -> None:
    clock, until = Clock(), time.monotonic() + 0.5
    if (pid := os.fork()) == 0:
        while time.monotonic() < until:
            for _ in range(100):
                clock.begin(20.0, 5)
                clock.begin(20.0, 0)
        os._exit(0)
    looks = 0
    while time.monotonic() < until:
        looks += 1
        assert not clock.overdue()
    os.waitpid(pid, 0)
    assert looks > 1000
    clock.begin(-1.0, 7)
    assert clock.overdue()
    assert clock.call == 7
    clock.begin(-1.0, 0)
    assert not clock.overdue()


@pytest.mark.parametrize(
    ("processors", "fail_fast", "device", "most"),
    [
        (1, False, "cpu", 1),
        (2, False, "cpu", 2),
        (4, False, "cpu", 4),
        (4, True, "cpu", 1),
        (4, False, "cuda", 1),
    ],
)
def test_there_are_as_many_workers_as_processors_and_one_that_is_done_goes_on_with_the_next_share(
    monkeypatch: pytest.MonkeyPatch, processors: int, fail_fast: bool, device: str, most: int
) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: processors)
    begun: list[tuple[int, int]] = []
    ordered: list[tuple[int, int]] = []

    class Counted(confined.Process):
        def __init__(self, asked: Request, task: Task, limits: Limits) -> None:
            begun.append(task.share)
            super().__init__(asked, task, limits)

        def order(self, task: Task) -> None:
            ordered.append(task.share)
            super().order(task)

    monkeypatch.setattr(confined, "Process", Counted)
    asked = msgspec.structs.replace(request("mse", "value", "laws"), device=("cpu", device))
    run = Supervisor(asked, Limits(), fail_fast=fail_fast)
    run.run()
    assert begun == [(n, 6) for n in range(most)]
    assert sorted(begun + ordered) == [(n, 6) for n in range(6)]
    assert len([line for line in run.lines if isinstance(line, records.Trial)]) == len(run.trials)


def test_a_loss_is_loaded_once_a_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: 1)
    run = Supervisor(own(tmp_path, "", "laws"), Limits())
    run.run()
    assert run.status == 0
    assert [f.name for f in tmp_path.glob("own.py.*")] == ["own.py.1"]


ENDS_WHEN_IDLE = """
import threading
def loss(input, target, reduction="mean", _mean=loss):
    if input.dtype == torch.float64:
        threading.Timer(0.3, os._exit, [5]).start()
    return _mean(input, target, reduction)
"""


def test_a_worker_that_ends_between_two_shares_is_a_finding_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: 2)
    run = Supervisor(own(tmp_path, ENDS_WHEN_IDLE, "laws"), Limits(seconds=5.0))
    run.run()
    trials = [line for line in run.lines if isinstance(line, records.Trial)]
    assert [t.id for t in trials] == [t.id for t in run.trials]
    ended = [t for t in trials if t.verdict == "fail"]
    assert all("ended the process with status 5" in f.message for t in ended for f in t.findings)
    assert not run._workers


def babbling(request: Request, task: Task, limits: Limits, clock: Clock, pipes: Pipes, mark: bytes) -> None:
    """A worker that is understood until something else is in the pipe of its records."""
    for text in (b"", b"nonsense\n", b""):
        os.write(pipes.channel, text or msgspec.json.encode(Begun(number=0)) + b"\n")
        time.sleep(0.05)
    os._exit(0)


def test_what_comes_after_something_that_is_not_understood_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of a later trial: the one between would have no record."""
    monkeypatch.setattr(process, "work", babbling)
    worker = process.Process(request("mse"), Task(), Limits())
    while not worker.ended():
        worker.listen()
        time.sleep(0.01)
    worker.listen()
    assert list(worker.messages()) == [Begun(number=0)]
    assert worker.babble
    worker.end()
