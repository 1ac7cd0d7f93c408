"""Subjects: a callable under test bound to a Contract, with what it offers and its own Faults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from harness.contract import Contract
from harness.deviations import Departure, Fault
from harness.specimen import Declared
from harness.ulp import PRECISIONS, Precision


class BindingError(TypeError):
    """The callable cannot take the tensors of the Contract; the message says which and what to write."""


Call = Callable[[Mapping[str, Any], Mapping[str, Any], str], Any]
"""(tensors by argument name, parameters, reduction) -> result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option that is given, and the loss with its default in its stead."""

    given: Any
    default: Any
    call: Call


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """One loss under test. Compared by identity."""

    name: str
    contract: Contract
    call: Call
    expression: str
    """Python expression that yields the callable, for reproductions."""
    setup: str = "import torch"
    """Import lines the expression needs."""
    loss: Any = None
    """The object that was bound; identity with a registered one makes it that Subject."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Argument of the Contract -> name that the callable gives it; what is missing is not offered."""
    options: tuple[str, ...] = ()
    """Names that a class takes in ``__init__``."""
    parameters: tuple[str, ...] = ()
    reductions: tuple[str, ...] = ()
    """Reductions that can be asked for; empty where the callable gives one fixed result."""
    fixed: str = ""
    """The reduction that a callable without the keyword applies; empty where ``reductions`` holds."""
    not_offered: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict)
    """dtype, or topic such as ``forward-mode`` -> regular expression of the message it raises."""
    constructed: bool = False
    """Whether the loss is a class whose parameters go to ``__init__``."""
    unsettled: str = ""
    """Why the suites do not judge it yet, such as a ledger that is not closed; it is recorded as not run."""
    misshapen: bool = False
    """Whether three rows do not give three values: then nothing else is asked, larger inputs might fill the memory."""
    origin: str = "user"
    """``torch`` for the builtins, whose Faults carry torch versions; ``specimen`` for what ships with the suites."""
    specimen: Declared | None = None
    """What is declared of a specimen."""
    stop_gradient: tuple[str, ...] = ()
    """Arguments whose gradient is not the derivative and is not meant to be: none, or one with a part held constant."""
    upcast: str = ""
    """The dtype in which results for narrower inputs are meant to come back; empty for that of the inputs."""
    held: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the Contract at the one value that an option gives them, or the code where there is no such one."""
    given: Mapping[str, Option] = field(default_factory=dict)
    """Options of a declared loss that are given and not what their default is."""
    by_position: Call | None = None
    """A declared loss called by position where it takes its arguments by name too."""
    text: Callable[[str], str] | None = None
    """(reduction) -> the call as Python over variables of the Contract's names, where it is not the usual one."""
    twin: Subject | None = None
    """The functional form that a module must agree with bit for bit; the twin is judged in its stead."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The tensors of the Contract that the callable takes."""
        return tuple(self.places)

    @property
    def intended(self) -> tuple[str, ...]:
        """What is declared to be meant, in words."""
        said = []
        if self.stop_gradient:
            said.append(f"as declared, the gradient with respect to {', '.join(self.stop_gradient)} is stopped")
        if self.upcast:
            said.append(f"as declared, results for narrower inputs are {self.upcast}")
        said += [f"as declared, {n} is {v!r}" for n, v in self.held.items() if n not in self.parameters]
        return tuple(said)

    def result_dtype(self, precision: Precision) -> str:
        """The dtype that the result for inputs of a dtype must have."""
        return self.upcast if self.upcast and PRECISIONS[self.upcast].bits > precision.bits else precision.name

    @property
    def departures(self) -> tuple[Departure, ...]:
        """Deviations and Faults that are said of the installed torch."""
        return tuple(d for d in (*self.contract.deviations, *self.faults) if d.in_force())

    @property
    def takes_none(self) -> bool:
        return "none" in self.reductions or self.fixed == "none"


def exchanged(subject: Subject, first: str, second: str) -> Subject:
    """The Subject called with two of its arguments in each other's place."""

    def call(tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        return subject.call({**tensors, first: tensors[second], second: tensors[first]}, parameters, reduction)

    return replace(subject, call=call)


def accepted(callable_: Callable[..., Any]) -> tuple[list[str], list[str], bool]:
    """Names of positional-or-keyword parameters, of those without default, and whether ``**kwargs`` are taken."""
    try:
        signature = inspect.signature(callable_)
    except (TypeError, ValueError):
        return [], [], True
    names, required, open_ended = [], [], False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL and name != "self":
            names.append(name)
            if parameter.default is parameter.empty:
                required.append(name)
    return names, required, open_ended


def constructor(loss: Any) -> tuple[list[str], list[str], bool]:
    """``accepted`` of the constructor of a class; torch.nn.Module takes any keyword and refuses it."""
    # Asked of torch each time: torch.compile puts another function in its place.
    own = loss.__init__ is not torch.nn.Module.__init__
    return accepted(loss.__init__) if own else ([], [], False)


def options_of(loss: Any) -> tuple[list[str], bool]:
    """Names of what a class is constructed with, or a function or ready object called; whether others are taken too."""
    found = constructor(loss) if inspect.isclass(loss) else accepted(getattr(loss, "forward", loss))
    return found[0], found[2]


def bind(
    loss: Any,
    contract: Contract,
    *,
    name: str = "",
    expression: str = "loss",
    setup: str = "import torch",
    faults: tuple[Fault, ...] = (),
    unsupported: Mapping[str, str] | None = None,
    origin: str = "user",
    twin: Subject | None = None,
    fixed: str = "",
    specimen: Declared | None = None,
) -> Subject:
    """A Subject for a function, a class to be constructed or a ready object.

    Tensors bind by name, then by position, by the Contract's names where the callable tells none. ``fixed`` is the
    reduction of a callable without the keyword. Raises BindingError where a required tensor has no place or the
    callable requires a tensor that the Contract does not have.
    """
    label = name or getattr(loss, "__qualname__", None) or type(loss).__name__
    constructed = inspect.isclass(loss)
    options, needed, options_open = constructor(loss) if constructed else ([], [], False)
    forward = getattr(loss, "forward", None) or loss.__call__ if constructed else loss
    target = forward if constructed else (loss.forward if hasattr(loss, "forward") else loss)
    names, required, names_open = accepted(target)

    tensors = [a.name for a in contract.args]
    parameters = [p.name for p in contract.parameters]
    known = {*tensors, *parameters, "reduction", "size_average", "reduce"}
    places: dict[str, str] = {}
    # The tensor of PoissonNLLLoss.forward is called log_input, as is a parameter; that one goes to __init__.
    free = [n for n in names if n not in known or (constructed and n in required and n not in tensors)]
    for arg in contract.args:
        if arg.name in names or (constructed and arg.name in options) or (names_open and not names):
            places[arg.name] = arg.name
        elif not arg.optional and free:
            places[arg.name] = free.pop(0)
        elif not arg.optional:
            raise BindingError(
                f"{label}: the tensor {arg.name!r} of {contract.name} has no place in its signature "
                f"({', '.join(names) or 'no arguments'}); write a function taking ({', '.join(_required(contract))})"
            )
    extra = [n for n in required if n not in places.values() and n not in known]
    extra += [n for n in needed if n not in known]
    if extra:
        raise BindingError(
            f"{label}: requires {', '.join(map(repr, extra))}, which {contract.name} does not have "
            f"(its tensors: {', '.join(tensors)}; parameters: {', '.join(parameters) or 'none'}); "
            "bind it with functools.partial"
        )
    holder = options if constructed else names
    is_open = options_open if constructed else names_open
    offered = [p for p in parameters if p in holder or is_open]
    missing = [p for p in parameters if p not in offered] + [t for t in tensors if t not in places]
    has_reduction = not fixed and ("reduction" in holder or is_open)
    reductions = ("none", *contract.reductions) if has_reduction else ()
    call = _constructing(loss, places, options) if constructed else partial(_calling, loss, places)
    return Subject(
        name=label,
        contract=contract,
        call=partial(call, has_reduction),
        expression=expression,
        setup=setup,
        loss=loss,
        places=places,
        options=tuple(options),
        parameters=tuple(offered),
        reductions=reductions,
        fixed=fixed,
        not_offered=tuple(missing) if has_reduction else (*missing, "reduction"),
        faults=faults,
        unsupported=unsupported or {},
        constructed=constructed,
        origin=origin,
        twin=twin,
        specimen=specimen,
    )


def _required(contract: Contract) -> list[str]:
    return [a.name for a in contract.args if not a.optional]


def _calling(
    loss: Callable[..., Any],
    places: Mapping[str, str],
    has_reduction: bool,
    tensors: Mapping[str, Any],
    parameters: Mapping[str, Any],
    reduction: str,
) -> Any:
    keywords: dict[str, Any] = {"reduction": reduction} if has_reduction else {}
    return loss(**{places[k]: v for k, v in tensors.items()}, **parameters, **keywords)


def _constructing(loss: type, places: Mapping[str, str], options: list[str]) -> Callable[..., Any]:
    def call(has_reduction: bool, tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        built = {k: v for k, v in tensors.items() if k in options}
        keywords: dict[str, Any] = {"reduction": reduction} if has_reduction else {}
        instance = loss(**built, **parameters, **keywords)
        return instance(**{places[k]: v for k, v in tensors.items() if k not in built})

    return call
