"""The command as a person types it: what it prints, where, and its exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import server

ROOT = Path(__file__).parent.parent


def lossproof(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return server()("lossproof", *words, folder=cwd, paths=(ROOT,))


def test_a_broken_loss_fails_with_exit_1_and_shows_how_to_reproduce_it(tmp_path: Path) -> None:
    records, page = tmp_path / "run.jsonl", tmp_path / "report.html"
    done = lossproof(
        "validate", "tests/losses.py:naive_bce", "--like", "BCEWithLogitsLoss", "--dtype", "float32",
        "--records", str(records), "--html", str(page),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "naive_bce" in done.stdout.splitlines()[0]
    assert "torch.tensor([" in done.stdout
    assert "overflow" in done.stdout
    assert records.read_text().startswith('{"record":"run"')
    assert "naive_bce" in page.read_text()
    rendered = lossproof("report", str(records))
    assert rendered.returncode == 0
    assert "naive_bce" in rendered.stdout
    same = lossproof("compare", str(records), str(records))
    assert same.returncode == 0
    assert "0 trials differ" in same.stdout


def test_a_sound_loss_ends_with_exit_0_also_strict() -> None:
    done = lossproof(
        "validate", "tests.losses:SoundBCE", "--like", "BCEWithLogitsLoss", "--dtype", "float32", "--strict"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["validate", "no_such_module:loss"], "no_such_module: cannot be imported: ModuleNotFoundError"),
        (["validate", "tests.losses:absent", "--like", "mse_loss"], "expected an attribute 'absent'"),
        (["validate", "tests.losses:naive_bce"], "lossproof list"),
        (["validate", "tests.losses:naive_bce", "--like", "cross_entrpy"], "nearest: cross_entropy"),
        (["validate", "tests.losses:mse_of_three", "--like", "mse_loss"], "requires 'temperature'"),
        (["validate", "tests.losses:not_a_loss", "--like", "mse_loss"], "expected a callable, got int"),
        (["validate", "nothing", "--like", "mse_loss"], "expected module:attr"),
        (["validate", "absent/file.py:loss", "--like", "mse_loss"], "expected a Python file"),
        (["validate", "tests.losses:naive_bce", "--like", "mse_loss", "--dtype", "int8"], "dtype: expected one of"),
        (["validate", "tests.losses:naive_bce", "--like", "mse_loss", "--effort", "x"], "effort: expected one of"),
        (["explain", "soft_margin"], "nearest: "),
        (["report", "absent.jsonl"], "cannot be read"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_usage_error_is_one_line_and_exit_2(words: list[str], says: str) -> None:
    done = lossproof(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("lossproof: ")
    assert says in line


@pytest.mark.parametrize("words", [["list"], ["explain", "cross_entropy"], ["explain", "BCEWithLogitsLoss"]])
def test_list_and_explain_need_no_torch(words: list[str]) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from harness.cli import main\n"
        "main(sys.argv[1:], prog_name='lossproof')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cross_entropy" in done.stdout or "softplus" in done.stdout


def test_every_contract_is_listed_and_explained() -> None:
    from harness import registry
    from harness.explain import explanation

    listed = lossproof("list").stdout
    for contract in registry.contracts().values():
        assert contract.name in listed
        text = explanation(contract)
        for arg in contract.args:
            assert f"  {arg.name}" in text


def test_a_finding_replays_from_its_record(tmp_path: Path) -> None:
    from harness import records
    from harness.api import validate
    from harness.registry import contract as named
    from harness.registry import functional

    path = tmp_path / "run.jsonl"
    subject = functional(named("cross_entropy"))
    assert subject is not None
    bare = validate(subject.loss, "cross_entropy", dtype="float32", strict=True)
    records.write(path, bare.lines)
    with_case = [t for t in bare.trials if any(f.case for f in t.findings)]
    for t in with_case[:1]:
        done = lossproof("replay", str(path), f"{t.check}[{t.id}]")
        assert done.returncode == 0, done.stdout + done.stderr
    unknown = lossproof("replay", str(path), "nothing of that name")
    assert unknown.returncode == 2


def test_the_report_is_written_even_if_nobody_reads_what_is_printed(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    words = ["-m", "lossproof", "validate", "torch.nn.functional:mse_loss", "--dtype", "float32", "--check", "value"]
    reader, writer = os.pipe()
    os.close(reader)
    subprocess.run([sys.executable, *words, "--html", str(page)], cwd=ROOT, stdout=writer, timeout=120, check=False)
    os.close(writer)
    assert "<html" in page.read_text(encoding="utf-8")
