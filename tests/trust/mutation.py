"""Mutants of the sound losses: whatever is changed in one of them, its judge must notice."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from harness import records
from harness.api import Result, UsageError, validate
from harness.bounds import GRADES
from harness.checks.specimen import measured
from tests import losses
from tests.sound import SOUND, binary, classification, embedding, likelihood, pieces, regression
from tests.sound.declare import Sound
from tests.trust.lines import Judged
from tests.trust.mutants import Mutant, mutants, mutated

MODULES = {m.__name__: m for m in (losses, pieces, regression, binary, classification, likelihood, embedding)}
"""All source of the sound losses; what one of them imports comes before it."""
SPECIMENS = {f"{s.like}: {s.name}": s for s in SOUND if not s.compiled}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(MODULES[module]))


@cache
def _definitions(module: str) -> dict[str, ast.stmt]:
    """Functions, classes and constants at the top of a module, by name."""
    found: dict[str, ast.stmt] = {}
    for node in tree(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
    return found


@cache
def _imported(module: str) -> dict[str, tuple[str, str]]:
    """Names that come from another of the modules, and what they are called there."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree(module).body
        if isinstance(node, ast.ImportFrom) and node.module in MODULES
        for alias in node.names
    }


def source_of(sound: Sound) -> dict[str, set[str]]:
    """All that a loss runs: the names of definitions by module."""
    waiting, seen = [(sound.loss.__module__, sound.loss.__name__)], set()
    while waiting:
        module, name = waiting.pop()
        if name in _imported(module):
            waiting.append(_imported(module)[name])
        elif name in _definitions(module) and (module, name) not in seen:
            seen.add((module, name))
            used = {n.id for n in ast.walk(_definitions(module)[name]) if isinstance(n, ast.Name)}
            waiting += [(module, n) for n in sorted(used)]
    return {m: {n for other, n in seen if other == m} for m in MODULES if any(other == m for other, _ in seen)}


@cache
def digest(specimen: str) -> str:
    source = source_of(SPECIMENS[specimen])
    text = "\n".join(ast.unparse(_definitions(m)[n]) for m, names in source.items() for n in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def mutants_of(specimen: str) -> tuple[Mutant, ...]:
    source = source_of(SPECIMENS[specimen])
    return tuple(x for module, names in source.items() for x in mutants(specimen, module, tree(module), names))


@contextmanager
def _in_place_of(modules: dict[str, types.ModuleType]) -> Iterator[None]:
    kept = {name: sys.modules[name] for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        sys.modules.update(kept)


def built(sound: Sound, mutant: Mutant | None) -> Any:
    """The loss made anew in memory, of the changed source."""
    made: dict[str, types.ModuleType] = {}
    for name in MODULES:
        changed = mutated(tree(name), mutant.number) if mutant and mutant.module == name else tree(name)
        module = types.ModuleType(name)
        with _in_place_of(made):
            exec(compile(changed, f"<mutated {name}>", "exec"), vars(module))
        made[name] = module
        if name == sound.loss.__module__:
            break
    return vars(module)[sound.loss.__name__]


def _judged(sound: Sound, loss: Any, dtypes: tuple[str, ...]) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return validate(loss, sound.like, dtype=dtypes, strict=sound.keeps_digits, fail_fast=True, name="mutant")


def _notes(result: Result) -> frozenset[tuple[str, str, str, str, str]]:
    return frozenset((t.dtype, t.check, t.item, f.kind, f.output) for t in result.trials for f in t.findings)


def _lacking(result: Result) -> frozenset[str]:
    return frozenset(n for line in result.lines if isinstance(line, records.Declaration) for n in line.not_offered)


@cache
def _own(sound: Sound, dtypes: tuple[str, ...]) -> tuple[frozenset[tuple[str, str, str, str, str]], frozenset[str]]:
    """What is noted of a specimen as it is, and what it does not offer."""
    result = _judged(sound, sound.loss, dtypes)
    return _notes(result), _lacking(result)


NOTE = "note"


def verdict(sound: Sound, loss: Any) -> tuple[str, str, str]:
    """What gives a loss away, what that says and in which dtype; three empty texts if nothing does.

    A defect always does; a weakness too unless the loss is declared to have some; so does a grade below the declared,
    and what it is said not to offer any more.
    What is only noted, as the choice of its author, is no failure: ``note``.
    """
    rest = tuple(d for d in sound.dtypes if d != "float32")
    noted = ("", "", "")
    for dtypes in (("float32",) if "float32" in sound.dtypes else (), rest):
        if not dtypes:
            continue
        try:
            result = _judged(sound, loss, dtypes)
        except UsageError as error:
            return "refused", str(error), ""
        found = _failure(result) or _grade(sound, result) or _offer(sound, result, dtypes)
        if found is not None:
            return found
        more = sorted(_notes(result) - _own(sound, dtypes)[0])
        if more and not noted[0]:
            dtype, check, item, kind, output = more[0]
            noted = NOTE, f"{check} {item}: {kind} of {output or 'the result'}", dtype
    return noted


def _failure(result: Result) -> tuple[str, str, str] | None:
    for trial in result.trials:
        if trial.verdict in ("error", "stale"):
            last = trial.reason.strip().splitlines()[-1]
            return "error", f"{trial.check} {trial.item}: {last}", trial.dtype
        if trial.verdict in records.FAILING:
            finding = trial.findings[0]
            return trial.check, f"{finding.kind} of {finding.output or 'the result'}", trial.dtype
    return None


def _offer(sound: Sound, result: Result, dtypes: tuple[str, ...]) -> tuple[str, str, str] | None:
    lost = sorted(_lacking(result) - _own(sound, dtypes)[1])
    return ("offer", f"not offered: {lost[0]}", dtypes[0]) if lost else None


def _grade(sound: Sound, result: Result) -> tuple[str, str, str] | None:
    for survey in (line for line in result.lines if isinstance(line, records.Survey)):
        for tally in survey.outputs:
            got = measured(tally)
            if got > sound.grade_of(tally.output):
                return "grade", f"{GRADES[got]} of {tally.output}", survey.dtype
    return None


def judge(specimen: str, mutant: Mutant | None) -> Judged:
    """The fate of a mutant, or of the specimen itself."""
    sound, started = SPECIMENS[specimen], time.perf_counter()
    try:
        loss = built(sound, mutant)
    except Exception as error:
        by, shows, dtype = "refused", f"{type(error).__name__} at import", ""
    else:
        by, shows, dtype = verdict(sound, loss)
    return Judged(
        specimen=specimen,
        source=digest(specimen),
        mutant=mutant.key if mutant else "",
        line=mutant.line if mutant else 0,
        killed=by not in ("", NOTE),
        by=by,
        shows=shows[:160],
        dtype=dtype,
        seconds=round(time.perf_counter() - started, 2),
    )
