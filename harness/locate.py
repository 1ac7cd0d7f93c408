"""From ``module:attr`` or ``path/to/file.py:attr`` to a Subject."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from harness.api import UsageError, chosen_subject
from harness.binding import Subject
from harness.conduct import own
from harness.contract import Contract
from harness.inputs import InputsError, settings
from harness.wire import Request


def load(reference: str) -> tuple[Any, str, str]:
    """(callable, expression, import lines) of a reference. Raises UsageError in one line where there is none."""
    found, attribute, setup = _found(reference)
    if not callable(found):
        raise UsageError(f"{reference}: expected a callable, got {type(found).__name__}")
    return found, attribute, setup


def held_to(like: str | None) -> str | Contract | None:
    """The Contract of a reference ``module:attr``; what has no colon is a name. Raises UsageError in one line."""
    if like is None or ":" not in like:
        return like
    found = _found(like)[0]
    if not isinstance(found, Contract):
        raise UsageError(f"{like}: expected a Contract, got {type(found).__name__}")
    return found


def _found(reference: str) -> tuple[Any, str, str]:
    where, _, attribute = reference.rpartition(":")
    if not where or not attribute:
        raise UsageError(f"{reference!r}: expected module:attr or path/to/file.py:attr")
    if where.endswith(".py"):
        module = _from_file(Path(where))
        name = attribute.split(".")[0]
        setup = f"import runpy\n{name} = runpy.run_path({where!r})[{name!r}]\nimport torch"
    else:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            module = importlib.import_module(where)
        except BaseException as error:
            if not own(error):
                raise
            raise UsageError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from None
        setup = f"from {where} import {attribute.split('.')[0]}\nimport torch"
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            raise UsageError(
                f"{where}: expected an attribute {attribute!r}, got none; "
                f"it has {', '.join(names[:12]) or 'no callables'}"
            )
        found = getattr(found, part)
    return found, attribute, setup


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"{path}: expected a Python file, got none there")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        if not own(error):
            raise
        raise UsageError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def located(asked: Request) -> Subject:
    """The Subject that is asked for, by its Contract or by its inputs. Raises UsageError in one line."""
    loss, expression, setup = load(asked.loss)
    try:
        options, parameters = settings((*asked.init, *asked.options)), settings(asked.parameter)
        reductions = settings(asked.reduction)
    except InputsError as error:
        raise UsageError(str(error)) from None
    return chosen_subject(
        loss,
        held_to(asked.like),
        asked.inputs or None,
        declared={
            "oracle": load(asked.oracle)[0] if asked.oracle is not None else None,
            "laws": asked.laws,
            "output": asked.output,
            "reductions": reductions or None,
        },
        said={"init": options, "parameters": parameters, "expression": expression, "setup": setup},
        intended={"stop_gradient": asked.stop_gradient, "upcast": asked.upcast},
    )
