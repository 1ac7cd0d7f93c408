"""A package of the user's that bears the name of one of ours: every door says so in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def shadowed(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("door", [["-m", "pytest", "-q"], ["-m", "lossproof", "list"]], ids=["pytest", "command"])
def test_it_says_so_in_one_line(shadowed: dict[str, str], tmp_path: Path, door: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *door], capture_output=True, text=True, env=shadowed, cwd=tmp_path, check=False
    )
    assert done.returncode != 0
    (line,) = [text for text in (done.stdout + done.stderr).splitlines() if "harness" in text]
    assert "shadowed" in line
