"""What a loss is, said in a file of one's own or by options: nests of inputs, arguments that are legal together."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.api import UsageError
from harness.cli import main
from harness.inputs import InputsError, parsed, structured
from harness.locate import located
from harness.wire import Request
from lossproof.inputs import boxes, class_index, logits, real
from tests.serving import server

ROOT = Path(__file__).parent.parent
FAST = ("--dtype", "float32", "--check", "value")


def command(*words: str, fast: tuple[str, ...] = FAST) -> tuple[int, str]:
    ran = CliRunner().invoke(main, ["validate", *words, *fast])
    return ran.exit_code, ran.output


# -- nests as text -----------------------------------------------------------------------------------------------------

NESTS: list[tuple[str, str, Any]] = [
    ("*parameters: [real(3, 4), real(4)]", "*parameters", [real(3, 4), real(4)]),
    ("pair: (real(N), real(N))", "pair", (real("N"), real("N"))),
    (
        'outputs: {"logits": logits(B, C), "boxes": boxes(B)}',
        "outputs",
        {"logits": logits("B", "C"), "boxes": boxes("B")},
    ),
    ("{'a': [class_index(B), real(B, low=-1)]}", "", {"a": [class_index("B"), real("B", low=-1)]}),
]


@pytest.mark.parametrize(("text", "name", "want"), NESTS, ids=[text for text, _, _ in NESTS])
def test_a_nest_as_text_is_that_of_python(text: str, name: str, want: Any) -> None:
    assert parsed(text) == (name, want)
    assert structured({"x": [text.partition(": ")[2] if name else text]}) == {"x": [want]}


BAD_NESTS = [
    ("x: [real(N), logit(N)]", "expected one of logits, real"),
    ("x: [real(N), 3]", "expected KIND(DIMENSIONS)"),
    ("x: {a: real(N)}", "expected keys that are text in quotes, got a"),
    ("x: {**a}", "expected keys that are text in quotes, got **"),
    ("x: [real(N) for _ in y]", "expected KIND(DIMENSIONS)"),
    ("x: real(N, low=open('here'))", "malformed node"),
    ("x: __import__('os').getcwd()", "expected KIND(DIMENSIONS)"),
]


@pytest.mark.parametrize(("text", "message"), BAD_NESTS)
def test_a_nest_that_cannot_be_understood_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(InputsError) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_something_else_in_a_nest_is_refused() -> None:
    with pytest.raises(InputsError, match=r"expected a declaration such as logits\('N', 'C'\), got int"):
        structured([3])


# -- the examples, from the command line -------------------------------------------------------------------------------


def test_the_command_declares_varargs() -> None:
    status, said = command("examples/structured.py:l2_penalty", "--input", "*parameters: [real(3, 4), real(4)]")
    assert status == 0, said
    assert "l2_penalty, 1 trial: no failure" in said


def test_the_command_declares_dicts() -> None:
    outputs = 'outputs: {"scores": logits(B, C), "places": real(B, 4, low=-8, high=8)}'
    targets = 'targets: {"labels": class_index(B), "places": real(B, 4, low=-8, high=8)}'
    loss = ("examples/structured.py:DETECTOR", "--output", "loss")
    status, said = command(*loss, "--input", outputs, "--input", targets)
    assert status == 0, said


def test_the_command_arranges_arguments_that_are_only_legal_together() -> None:
    cox = ["examples/survival.py:cox", "--law", "shift_invariant(log_hazard)"]
    for text in ("logits(B, largest=8.0)", "event(B, dtype=bool)", "positive(B)"):
        cox += ["--input", text]
    edges = ("--dtype", "float32", "--check", "edges")
    status, said = command(*cox, fast=edges)
    assert status == 1
    assert "all targets 0: seen: expected a number, got nan" in said
    status, said = command(*cox, "--arrange", "examples/survival.py:one_is_seen", fast=edges)
    assert status == 0, said
    assert command(*cox, "--arrange", "examples/survival.py:nothing")[0] == 2


# -- a file of one's own -----------------------------------------------------------------------------------------------

LOSSES = """
def halved(x, y):
    return 0.5 * (x - y) ** 2
"""
HEAD = "from lossproof import Declaration\nfrom lossproof.inputs import real\n"
INPUTS = 'inputs={"x": real("N", low=-8.0, high=8.0), "y": "real(N, low=-8.0, high=8.0)"}'
NAMED = f"""
{HEAD}
halved = Declaration(
    loss="../losses.py:halved",
    {INPUTS},
    oracle=lambda x, y: 0.5 * (x - y) ** 2,
    laws=["non_negative", "symmetric(x, y)"],
)
"""
HELD = f"""
{HEAD}
def doubled(x, y):
    return 2 * (x - y) ** 2

mine = Declaration(loss=doubled, {INPUTS}, oracle=lambda x, y: (x - y) ** 2)
theirs = Declaration(loss="torch.nn.functional:huber_loss", like="huber_loss", init={{"delta": 2.0}})
number = Declaration(loss=3, like="mse_loss")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "losses.py").write_text(LOSSES, encoding="utf-8")
    (tmp_path / "declared").mkdir()
    (tmp_path / "declared" / "named.py").write_text(NAMED, encoding="utf-8")
    (tmp_path / "declared" / "held.py").write_text(HELD, encoding="utf-8")
    return tmp_path


def test_a_file_holds_the_declaration_and_the_name_of_the_loss(folder: Path) -> None:
    subject = located(Request(loss=str(folder / "declared" / "named.py")))
    assert subject.name == "halved"
    assert [a.name for a in subject.contract.args] == ["x", "y"]
    assert [law.name for law in subject.contract.laws] == ["never below 0", "symmetric in x and y"]
    assert not subject.contract.itself
    status, said = command(str(folder / "declared" / "named.py"))
    assert status == 0, said
    assert "halved, 1 trial: no failure" in said


def test_the_lines_of_a_finding_reproduce_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = command(f"{folder / 'declared' / 'held.py'}:mine")
    assert status == 1
    assert "mine.loss(x=x, y=y)" in said
    start = said.index("import runpy")
    lines = "\n".join(line.strip() for line in said[start:].splitlines()[:7])
    exec(compile(ast.parse(lines), "<reproduction>", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_a_contract_with_options_is_declared_in_a_file(folder: Path) -> None:
    status, said = command(f"{folder / 'declared' / 'held.py'}:theirs")
    assert status == 0, said
    assert "huber_loss" in said


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        ("held.py", {}, "expected one Declaration, got mine, theirs, number; write"),
        ("../losses.py", {}, "expected one Declaration, got none; write"),
        ("named.py", {"init": ("a=1",)}, "says all of the loss: expected nothing beside it, got --init"),
        ("named.py", {"options": ("a=1",)}, "expected nothing beside it, got a=1"),
        ("held.py:number", {}, "held.py:number: loss: expected a callable, got int"),
        ("absent.py", {}, "expected a Python file, got none there"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_clear_line(
    folder: Path, file: str, options: dict[str, Any], says: str
) -> None:
    asked = Request(loss=f"{folder / 'declared'}/{file}", **options)
    with pytest.raises(UsageError, match=says) as caught:
        located(asked)
    assert "\n" not in str(caught.value)


def test_pytest_takes_a_file_too(folder: Path) -> None:
    words = ("-q", "-p", "no:cacheprovider", "--loss", "declared/named.py", "--effort", "quick", "--dtype", "float32")
    done = server()("pytest", *words, "-k", "test_value or test_laws", folder=folder, paths=(ROOT,))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "halved" in done.stdout
