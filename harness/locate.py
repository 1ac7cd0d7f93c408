"""From ``module:attr``, ``path/to/file.py:attr`` or a file with a Declaration to a Subject."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from harness.api import UsageError, chosen_subject
from harness.binding import Subject
from harness.conduct import own
from harness.contract import Contract
from harness.declaration import Declaration
from harness.declaring import OPTIONS
from harness.inputs import InputsError, settings
from harness.wire import Request


class Place(NamedTuple):
    """Where a reference leads."""

    module: Any
    where: str
    attribute: str

    @property
    def found(self) -> Any:
        """What is there. Raises UsageError in one line where nothing is."""
        return _attribute(self.module, self.where, self.attribute)

    @property
    def setup(self) -> str:
        """Python lines that import it."""
        name = self.attribute.partition(".")[0]
        if self.where.endswith(".py"):
            return f"import runpy\n{name} = runpy.run_path({self.where!r})[{name!r}]\nimport torch"
        return f"from {self.where} import {name}\nimport torch"


def load(reference: str) -> tuple[Any, str, str]:
    """(callable, expression, import lines) of a reference. Raises UsageError in one line where there is none."""
    place = _place(reference)
    return _callable(place.found, reference), place.attribute, place.setup


def _callable(found: Any, reference: str) -> Any:
    if not callable(found):
        raise UsageError(f"{reference}: expected a callable, got {type(found).__name__}")
    return found


def own_name(loss: Any) -> bool:
    """Whether a loss has a name to be called by; a lambda and a functools.partial have that of the reference."""
    return not isinstance(loss, partial) and getattr(loss, "__name__", "") != "<lambda>"


DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def _member(value: Any, beside: Place) -> Any:
    """What a dotted name such as ``Reduction.NONE`` is in the module of the loss; any other value is itself.

    Raises UsageError in one line.
    """
    dotted = isinstance(value, str) and DOTTED.fullmatch(value)
    return beside._replace(attribute=value).found if dotted else value


def held_to(like: str | None) -> str | Contract | None:
    """The Contract of a reference ``module:attr``; what has no colon is a name. Raises UsageError in one line."""
    if like is None or ":" not in like:
        return like
    found = _place(like).found
    if not isinstance(found, Contract):
        raise UsageError(f"{like}: expected a Contract, got {type(found).__name__}")
    return found


def _place(reference: str) -> Place:
    """Raises UsageError, in one line, where there is no such module or file."""
    alone = reference.endswith(".py")
    where, _, attribute = (reference, "", "") if alone else reference.rpartition(":")
    if not where or not (attribute or alone):
        raise UsageError(f"{reference!r}: expected module:attr, path/to/file.py:attr or the path of a Declaration")
    module = _module(where, attribute)
    return Place(module, where, attribute or _only_declaration(module, where))


def _module(where: str, attribute: str) -> Any:
    if where.endswith(".py"):
        return _from_file(Path(where), attribute)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(where)
    except BaseException as error:
        if not own(error):
            raise
        raise UsageError(f"{where}: cannot be imported: {type(error).__name__}: {error}") from None


def _attribute(module: Any, where: str, attribute: str) -> Any:
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [n for n in dir(found) if not n.startswith("_") and callable(getattr(found, n))]
            raise UsageError(
                f"{where}: expected an attribute {attribute!r}, got none; "
                f"it has {', '.join(names[:12]) or 'no callables'}"
            )
        found = getattr(found, part)
    return found


def _in_package(path: Path, attribute: str) -> str:
    """How a file of a package is named, for one that imports from beside it."""
    whole = path.resolve()
    names, folder = [whole.stem], whole.parent
    while (folder / "__init__.py").is_file():
        names, folder = [folder.name, *names], folder.parent
    if len(names) == 1:
        return ""
    where = "" if folder == Path.cwd() else f", in {folder}"
    return f"; it is part of a package: write {'.'.join(names)}:{attribute}{where}"


def _from_file(path: Path, attribute: str) -> Any:
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
        hint = _in_package(path, attribute) if isinstance(error, ImportError) else ""
        raise UsageError(f"{path}: cannot be imported: {type(error).__name__}: {error}{hint}") from None
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
    place = _place(asked.loss)
    found = place.found
    if not isinstance(found, Declaration):
        return _subject(_by_options(asked, place), _callable(found, asked.loss), place.attribute, place.setup)
    if given := [o.flag for o in OPTIONS if getattr(asked, o.field)] + list(asked.options):
        raise UsageError(
            f"{asked.loss}: is a Declaration, which says all of the loss: expected nothing beside it, got "
            f"{', '.join(given)}"
        )
    if isinstance(found.loss, str):
        return _subject(found, *load(_beside(found.loss, asked.loss)))
    loss = _callable(found.loss, f"{asked.loss}: loss")
    return _subject(found, loss, f"{place.attribute}.loss", place.setup, place.attribute)


def _beside(loss: str, file: str) -> str:
    """A loss by its file, whose path starts at the file that names it; by its module as it is."""
    where, _, attribute = loss.rpartition(":")
    folder = Path(file if file.endswith(".py") else file.rpartition(":")[0]).parent
    return f"{folder / where}:{attribute}" if where.endswith(".py") else loss


def _by_options(asked: Request, place: Place) -> Declaration:
    try:
        init, parameters = settings((*asked.init, *asked.options)), settings(asked.parameter)
        reductions = {n: _member(v, place) for n, v in settings(asked.reduction).items()}
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


def _subject(said: Declaration, loss: Any, expression: str, setup: str, variable: str = "") -> Subject:
    """``variable`` is what holds a loss that has no name of its own."""
    name = "" if own_name(loss) else (variable or expression).rpartition(".")[2]
    return chosen_subject(
        loss,
        said.like,
        said.inputs,
        declared={
            "oracle": said.oracle,
            "laws": said.laws,
            "arrange": said.arrange,
        },
        said={
            "init": said.init,
            "parameters": said.parameters,
            "output": said.output,
            "reductions": said.reductions,
            "name": said.name or name,
            "expression": expression,
            "setup": setup,
        },
        intended={"stop_gradient": said.stop_gradient, "upcast": said.upcast},
    )
