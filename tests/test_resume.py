"""A run that is cut short loses nothing that it finished, says what is missing, and goes on with --resume."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from harness import records
from tests.checking import hearing_interrupts
from tests.serving import server

ROOT = Path(__file__).parent.parent
CHOSEN = ("--loss", "huber_loss", "--effort", "quick", "--dtype", "float32")


def words_of(path: Path, *words: str) -> list[str]:
    fixed = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHOSEN, "--records", str(path))
    return [*fixed, *(words or ("suites/",))]


def run(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return served(words_of(path, "suites/", *words))


def served(words: list[str]) -> subprocess.CompletedProcess[str]:
    """The same run by a process that has torch already."""
    _, _, module, *rest = words
    return server()(module, *rest)


def trials(path: Path) -> list[records.Trial]:
    return [line for line in records.read(path) if isinstance(line, records.Trial)]


def planned(path: Path) -> int:
    (header,) = [line for line in records.read(path) if isinstance(line, records.Run)]
    return header.planned


def timeless(path: Path) -> list[str]:
    """Every record without its time, sorted; the circumstances too."""
    bare = [msgspec.structs.replace(t, seconds=0.0) if isinstance(t, records.Trial) else t for t in records.read(path)]
    return sorted(records.encode(line).decode() for line in bare)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of a run that nothing disturbs."""
    path = tmp_path_factory.mktemp("whole") / "run.jsonl"
    done = run(path)
    assert done.returncode == 0, done.stdout
    return path


ENOUGH = 12
"""Trials on record when a run is cut short."""


def cut_short(path: Path, sign: signal.Signals) -> str:
    """Start a run and send it a signal once it has recorded a few trials; what it printed."""
    words, pipe = words_of(path), subprocess.PIPE
    with hearing_interrupts():
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b'"record":"trial"') < ENOUGH:
            assert process.poll() is None, "the run ended before it could be cut short"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(sign)
        printed, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    return printed


def completed(path: Path, whole: Path) -> None:
    """--resume runs what is missing, once, and the records are those of an undisturbed run."""
    before = {(t.check, t.id) for t in trials(path)}
    assert ENOUGH <= len(before) < planned(path)
    done = run(path, "--resume")
    assert done.returncode == 0, done.stdout
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) == planned(path) - len(before)
    assert timeless(path) == timeless(whole)


def test_a_killed_run_keeps_what_it_finished_and_resumes(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "run.jsonl"
    cut_short(path, signal.SIGKILL)
    said = server()("lossproof", "report", str(path))
    missing = planned(path) - len(trials(path))
    assert f"{missing} planned trial" in said.stdout, said.stdout + said.stderr
    completed(path, whole)


def test_an_interrupted_run_says_what_is_missing_and_resumes(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "run.jsonl"
    printed = cut_short(path, signal.SIGINT)
    assert f"records: {path}" in printed
    assert "planned (cut short)" in printed
    completed(path, whole)


KILLER = """
import os, pathlib, signal
import pytest

FLAG = pathlib.Path({flag!r})

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if "PYTEST_XDIST_WORKER" in os.environ and "test_laws" in item.nodeid and not FLAG.exists():
        FLAG.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_worker_loses_only_what_it_was_running(tmp_path: Path, whole: Path) -> None:
    path, flag = tmp_path / "run.jsonl", tmp_path / "killed"
    (tmp_path / "kill_one_worker.py").write_text(KILLER.format(flag=str(flag)))
    done = subprocess.run(
        words_of(path, "suites/", "-n", "2", "-p", "kill_one_worker"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert flag.exists(), done.stdout
    assert done.returncode == 1
    assert "crashed while running" in done.stdout
    # The scheduler may have given the trial to another worker, or not: it is on record once at most.
    kept = [(t.check, t.id) for t in trials(path)]
    assert len(kept) == len(set(kept)) >= planned(path) - 1
    assert run(path, "--resume").returncode == 0
    assert timeless(path) == timeless(whole)


def test_records_do_not_depend_on_workers_or_on_the_order_of_tests(tmp_path: Path, whole: Path) -> None:
    spread, reordered = tmp_path / "spread.jsonl", tmp_path / "reordered.jsonl"
    assert run(spread, "-n", "2").returncode == 0
    backwards = sorted((str(p.relative_to(ROOT)) for p in (ROOT / "suites").glob("test_*.py")), reverse=True)
    done = served(words_of(reordered, *backwards))
    assert done.returncode == 0, done.stdout
    assert [t.id for t in trials(reordered)] != [t.id for t in trials(whole)]
    assert timeless(spread) == timeless(whole)
    assert timeless(reordered) == timeless(whole)


def test_another_seed_gives_other_rows_and_a_finished_run_has_nothing_to_resume(tmp_path: Path, whole: Path) -> None:
    other = tmp_path / "other.jsonl"
    assert run(other, "--seed", "7").returncode == 0
    assert timeless(other) != timeless(whole)
    again = run(other, "--seed", "7", "--resume")
    assert again.returncode == 0, again.stdout
    assert "passed" not in again.stdout
    refused = run(other, "--resume")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "seed: expected 7 as in the run to resume, got 0" in refused.stderr + refused.stdout


def test_a_line_that_was_cut_off_is_no_record(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(whole.read_bytes()[:-40])
    assert len(trials(path)) == len(trials(whole)) - 1
    done = run(path, "--resume")
    assert done.returncode == 0, done.stdout
    assert timeless(path) == timeless(whole)
