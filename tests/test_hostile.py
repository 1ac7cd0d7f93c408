"""Hostile and broken losses through the command: each is a finding with its input, and the run goes on."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness import records
from harness.api import validate
from harness.confined import STRIKES
from tests import hostile
from tests.checking import hearing_interrupts
from tests.serving import Server

ROOT = Path(__file__).parent.parent
LOSSES = ROOT / "tests" / "hostile.py"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str
    lines: list[records.Line]

    @property
    def trials(self) -> list[records.Trial]:
        return [line for line in self.lines if isinstance(line, records.Trial)]

    @property
    def findings(self) -> list[records.Finding]:
        return [f for t in self.trials for f in t.findings]

    @property
    def not_run(self) -> list[records.NotRun]:
        return [line for line in self.lines if isinstance(line, records.NotRun)]


class Command:
    """The command ``lossproof``, its imports paid once: every call is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(("tests.loaded",))

    def __call__(self, *words: str) -> Ran:
        lines = self.folder / "run.jsonl"
        lines.unlink(missing_ok=True)
        more = ["--records", str(lines)] if words[0] == "validate" else []
        done = self.server("lossproof", *words, *more, folder=self.folder, paths=(ROOT,))
        found = list(records.read(lines)) if lines.exists() else []
        return Ran(done.returncode, done.stdout, done.stderr, found)

    def validate(self, loss: str, *words: str, check: str = "value", file: Path = LOSSES) -> Ran:
        # What does not hang must not seem to on a busy machine.
        limit = "1" if loss.startswith("loop") else "20"
        fixed = ["--like", "mse_loss", "--dtype", "float32", "--check", check, "--time-limit", limit]
        return self("validate", f"{file}:{loss}", *fixed, *words)


@pytest.fixture(scope="module")
def lossproof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("hostile"))
    yield command
    command.server.close()


DEATHS = [
    ("segfault", "crash", "a segmentation fault (SIGSEGV) in <lambda> (hostile.py:"),
    ("segfault_in_backward", "crash", "(SIGSEGV) in backward (hostile.py:"),
    ("abort", "crash", "an abort (SIGABRT)"),
    ("terminated", "crash", "(SIGTERM)"),
    ("exit_0", "exit", "ended the process with status 0"),
    ("exit_3", "exit", "ended the process with status 3"),
    ("close_everything", "exit", "left its process unable to go on"),
    ("write_everywhere", "exit", "wrote into a pipe of lossproof"),
    ("killed", "memory", "was killed"),
    ("loop", "hang", "gave no answer in 1 s in _loop (hostile.py:"),
    ("loop_in_c", "hang", "gave no answer in 1 s"),
]


@pytest.mark.parametrize(("loss", "kind", "says"), DEATHS, ids=lambda v: v if str(v).isidentifier() else "")
def test_a_loss_that_ends_its_process_is_a_finding_with_its_input(
    lossproof: Command, loss: str, kind: str, says: str
) -> None:
    ran = lossproof.validate(loss)
    assert ran.status == 1, ran.err
    (finding,) = ran.findings
    assert (finding.severity, finding.kind) == ("defect", kind)
    assert says in finding.message
    assert finding.case is not None
    assert f"{loss}(input=input" in finding.reproduction
    assert kind in ran.out
    assert len(ran.trials) == 1


RAISED = [
    ("allocate", "allocate memory"),
    ("recursion", "RecursionError"),
    ("sys_exit", "SystemExit: done"),
    ("interrupt", "KeyboardInterrupt"),
    ("own_error", "OwnError: mine"),
    ("generator_exit", "GeneratorExit"),
    ("silent_error", "SilentError: (its text cannot be had: ValueError)"),
    ("reads_input", "EOFError"),
    ("returns_none", "expected a tensor, got NoneType"),
    ("returns_list", "expected a tensor, got list"),
    ("returns_numpy", "expected a tensor, got ndarray"),
    ("returns_text", "expected a tensor, got str"),
    ("returns_int", "expected a tensor, got int"),
    ("returns_sparse", "parse"),
    ("returns_meta", "meta"),
    ("returns_evil", "OwnError: do not touch"),
]


@pytest.mark.parametrize(("loss", "says"), RAISED, ids=[loss for loss, _ in RAISED])
def test_what_a_loss_raises_is_a_finding(lossproof: Command, loss: str, says: str) -> None:
    ran = lossproof.validate(loss)
    assert ran.status == 1, ran.err
    assert {f.kind for f in ran.findings} == {"raised"}
    assert says in ran.findings[0].message
    assert ran.findings[0].case is not None
    assert f"{loss}(input=input" in ran.findings[0].reproduction
    assert len(ran.trials) == 1


STATE = [
    ("default_dtype", "the default dtype: expected torch.float32, got torch.float64"),
    ("thread_count", "the number of threads: expected 1, got 2"),
    ("torch_seed", "the seed of torch"),
    ("python_seed", "Python's random generator"),
    ("numpy_draw", "NumPy's random generator"),
    ("grad_mode", "grad mode: expected True, got False"),
    ("determinism", "the determinism flag"),
    ("subnormals", "flushing of subnormal numbers"),
    ("warnings_filter", "the warnings filter"),
    ("numpy_errors", "the error mode of NumPy"),
    ("directory", "the working directory"),
    ("environment", "the environment: expected it as it was, got other values of OMP_NUM_THREADS"),
    ("handler", "the signal handlers"),
    ("import_path", "sys.path"),
    ("stdout_replaced", "sys.stdout"),
    ("recursion_limit", "the recursion limit: expected 1000, got 5000"),
    ("patched_exp", "torch.exp replaced"),
    ("patched_relu", "torch.nn.functional.relu replaced"),
    ("patched_grad", "torch.autograd.grad replaced"),
    ("patched_zeros", "torch.from_numpy replaced"),
    ("removed_method", "torch.Tensor.backward removed"),
    ("thread_left", "threads: expected none left running, got one"),
    ("fork", "processes: expected none, got a forked one"),
]


@pytest.mark.parametrize(("loss", "says"), STATE, ids=[loss for loss, _ in STATE])
def test_global_state_that_is_left_changed_is_a_finding_with_its_input(
    lossproof: Command, loss: str, says: str
) -> None:
    ran = lossproof.validate(loss, check="form")
    assert ran.status == 1, ran.out + ran.err
    assert not {t.verdict for t in ran.trials} & {"error"}
    (asked,) = [t for t in ran.trials if t.item == "global state is left as it is"]
    found = [f for f in asked.findings if f.kind == "global state" and says in f.message]
    assert found, [f.message for f in asked.findings]
    assert found[0].case is not None
    planned = next(line.planned for line in ran.lines if isinstance(line, records.Run))
    assert len(ran.trials) == planned


def test_changed_state_does_not_reach_the_next_call_nor_the_next_trial(lossproof: Command) -> None:
    ran = lossproof.validate("default_dtype")
    assert {f.kind for f in ran.findings} == {"global state"}
    assert ran.status == 1


@pytest.mark.parametrize("loss", ["print_stdout", "print_stderr", "print_raw"])
def test_megabytes_of_printing_are_a_note(lossproof: Command, loss: str) -> None:
    ran = lossproof.validate(loss, check="form")
    assert ran.status == 0
    assert len(ran.out) + len(ran.err) < 10_000
    notes = [f for f in ran.findings if f.kind == "prints"]
    assert {f.severity for f in notes} == {"note"}
    assert re.search(r"got [\d,]{9,} bytes", notes[0].message)


def test_memory_that_is_kept_from_call_to_call_ends_at_the_limit(lossproof: Command) -> None:
    ran = lossproof.validate("hoard", "--memory-limit", "1", check="form")
    assert ran.status == 1
    kinds = {f.kind for f in ran.findings if f.severity == "defect"}
    assert kinds
    assert kinds <= {"raised", "memory"}


@pytest.mark.parametrize(
    ("loss", "kind", "output"), [("hook_on_input", "unstable", "input"), ("loop_at_the_end", "hang", "")]
)
def test_tricks_with_tensors_are_findings(lossproof: Command, loss: str, kind: str, output: str) -> None:
    ran = lossproof.validate(loss, check="gradient")
    assert ran.status == 1
    assert (kind, output) in {(f.kind, f.output) for f in ran.findings}


def test_an_input_of_another_size_after_the_call_is_a_finding(lossproof: Command) -> None:
    ran = lossproof.validate("swapped_storage", check="form")
    assert ran.status == 1
    assert not {t.verdict for t in ran.trials} & {"error"}


def test_closed_standard_streams_do_no_harm(lossproof: Command) -> None:
    ran = lossproof.validate("close_standard_streams", check="form")
    assert ran.status == 0, ran.out + ran.err


def test_the_row_that_ends_the_process_is_found(lossproof: Command) -> None:
    ran = lossproof.validate("segfault_above_3")
    (finding,) = ran.findings
    assert finding.case is not None
    (x,) = finding.case.tensors["input"].data
    assert float.fromhex(x) > 3


def test_the_rest_of_the_run_goes_on(lossproof: Command) -> None:
    ran = lossproof.validate("segfault_above_3", "--check", "gradcheck", "--check", "form")
    verdicts = {t.verdict for t in ran.trials}
    assert verdicts == {"pass", "fail"}
    assert {f.kind for f in ran.findings} == {"crash"}, [f.message for f in ran.findings if f.kind != "crash"]


def test_a_loss_that_ends_every_process_is_given_up(lossproof: Command) -> None:
    ran = lossproof.validate("exit_3", check="special")
    assert ran.status == 1
    assert len(ran.trials) == STRIKES
    (left,) = ran.not_run
    planned = next(line.planned for line in ran.lines if isinstance(line, records.Run))
    assert left.what == f"{planned - STRIKES} trials"
    assert "status 3" in left.reason


def test_fail_fast_ends_with_the_first_crash(lossproof: Command) -> None:
    ran = lossproof.validate("segfault", "--fail-fast", check="form")
    assert [t.verdict for t in ran.trials] == ["fail"]
    assert "fail_fast" in ran.not_run[0].reason


AT_IMPORT = [
    ("import sys\nsys.exit(5)", "cannot be imported: SystemExit: 5"),
    ("import ctypes\nctypes.string_at(0)", "cannot be loaded: it ended the process with a segmentation fault"),
    ("import os\nos._exit(0)", "cannot be loaded: it ended the process with status 0"),
    ("while True: pass", "cannot be loaded: it gave no answer"),
    ("class E(BaseException): pass\nraise E('no')", "cannot be imported: E: no"),
    ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt"),
    ("def loss(:", "cannot be imported: SyntaxError"),
    ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
    ("import os\nos.closerange(0, 4096)", "cannot be loaded: it left its process unable to go on"),
]


@pytest.mark.parametrize(("source", "says"), AT_IMPORT, ids=[re.sub(r"\W+", " ", s) for s, _ in AT_IMPORT])
def test_a_module_that_cannot_be_imported_is_one_line(
    lossproof: Command, tmp_path: Path, source: str, says: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    ran = lossproof.validate("loss", "--time-limit", "0.5", file=file)
    assert ran.status == 2, ran.out + ran.err
    assert ran.out == ""
    (line,) = ran.err.strip().splitlines()
    assert says in line


def test_a_loss_that_is_its_own_reference_and_ends_its_process_is_one_line(lossproof: Command) -> None:
    ran = lossproof("validate", f"{LOSSES}:segfault", "--input", "input: real(N)", "--input", "target: real(N)")
    assert ran.status == 2, ran.out + ran.err
    (line,) = ran.err.strip().splitlines()
    assert "for inputs as declared, but it ended the process with a segmentation fault" in line


RUN = '{"record":"run","schema":1'
RECORDS = {
    "empty": b"",
    "text": b"hello\n",
    "binary": bytes(range(256)) * 10 + b"\n",
    "pickle": pickle.dumps({"record": "run"}, protocol=0) + b"\n",
    "a list": b"[1, 2]\n",
    "half a run": f"{RUN}}}\n".encode(),
    "a number too many": b'{"record":"notrun","what":1e999,"reason":""}\n',
    "deep": b"[" * 100_000 + b"\n",
    "another kind": b'{"record":"elephant"}\n',
    "wrong type": b'{"record":"notrun","what":3,"reason":""}\n',
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("command", ["report", "compare", "replay"])
def test_a_malformed_records_file_is_one_line(lossproof: Command, tmp_path: Path, name: str, command: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(RECORDS[name])
    more = {"report": [], "compare": [str(file)], "replay": ["trial"]}[command]
    ran = lossproof(command, str(file), *more)
    assert ran.status == 2, ran.out + ran.err
    assert ran.out == ""
    (line,) = ran.err.strip().splitlines()
    assert line.startswith("lossproof: ")
    assert len(line) < 500


def test_nothing_is_unpickled() -> None:
    for room in ("harness", "reports", "lossproof", "reference"):
        for file in (ROOT / room).rglob("*.py"):
            assert not re.search(r"\b(pickle|torch\.load|shelve|dill)\b", file.read_text()), file


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from harness.cli import main; main(prog_name='lossproof')"
    words = ["validate", f"{LOSSES}:loop_and_ignore_signals", "--like", "mse_loss", "--dtype", "float32"]
    words += ["--check", "form", "--time-limit", "0.3", "--records", str(path)]
    with hearing_interrupts():
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    deadline = time.monotonic() + 60
    workers: set[int] = set()
    # One hangs before there is a plan, one in the first trial, one or two find the call; that trial is recorded then.
    while len(workers) < 5 and time.monotonic() < deadline:
        workers |= _children(process.pid)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    lines = list(records.read(path))
    assert any(isinstance(line, records.Trial) and line.findings[0].kind == "hang" for line in lines)
    assert any(isinstance(line, records.NotRun) and line.reason == "interrupted" for line in lines)
    assert workers
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _children(pid: int) -> set[int]:
    try:
        return {int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:
        return set()


# -- in this process ---------------------------------------------------------------------------------------------------


def test_validate_stays_in_this_process_and_puts_its_state_right() -> None:
    result = validate(hostile.default_dtype, "mse_loss", dtype="float32", check="form")
    assert torch.get_default_dtype() == torch.float32
    assert any(f.kind == "global state" and "default dtype" in f.message for f in result.findings)


@pytest.mark.parametrize("loss", [hostile.sys_exit, hostile.own_error, hostile.silent_error])
def test_an_exception_of_any_class_is_a_finding_of_validate(loss: object) -> None:
    result = validate(loss, "mse_loss", dtype="float32", check="value", name="loss")
    assert [f.kind for f in result.findings] == ["raised"]


def test_the_ctrl_c_of_a_user_is_not_caught_by_validate() -> None:
    with pytest.raises(KeyboardInterrupt):
        validate(hostile.interrupt, "mse_loss", dtype="float32", check="value", name="loss")


def test_a_fork_does_not_go_on_with_the_tests() -> None:
    before = os.getpid()
    result = validate(hostile.fork, "mse_loss", dtype="float32", check="form", name="loss")
    assert os.getpid() == before
    assert any("processes" in f.message for f in result.findings)
