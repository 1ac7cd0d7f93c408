"""The pytest plugin: a user's suite, options, records under xdist, what is recorded when something is absent."""

import re
import time
from pathlib import Path

import pytest
import torch

from harness import records
from tests.serving import server

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
    return pytest_in(suite, "-q", "--effort", "quick", "--dtype", "float32", *words)


def pytest_in(suite: pytest.Pytester, *words: str) -> pytest.RunResult:
    """As ``runpytest_subprocess``, by a process that has torch already."""
    started = time.perf_counter()
    done = server()("pytest", *words, folder=suite.path, paths=(ROOT,))
    spent = time.perf_counter() - started
    return pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), spent)


SAYS_WHEN = """
def pytest_runtest_logreport(report):
    if any(key == "lossproof" for key, _ in report.user_properties):
        open("when.txt", "a").write(report.when + "\\n")
"""


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["alone", "spread"])
def test_a_trial_is_reported_once(suite: pytest.Pytester, words: tuple[str, ...]) -> None:
    suite.makeconftest(SAYS_WHEN)
    run(suite, "--loss", "mse_loss", *words).assert_outcomes(passed=2)
    told = (suite.path / "when.txt").read_text().split()
    assert told == ["call"] * (4 if words else 2), "two by the controller, and two by the workers if there are some"


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


def test_a_loss_of_the_user_fails_with_its_reproduction(suite: pytest.Pytester) -> None:
    done = run(suite, "test_suite.py", "--loss", "my_losses:naive_bce", "--like", "BCEWithLogitsLoss")
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
        import pytest
        from lossproof.inputs import real

        def test_sound(assert_sound):
            assert_sound(my_losses.sound_bce, like="BCEWithLogitsLoss", dtype="float32")

        def test_naive(assert_sound):
            assert_sound(my_losses.naive_bce, like="BCEWithLogitsLoss", dtype="float32")

        PAIR = {name: real("N", low=-8.0, high=8.0) for name in ("input", "target")}

        @pytest.mark.parametrize("factor", [1, 2])
        def test_declared(assert_sound, factor):
            oracle = lambda input, target: factor * (input - target) ** 2
            assert_sound(lambda input, target: (input - target) ** 2, inputs=PAIR, oracle=oracle, dtype="float32")
        """
    )
    done = pytest_in(suite, "-q", "test_mine.py")
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(["*UnsoundLossError*"])


OWN = """
from dataclasses import replace

from torch import nn

from harness.registry import contract

CONTRACT = replace(contract("mse_loss"), name="my_mse", module="")


class Power(nn.Module):
    def __init__(self, power=1):
        super().__init__()
        self.power = power

    def forward(self, input, target, size="mean"):
        value = (input - target).square() ** self.power
        return {"loss": value.mean() if size == "mean" else value}


def fourth(input, target):
    return (input - target) ** 4


def my_mse(input, target):
    return (input - target) ** 2
"""
PAIR = ("--input", "real(N, low=-8.0, high=8.0)", "--input", "target: real(N, low=-8.0, high=8.0)")
DECLARED = (
    *PAIR, "--init", "power=2", "--output", "loss", "--oracle", "own.py:fourth", "--law", "non_negative",
    "--reduction", "none={'size': 'none'}", "--reduction", "mean={'size': 'mean'}",
)  # fmt: skip


def trials_of(suite: pytest.Pytester, *words: str) -> tuple[pytest.RunResult, list[records.Trial]]:
    """A run without a path, in a directory whose own tests fail, and its trials."""
    suite.makepyfile(own=OWN)
    suite.makepyfile(test_own="def test_own():\n    raise AssertionError")
    done = run(suite, *words, "--records", "run.jsonl")
    return done, [line for line in records.read(suite.path / "run.jsonl") if isinstance(line, records.Trial)]


def test_a_declared_loss_needs_no_test_file(suite: pytest.Pytester) -> None:
    done, trials = trials_of(suite, "--loss", "own.py:my_mse", *PAIR, "--law", "symmetric(input, target)")
    assert done.ret == pytest.ExitCode.OK, done.stdout.str()
    assert {"value", "gradient", "range", "edges", "form", "laws", "reductions"} <= {t.check for t in trials}
    assert "symmetric in input and target" in {t.item for t in trials}
    assert {t.verdict for t in trials} == {"pass"}


def test_what_is_declared_reaches_the_loss_as_it_does_from_the_command(suite: pytest.Pytester) -> None:
    done, trials = trials_of(suite, "--loss", "own.py:Power", *DECLARED, "-n", "2")
    assert done.ret == pytest.ExitCode.OK, done.stdout.str()
    words = ("validate", "own.py:Power", *DECLARED, "--dtype", "float32", "--records", "command.jsonl")
    assert server()("lossproof", *words, folder=suite.path, paths=(ROOT,)).returncode == 0
    command = [line for line in records.read(suite.path / "command.jsonl") if isinstance(line, records.Trial)]
    assert {(t.check, t.id, t.verdict) for t in trials} == {(t.check, t.id, t.verdict) for t in command}


def test_a_wrong_formula_and_a_contract_of_ones_own(suite: pytest.Pytester) -> None:
    done, trials = trials_of(suite, "--loss", "own.py:my_mse", *PAIR, "--oracle", "own.py:fourth")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "value" in {t.check for t in trials if t.verdict == "fail"}
    done, trials = trials_of(suite, "--loss", "own.py:my_mse", "--like", "own.py:CONTRACT")
    assert done.ret == pytest.ExitCode.OK, done.stdout.str()
    assert {t.contract for t in trials} == {"my_mse"}


def test_a_path_is_respected_beside_a_loss_of_the_user(suite: pytest.Pytester) -> None:
    suite.makepyfile(own=OWN)
    run(suite, "test_suite.py", "--loss", "own.py:my_mse", *PAIR).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--input", "logits(N)"], "*--input: expected --loss module:attr beside it, got mse_loss*"),
        (["--loss", "own.py:my_mse", "--input", "logit(N)"], "*input 'logit(N)': expected one of logits, real*"),
        (["--loss", "own.py:my_mse", "--init", "power"], "*option 'power': expected NAME=VALUE*"),
        (["--loss", "own.py:my_mse", *PAIR, "--like", "mse_loss"], "*expected either them or like=NAME, got both*"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_declaration_that_cannot_be_is_refused(suite: pytest.Pytester, words: list[str], says: str) -> None:
    suite.makepyfile(own=OWN)
    done = run(suite, *words) if "--loss" in words else run(suite, "--loss", "mse_loss", *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([says])


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
    done = pytest_in(suite, "-q", "--loss", "mse_loss", *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([says])


def test_pytest_without_suites_does_not_import_torch(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert 'torch' not in sys.modules\n")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
