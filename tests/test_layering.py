"""Imports go one way, from the doors down to the reference, and the public face costs no import of torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lossproof

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("reference", "harness", "reports", "lossproof", "suites")

# A module may import its own level and the levels below. An entry covers everything under it, except `harness`, which
# stands for harness/__init__.py alone: a new module of harness takes its place here before it passes.
LEVELS = {
    "reference": 0,
    "harness": 0,
    "harness.records": 1,
    "harness.version": 0,
    "harness.ulp": 1,
    "harness.domain": 1,
    "harness.contract": 1,
    "harness.certificates": 1,
    "harness.deviations": 1,
    "harness.laws": 1,
    "harness.remembered": 1,
    "harness.special": 1,
    "harness.contracts": 2,
    "harness.binding": 3,
    "harness.cases": 3,
    "harness.state": 3,
    "harness.conduct": 4,
    "harness.subjects": 3,
    "harness.effort": 4,
    "harness.findings": 4,
    "harness.generate": 4,
    "harness.certify": 5,
    "harness.adjoints": 3,
    "harness.evaluate": 4,
    "harness.probe": 4,
    "harness.bounds": 1,
    "harness.conditioning": 4,
    "harness.adjudicate": 4,
    "harness.consistency": 4,
    "harness.judge": 4,
    "harness.minimise": 4,
    "harness.envelope": 4,
    "harness.tally": 4,
    "harness.lanes": 4,
    "harness.survey": 4,
    "harness.checks": 5,
    "harness.registry": 5,
    "harness.plan": 6,
    "harness.explain": 6,
    "harness.replay": 6,
    "harness.resume": 1,
    "harness.wire": 2,
    "harness.declaring": 0,
    "harness.declaration": 8,
    "harness.specimen": 1,
    "harness.confident": 4,
    "harness.edges": 4,
    "harness.crossed": 4,
    "harness.mistakes": 4,
    "harness.inputs": 2,
    "harness.lawbook": 2,
    "harness.predictions": 1,
    "harness.adapter": 4,
    "harness.annotations": 3,
    "harness.mapped": 4,
    "harness.part": 1,
    "harness.reducing": 1,
    "harness.held": 1,
    "harness.trying": 0,
    "harness.constructed": 4,
    "harness.means": 4,
    "harness.offering": 6,
    "harness.itself": 4,
    "harness.custom": 6,
    "harness.run": 6,
    "reports": 7,
    "harness.api": 8,
    "harness.cli": 8,
    "harness.locate": 8,
    "harness.worker": 8,
    "harness.process": 8,
    "harness.confined": 8,
    "harness.plugin": 8,
    "harness.scheduling": 8,
    "harness.session": 8,
    "harness.suite": 8,
    "lossproof": 9,
    "suites": 10,
    "tests": 11,
}

# Narrower than the levels: all that these see of this repository, besides themselves.
SEES = {
    "reference": (),
    "harness.records": (),
    "harness.domain.kind": ("harness.ulp",),
    "harness.domain.scalar": ("harness.domain.kind", "harness.ulp"),
    "harness.domain.vector": ("harness.domain.kind", "harness.ulp"),
    "harness.domain.index": ("harness.domain.kind",),
    "harness.domain.arg": ("harness.domain.kind", "harness.domain.scalar"),
    "reports": ("harness.records",),
    "lossproof": ("harness.api", "harness.cli", "harness.declaration", "harness.inputs", "harness.plugin"),
}

# Narrower than the requirements: all that these see beyond the standard library.
LIBRARIES = {
    "reference": ("numpy", "scipy", "mpmath"),
    "harness.records": ("msgspec",),
    "lossproof": ("pytest",),
}

KNOW_PYTEST = ("harness.plugin", "harness.scheduling", "harness.session", "harness.suite", "lossproof.plugin", "suites")
KNOW_NO_TORCH = ("reports",)


def covers(place: str, module: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def level_of(module: str) -> int | None:
    """Level of the longest entry that covers the module, or a name in it; None where the table has no place for it."""
    places = [place for place in LEVELS if covers(place, module) and (place != "harness" or module == "harness")]
    return LEVELS[max(places, key=len)] if places else None


def imports(module: str, source: str, *, package: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported at any depth: in functions, for type checkers and by literal name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=base, names=names, level=dots):
                parts = module.split(".")
                anchor = parts[: len(parts) + package - dots] if dots else []
                stem = ".".join([*anchor, *([base] if base else [])])
                yield from ((node.lineno, stem if a.name == "*" else f"{stem}.{a.name}") for a in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def faults(module: str, target: str) -> Iterator[str]:
    """What is wrong with ``module`` importing ``target``, as sentences."""
    library = target.partition(".")[0]
    level, below = level_of(module), level_of(target)
    if library in {place.partition(".")[0] for place in LEVELS}:
        narrow = [(place, seen) for place, seen in SEES.items() if covers(place, module)]
        if below is None:
            yield f"{target} has no level: place it in LEVELS"
        elif narrow:
            for place, seen in narrow:
                if not any(covers(other, target) for other in (place, *seen)):
                    yield f"{place} sees {' and '.join(seen) or 'nothing'} of this repository, not {target}"
        elif level is not None and below > level:
            yield f"{target} is of level {below}, above level {level} of {module}"
        return
    for place, allowed in LIBRARIES.items():
        if covers(place, module) and library not in sys.stdlib_module_names and library not in allowed:
            yield f"{place} sees {', '.join(allowed) or 'nothing'} beyond the standard library, not {library}"
    if library in {"pytest", "_pytest"} and not any(covers(place, module) for place in KNOW_PYTEST):
        yield f"{library} is known to {' and '.join(KNOW_PYTEST)} only"
    if library == "torch" and any(covers(place, module) for place in KNOW_NO_TORCH):
        yield f"{module} does not know torch"


def violations(module: str, source: str, *, package: bool = False) -> list[str]:
    """Every sentence that keeps ``module`` from its place in the house; empty for a module that keeps to it."""
    placeless = [] if level_of(module) is not None else [f"{module} has no level: place it in LEVELS"]
    return placeless + [
        f"{module}, line {line}: {fault}"
        for line, target in imports(module, source, package=package)
        for fault in faults(module, target)
    ]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}


@pytest.mark.parametrize("module", FILES)
def test_imports_go_one_way(module: str) -> None:
    path = FILES[module]
    found = violations(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
    assert not found, "\n".join(found)


PLANTED = [
    ("reference.binary", "import torch", "not torch"),
    ("reference.binary", "from torch.nn import functional as F", "not torch"),
    ("reference.binary", "from harness.ulp import step", "not harness.ulp.step"),
    ("reference.binary", "import harness", "not harness"),
    ("harness.ulp", "import harness.judge", "harness.judge is of level 4, above level 1"),
    ("harness.ulp", "from harness import judge", "harness.judge is of level 4, above level 1"),
    ("harness.contracts.mse_loss", "from harness.subjects.torch_nn import MSE", "above level 2"),
    ("harness.contracts.mse_loss", "from ..subjects import torch_nn", "harness.subjects.torch_nn is of level 3"),
    ("harness.subjects.torch_nn", "def late():\n    from harness.evaluate import observe", "line 2"),
    ("harness.judge", "if TYPE_CHECKING:\n    from harness.checks import values", "harness.checks.values is of"),
    ("harness.judge", "import importlib\nimportlib.import_module('harness.api')", "harness.api is of level 8"),
    ("harness.checks.values", "from harness.plan import Trial", "harness.plan.Trial is of level 6"),
    ("harness.checks.values", "import pytest", "pytest is known to harness.plugin"),
    ("harness.plan", "from reports import html", "reports.html is of level 7"),
    ("harness.api", "import lossproof", "lossproof is of level 9"),
    ("harness.cli", "from suites.specimens import focal", "suites.specimens.focal is of level 10"),
    ("harness.domain.scalar", "from harness.domain.arg import Arg", "not harness.domain.arg.Arg"),
    ("harness.domain.kind", "from harness.domain import Real", "not harness.domain.Real"),
    ("harness.records", "from harness.ulp import to_hex", "harness.records sees nothing"),
    ("harness.records", "import numpy", "not numpy"),
    ("harness.novelty", "", "harness.novelty has no level"),
    ("harness.api", "from harness.novelty import x", "harness.novelty.x has no level"),
    ("reports.html", "from harness.judge import Verdict", "reports sees harness.records"),
    ("reports.html", "import torch", "does not know torch"),
    ("lossproof", "from harness.judge import Verdict", "lossproof sees harness.api"),
    ("suites.test_values", "from tests.controls import planted", "tests.controls.planted is of level 11"),
]

SOUND = [
    ("reference.binary", "import math\nimport numpy as np\nfrom reference.truth import Truth"),
    ("harness.contracts.mse_loss", "from harness.contract import Contract\nfrom reference import regression"),
    ("harness.subjects.torch_nn", "import torch\nfrom harness.contracts import mse_loss"),
    ("harness.domain.arg", "from harness.domain.scalar import Interval"),
    ("harness.checks.values", "from harness.judge import judge\nfrom harness.findings import Finding"),
    ("harness.records", "import json\nimport msgspec"),
    ("harness.plugin", "import pytest\nfrom harness.api import validate\nfrom reports import html"),
    ("reports.html", "import jinja2\nfrom harness.records import Record\nfrom reports.rollup import Rollup"),
    ("suites.test_values", "import pytest\nimport torch\nfrom harness.plan import plan"),
]


@pytest.mark.parametrize(("module", "source", "evidence"), PLANTED)
def test_a_planted_violation_is_flagged(module: str, source: str, evidence: str) -> None:
    found = violations(module, source)
    assert len(found) == 1, found
    assert evidence in found[0]


@pytest.mark.parametrize(("module", "source"), SOUND)
def test_a_sound_module_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_relative_imports_resolve_against_the_package() -> None:
    inside_module = imports("harness.contracts.mse_loss", "from . import l1_loss")
    inside_package = imports("harness.contracts", "from . import l1_loss", package=True)
    assert list(inside_module) == list(inside_package) == [(1, "harness.contracts.l1_loss")]


def test_the_public_face_imports_neither_torch_nor_the_harness() -> None:
    listing = "import sys, lossproof; print(*sorted({'torch', 'numpy', 'harness'} & set(sys.modules)), *dir(lossproof))"
    done = subprocess.run([sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True)
    seen = set(done.stdout.split())
    assert not seen & {"torch", "numpy", "harness"}
    assert seen >= {"Result", "assert_sound", "validate"}


def test_an_unknown_public_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="Result, assert_sound, validate"):
        _ = lossproof.nonsense
