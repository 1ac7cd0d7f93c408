"""Subjects: a callable under test bound to a Contract, with what it offers and its own Faults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from harness.contract import Contract
from harness.deviations import Departure, Fault
from harness.held import called, dtype_of
from harness.part import Part
from harness.reducing import KEYWORD, Reducing, known_as, parameter_of, reducing
from harness.specimen import Declared
from harness.ulp import PRECISIONS, Precision


class BindingError(TypeError):
    """The callable cannot take the tensors of the Contract; the message says which and what to write."""


Call = Callable[[Mapping[str, Any], Mapping[str, Any], str], Any]
"""(tensors by argument name, parameters, reduction) -> result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Another way to call a loss that is declared by its inputs."""

    call: Call
    text: Callable[[str, str], str]
    """(reduction, dtype) -> the call as Python over variables of the Contract's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Way):
    """An option that is given, and the loss with its default in its stead."""

    given: Any
    default: Any


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
    positional: tuple[str, ...] = ()
    """Of these names, those that can only be given by position, in order."""
    options: tuple[str, ...] = ()
    """Names that a class takes in ``__init__``."""
    parameters: tuple[str, ...] = ()
    reducing: Reducing = field(default_factory=Reducing)
    """How reductions are asked for."""
    part: Part = field(default_factory=Part)
    """What of the result is the loss."""
    holds: bool = False
    """Whether it has buffers or parameters that follow the dtype of a call."""
    unjudged: tuple[str, ...] = ()
    """Learnable parameters of a Module, of which the Contract knows nothing."""
    fixed: str = ""
    """The reduction that a callable without the keyword applies; empty where ``reductions`` holds."""
    lacks: tuple[str, ...] = ()
    """Parameters and tensors of the Contract that the callable does not take."""
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
    tried: Mapping[str, Option] = field(default_factory=dict)
    """Numbers of a declared loss that are at their default, each with the loss that has another."""
    by_position: Way | None = None
    """A declared loss called by position where it takes its arguments by name too."""
    text: Callable[[str, str], str] | None = None
    """(reduction, dtype) -> the call as Python over variables of the Contract's names; None for the usual one."""
    twin: Subject | None = None
    """The functional form that a module must agree with bit for bit; the twin is judged in its stead."""

    @property
    def reductions(self) -> tuple[str, ...]:
        """Reductions that can be asked for; empty where the callable gives one fixed result."""
        return tuple(self.reducing.said)

    @property
    def not_offered(self) -> tuple[str, ...]:
        """What of the Contract cannot be asked for."""
        return (*self.lacks, *self.reducing.missing)

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

    @property
    def unasked(self) -> tuple[str, ...]:
        """What the loss has and nothing here is asked of, in words."""
        if not self.unjudged:
            return ()
        return (f"not judged: gradients of its learnable {', '.join(self.unjudged)}",)

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
    """Names of parameters, of those without default, and whether ``**kwargs`` are taken."""
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


def only_positional(callable_: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters that cannot be given by name, in order."""
    try:
        parameters = inspect.signature(callable_).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name != "self")


def called_part(loss: Any) -> Callable[..., Any]:
    """What tells how a loss is called: ``forward`` or ``__call__`` of the instances of a class."""
    if inspect.isclass(loss):
        found: Callable[..., Any] = getattr(loss, "forward", None) or loss.__call__
        return found
    own: Callable[..., Any] = getattr(loss, "forward", loss)
    return own


def constructor(loss: Any) -> tuple[list[str], list[str], bool]:
    """``accepted`` of the constructor of a class; torch.nn.Module takes any keyword and refuses it."""
    # Asked of torch each time: torch.compile puts another function in its place.
    own = loss.__init__ is not torch.nn.Module.__init__
    return accepted(loss.__init__) if own else ([], [], False)


def reductions_of(
    loss: Any,
    wanted: Sequence[str],
    declared: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Reducing:
    """How a function, a class or a ready object is asked for reductions, unless an option holds it at one.

    Raises BindingError in one line.
    """
    held = {**fixed_by_partial(loss), **(options or {})}
    if KEYWORD in held and not declared:
        said = held[KEYWORD]
        return Reducing(held=known_as(said, wanted), refused=dict.fromkeys(wanted, f"held at {said!r}"))
    constructed = inspect.isclass(loss)
    _, _, open_ended = constructor(loss) if constructed else accepted(called_part(loss))
    try:
        found = reducing(
            loss.__init__ if constructed else None,
            called_part(loss),
            wanted,
            open_ended=open_ended,
            declared=declared,
        )
    except ValueError as error:
        raise BindingError(str(error)) from None
    ready = not found.said and parameter_of(type(loss).__init__, KEYWORD) is not None
    return replace(found, held=known_as(getattr(loss, KEYWORD, None), wanted)) if ready else found


def fixed_by_partial(loss: Any) -> dict[str, Any]:
    """Options that functools.partial has bound."""
    return {**fixed_by_partial(loss.func), **loss.keywords} if isinstance(loss, partial) else {}


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
    reductions: Mapping[str, Any] | Reducing | None = None,
    output: str = "",
) -> Subject:
    """A Subject for a function, a class to be constructed or a ready object.

    Tensors bind by name, then by position, by the Contract's names where the callable tells none. ``fixed`` is the
    reduction of a callable without the keyword, ``reductions`` what it calls them, ``output`` the part of its result
    that is the loss. Raises BindingError where a required tensor has no place or the callable requires a tensor that
    the Contract does not have.
    """
    label = name or getattr(loss, "__qualname__", None) or type(loss).__name__
    constructed = inspect.isclass(loss)
    options, needed, options_open = constructor(loss) if constructed else ([], [], False)
    target = called_part(loss)
    names, required, names_open = accepted(target)
    if not isinstance(reductions, Reducing):
        wanted = () if fixed else ("none", *contract.reductions)
        reductions = reductions_of(loss, wanted, reductions)
    asked_with = {k for keywords in reductions.said.values() for k in keywords}

    tensors = [a.name for a in contract.args]
    parameters = [p.name for p in contract.parameters]
    known = {*tensors, *parameters, "reduction", "size_average", "reduce", *asked_with}
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
    only = only_positional(target)
    part = Part(output)
    call = Called(
        loss=loss,
        places=places,
        built=frozenset(options) if constructed else None,
        positional=only,
        reducing=reductions,
        part=part,
    )
    return Subject(
        name=label,
        contract=contract,
        call=call,
        expression=expression,
        setup=setup,
        loss=loss,
        places=places,
        positional=only,
        options=tuple(options),
        parameters=tuple(offered),
        reducing=reductions,
        part=part,
        fixed=fixed,
        lacks=tuple(missing),
        faults=faults,
        unsupported=unsupported or {},
        constructed=constructed,
        origin=origin,
        twin=twin,
        specimen=specimen,
    )


def _required(contract: Contract) -> list[str]:
    return [a.name for a in contract.args if not a.optional]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The call of a Subject."""

    loss: Any
    places: Mapping[str, str]
    built: frozenset[str] | None
    """Names that the constructor of a class takes; None where there is nothing to construct."""
    positional: tuple[str, ...]
    reducing: Reducing
    part: Part

    def instance(self, tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        """What is called: the loss, or an object of its class."""
        if self.built is None:
            return self.loss
        built = {n: t for n, t in tensors.items() if n in self.built}
        return self.loss(**built, **parameters, **self.reducing.of_constructor(reduction))

    def __call__(self, tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        passed = {self.places[n]: t for n, t in tensors.items() if self.built is None or n not in self.built}
        keywords = {**passed, **({} if self.built is not None else parameters), **self.reducing.of_call(reduction)}
        positional = [keywords.pop(n) for n in self.positional if n in keywords]
        instance = self.instance(tensors, parameters, reduction)
        return self.part.of(called(instance, tuple(positional), keywords, dtype_of(tensors)))
