"""From ``module:attr``, ``path/to/file.py:attr`` or a file with a Declaration to a Subject."""

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
from harness.declaration import Declaration
from harness.declaring import OPTIONS
from harness.inputs import InputsError, settings
from harness.wire import Request


def load(reference: str) -> tuple[Any, str, str]:
    """(callable, expression, import lines) of a reference. Raises UsageError in one line where there is none."""
    found, attribute, setup = _found(reference)
    return _called(found, reference), attribute, setup


def _called(found: Any, reference: str) -> Any:
    if not callable(found):
        raise UsageError(f"{reference}: expected a callable, got {type(found).__name__}")
    return found


def held_to(like: str | None) -> str | Contract | None:
    """The Contract of a reference ``module:attr``; what has no colon is a name. Raises UsageError in one line."""
    if like is None or ":" not in like:
        return like
    found = _found(like)[0]
    if not isinstance(found, Contract):
        raise UsageError(f"{like}: expected a Contract, got {type(found).__name__}")
    return found


def _found(reference: str) -> tuple[Any, str, str]:
    alone = reference.endswith(".py")
    where, _, attribute = (reference, "", "") if alone else reference.rpartition(":")
    if not where or not (attribute or alone):
        raise UsageError(f"{reference!r}: expected module:attr, path/to/file.py:attr or the path of a Declaration")
    if where.endswith(".py"):
        module = _from_file(Path(where))
        attribute = attribute or _only_declaration(module, where)
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


def _only_declaration(module: Any, path: str) -> str:
    names: list[str] = [n for n, value in vars(module).items() if isinstance(value, Declaration)]
    if len(names) != 1:
        raise UsageError(
            f"{path}: expected one Declaration, got {', '.join(names) or 'none'}; write {path}:{(*names, 'ATTR')[0]}"
        )
    return names[0]


def located(asked: Request) -> Subject:
    """The Subject that is asked for, by options or by a Declaration in a file. Raises UsageError in one line."""
    found, expression, setup = _found(asked.loss)
    if not isinstance(found, Declaration):
        return _subject(_by_options(asked), _called(found, asked.loss), expression, setup)
    if given := [o.flag for o in OPTIONS if getattr(asked, o.field)] + list(asked.options):
        raise UsageError(
            f"{asked.loss}: is a Declaration, which says all of the loss: expected nothing beside it, got "
            f"{', '.join(given)}"
        )
    if isinstance(found.loss, str):
        return _subject(found, *load(_beside(found.loss, asked.loss)))
    return _subject(found, _called(found.loss, f"{asked.loss}: loss"), f"{expression}.loss", setup)


def _beside(loss: str, file: str) -> str:
    """A loss by its file, whose path starts at the file that names it; by its module as it is."""
    where, _, attribute = loss.rpartition(":")
    folder = Path(file if file.endswith(".py") else file.rpartition(":")[0]).parent
    return f"{folder / where}:{attribute}" if where.endswith(".py") else loss


def _by_options(asked: Request) -> Declaration:
    try:
        init, parameters = settings((*asked.init, *asked.options)), settings(asked.parameter)
        reductions = settings(asked.reduction)
    except InputsError as error:
        raise UsageError(str(error)) from None
    return Declaration(
        loss=asked.loss,
        like=held_to(asked.like),
        inputs=asked.inputs or None,
        oracle=load(asked.oracle)[0] if asked.oracle is not None else None,
        laws=asked.laws,
        init=init,
        parameters=parameters,
        output=asked.output,
        reductions=reductions or None,
        arrange=load(asked.arrange)[0] if asked.arrange is not None else None,
        stop_gradient=asked.stop_gradient,
        upcast=asked.upcast,
    )


def _subject(said: Declaration, loss: Any, expression: str, setup: str) -> Subject:
    return chosen_subject(
        loss,
        said.like,
        said.inputs,
        declared={
            "oracle": said.oracle,
            "laws": said.laws,
            "output": said.output,
            "reductions": said.reductions,
            "arrange": said.arrange,
        },
        said={
            "init": said.init,
            "parameters": said.parameters,
            "name": said.name,
            "expression": expression,
            "setup": setup,
        },
        intended={"stop_gradient": said.stop_gradient, "upcast": said.upcast},
    )
