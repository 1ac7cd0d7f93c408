"""Workers that are ahead with the later dtypes while the first is under way: the records are those of one worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import confined, records
from harness.api import prepare, subject_for
from harness.confined import Supervisor
from harness.plan import shares
from harness.ulp import PRECISIONS
from harness.wire import Limits, Request
from tests.losses import sound_bce

LOSSES = Path(__file__).parent / "hostile.py"


def request(loss: str, *checks: str, dtype: tuple[str, ...] = ("float64", "float32", "bfloat16")) -> Request:
    return Request(loss=f"{LOSSES}:{loss}", like="mse_loss", dtype=dtype, check=checks)


def ran(monkeypatch: pytest.MonkeyPatch, asked: Request, processors: int) -> list[records.Line]:
    monkeypatch.setattr(confined, "_processors", lambda: processors)
    run = Supervisor(asked, Limits(seconds=5.0))
    run.run()
    return run.lines


def told(lines: list[records.Line]) -> list[str]:
    """The records without times, and that something is printed without what: what comes before a record is a race."""
    timeless = [msgspec.structs.replace(x, seconds=0.0) if isinstance(x, records.Trial) else x for x in lines]
    return [re.sub(r"got [\d,]+ bytes, first '.*?'", "", str(x)) for x in timeless]


LOSSES_AND_CHECKS = [
    ("mse", ("value", "laws")),
    ("segfault_above_3", ("value",)),
    ("print_stdout", ("laws",)),
    ("exit_3", ("value",)),
]


@pytest.mark.parametrize(("loss", "checks"), LOSSES_AND_CHECKS, ids=[loss for loss, _ in LOSSES_AND_CHECKS])
def test_the_records_do_not_depend_on_how_many_workers_there_are(
    monkeypatch: pytest.MonkeyPatch, loss: str, checks: tuple[str, ...]
) -> None:
    asked = request(loss, *checks)
    alone = ran(monkeypatch, asked, 1)
    assert len([line for line in alone if isinstance(line, records.Trial)]) > 2
    assert told(ran(monkeypatch, asked, 3)) == told(alone)


def test_what_workers_that_are_ahead_have_done_is_kept_at_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: 2)
    run = Supervisor(request("mse", "laws", dtype=("float64", "float32")), Limits())

    def interrupt(number: int, total: int, trial: records.Trial) -> None:
        for other in run._ahead:
            while not other.ended():
                other.listen()
                time.sleep(0.01)
            raise KeyboardInterrupt

    run.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        run.run()
    kept = [line for line in run.lines if isinstance(line, records.Trial)]
    assert [t.item for t in kept if t.dtype == "float32"] == [t.item for t in run.trials if t.dtype == "float32"]
    assert len({t.id for t in kept}) == len(kept) < len(run.trials)
    (missing,) = (line for line in run.lines if isinstance(line, records.NotRun))
    assert missing == records.NotRun(what=f"{len(run.trials) - len(kept)} trials", reason="interrupted")
    assert not run._ahead


@pytest.mark.parametrize("processors", [1, 2, 3, 4, 7])
def test_shares_are_whole_dtypes_in_order(processors: int) -> None:
    trials = prepare(subject_for(sound_bce, "binary_cross_entropy_with_logits"), check=["value", "form"]).trials
    parts = shares(trials, processors)
    assert len(parts) == processors
    assert [n for part in parts for n in part] == list(range(len(trials)))
    dtypes = [{trials[n].precision.name for n in part} for part in parts]
    assert sum(map(len, dtypes)) == len(PRECISIONS), "a dtype is in two shares"
    assert max(map(len, dtypes)) == -(-len(PRECISIONS) // min(processors, len(PRECISIONS)))


@pytest.mark.parametrize(
    ("processors", "fail_fast", "most"), [(1, False, 1), (2, False, 2), (4, False, 3), (4, True, 1)]
)
def test_workers_are_ahead_where_there_are_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, fail_fast: bool, most: int
) -> None:
    monkeypatch.setattr(confined, "_processors", lambda: processors)
    begun: list[tuple[int, int]] = []
    alive: list[confined.Process] = []
    together: list[int] = []
    process: Callable[..., confined.Process] = confined.Process

    def counted(*given: object) -> confined.Process:
        begun.append(given[1].share)  # type: ignore[attr-defined]
        alive.append(process(*given))
        together.append(sum(not p.ended() for p in alive if p.status is None))
        return alive[-1]

    monkeypatch.setattr(confined, "Process", counted)
    run = Supervisor(request("mse", "value", "laws"), Limits(), fail_fast=fail_fast)
    run.run()
    assert begun == [(0, 3), (1, 3), (2, 3)]
    assert max(together) == most
    assert len([line for line in run.lines if isinstance(line, records.Trial)]) == len(run.trials)
