"""The pytest plugin: a user's suite, options, records under xdist, what is recorded when something is absent."""

import re
from pathlib import Path

import pytest
import torch

from harness import records

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent.parent

SUITE = """
import pytest

@pytest.mark.check("value")
def test_value(trial, judged):
    judged(trial)

@pytest.mark.check("gradient")
def test_gradient(trial, judged):
    judged(trial)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_suite=SUITE)
    pytester.makepyfile(my_losses=(ROOT / "tests" / "losses.py").read_text())
    pytester.syspathinsert(ROOT)
    pytester.syspathinsert()
    return pytester


def run(suite: pytest.Pytester, *words: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-q", "--effort", "quick", "--dtype", "float32", *words)


def test_records_and_report_are_written(suite: pytest.Pytester) -> None:
    done = run(suite, "--loss", "mse_loss", "--records", "out/run.jsonl", "--stability-html", "out/report.html")
    done.assert_outcomes(passed=2)
    lines = list(records.read(suite.path / "out" / "run.jsonl"))
    assert isinstance(lines[0], records.Run)
    assert lines[0].planned == 2
    trials = [line for line in lines if isinstance(line, records.Trial)]
    assert [t.check for t in trials] == ["value", "gradient"]
    assert any(isinstance(line, records.Survey) for line in lines)
    assert "mse_loss" in (suite.path / "out" / "report.html").read_text()
    done.stdout.fnmatch_lines(
        ["records: out/run.jsonl", "report: *out/report.html", "F.mse_loss, 2 trials: no failure*"]
    )


def test_two_workers_write_the_same_records_as_one(suite: pytest.Pytester) -> None:
    wanted = ("--loss", "mse_loss", "--loss", "cross_entropy")
    run(suite, *wanted, "--records", "one.jsonl")
    run(suite, *wanted, "--records", "two.jsonl", "-n", "2")

    def timeless(name: str) -> list[str]:
        import msgspec

        lines = list(records.read(suite.path / name))
        bare = [msgspec.structs.replace(t, seconds=0.0) if isinstance(t, records.Trial) else t for t in lines]
        return sorted(records.encode(line).decode() for line in bare)

    assert timeless("one.jsonl") == timeless("two.jsonl")


def test_a_loss_of_the_user_fails_with_its_reproduction(suite: pytest.Pytester) -> None:
    done = run(suite, "--loss", "my_losses:naive_bce", "--like", "BCEWithLogitsLoss")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["*test_value[[]naive_bce-float32]*", "*input = torch.tensor(*"])


def test_trials_of_a_loss_follow_each_other(suite: pytest.Pytester) -> None:
    """Also without workers: a process keeps the measurements of few losses."""
    done = run(suite, "--loss", "mse_loss", "--loss", "l1_loss", "--collect-only")
    order = [re.sub(r".*\[([^-]+)-.*", r"\1", line) for line in done.outlines if "::" in line]
    assert len(order) == 4
    assert order == [order[0]] * 2 + [order[2]] * 2


def test_an_absent_device_is_recorded_as_not_run(suite: pytest.Pytester) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    run(suite, "--loss", "mse_loss", "--device", "cpu", "--device", "cuda", "--records", "run.jsonl")
    missing = [line for line in records.read(suite.path / "run.jsonl") if isinstance(line, records.NotRun)]
    assert [m.what for m in missing] == ["device cuda"]


def test_the_fixture_for_a_user_s_own_suite(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_mine="""
        import my_losses

        def test_sound(assert_sound):
            assert_sound(my_losses.sound_bce, like="BCEWithLogitsLoss", dtype="float32")

        def test_naive(assert_sound):
            assert_sound(my_losses.naive_bce, like="BCEWithLogitsLoss", dtype="float32")
        """
    )
    done = suite.runpytest_subprocess("-q", "test_mine.py")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*UnsoundLossError*"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--loss", "cross_entrpy"], "*nearest: cross_entropy*"),
        (["--effort", "lots"], "*--effort: expected one of quick, ci, thorough*"),
        (["--dtype", "float8"], "*--dtype: expected one of*"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_usage_errors_name_what_was_expected(suite: pytest.Pytester, words: list[str], says: str) -> None:
    done = suite.runpytest_subprocess("-q", "--loss", "mse_loss", *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([says])


def test_pytest_without_suites_does_not_import_torch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert 'torch' not in sys.modules\n")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
