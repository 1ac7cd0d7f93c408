"""Processes of Python that start at once: forked off one that has imported what takes long, torch above all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
THIRD_PARTY = ("torch", "torch._dynamo", "scipy.special", "msgspec", "jinja2", "click", "pytest")
"""Nothing of the project: what a process imports of it, and when, is part of what is tested."""

SECONDS = 300
"""What one process may take."""
SERVER = f"""
LIMIT = {SECONDS}
import importlib, json, os, runpy, signal, sys, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    module, words, paths, folder, out, err = json.loads(line)
    if (pid := os.fork()) == 0:
        code = 99
        signal.alarm(LIMIT)
        try:
            for number, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(folder)
            sys.path[:1] = paths
            sys.argv = [module, *words]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Server:
    """``python -m module words`` as a child of a process that has imported ``modules``."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="serving-")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __call__(
        self, module: str, *words: str, folder: Path = ROOT, paths: Sequence[Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run it in a folder, which with ``paths`` is first on ``sys.path``."""
        out, err = (Path(self.folder.name) / name for name in ("out", "err"))
        asked = [module, words, [str(folder), *map(str, paths)], str(folder), str(out), str(err)]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess([module, *words], status, out.read_text(), err.read_text())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


@cache
def server() -> Server:
    """The one that has third-party modules only; it ends with the process of the tests, whose pipe it reads."""
    return Server(THIRD_PARTY)
