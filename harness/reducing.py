"""What a loss calls ``none``, ``sum`` and ``mean``, and where it takes it: by its signature, or as declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

KEYWORD = "reduction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reducing:
    """How every reduction is asked of a loss."""

    said: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Our name -> keywords, of those that it takes; empty where it gives one fixed result."""
    built: frozenset[str] = frozenset()
    """Which of the keywords its constructor takes; a call takes the others."""
    guessed: bool = False
    """Whether only ``**kwargs`` may take them, which a call shows."""
    default: str = ""
    """Our name of the one that it gives where none is asked for, if that is known."""
    held: str = ""
    """Our name of the one at which an option or an attribute holds it; what it gives may be another."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Our name -> why it is not asked for."""

    def keywords(self, reduction: str) -> dict[str, Any]:
        """A single row is its own sum: that is asked for where ``none`` is not taken."""
        if reduction in self.said:
            return dict(self.said[reduction])
        if reduction == "none":
            return dict(self.said.get("sum") or self.said.get("mean") or {})
        return {KEYWORD: reduction} if self.said else {}

    def of_constructor(self, reduction: str) -> dict[str, Any]:
        return {k: v for k, v in self.keywords(reduction).items() if k in self.built}

    def of_call(self, reduction: str) -> dict[str, Any]:
        return {k: v for k, v in self.keywords(reduction).items() if k not in self.built}

    def without(self, refused: Mapping[str, str]) -> Reducing:
        """What is left, with the reasons for the others."""
        left = {n: k for n, k in self.said.items() if n not in refused}
        return replace(self, said=left, refused={**self.refused, **refused})

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not offered, by name."""
        return tuple(f"{KEYWORD}={n}" for n in self.refused) if self.said else (KEYWORD,)

    @property
    def reasons(self) -> dict[str, str]:
        """What is not offered -> why, where that is known."""
        if self.said or not self.refused:
            return {f"{KEYWORD}={n}": why for n, why in self.refused.items()}
        return {KEYWORD: next(iter(self.refused.values()))}

    def lines(self, loss: Any, expression: str) -> list[str]:
        """Python that names the enumerations whose members are asked for."""
        kinds = {type(v) for asked in self.said.values() for v in asked.values() if isinstance(v, Enum)}
        source = loss.__init__ if inspect.isclass(loss) else loss
        found = []
        for kind in sorted(kinds, key=lambda k: k.__qualname__):
            name = kind.__qualname__.partition(".")[0]
            if name in getattr(source, "__globals__", {}):
                path = f"{expression}.__init__" if inspect.isclass(loss) else expression
                found.append(f"{name} = {path}.__globals__[{name!r}]")
            else:
                found.append(f"from {kind.__module__} import {name}")
        return found


def written(value: Any) -> str:
    """A value as Python."""
    return f"{type(value).__qualname__}.{value.name}" if isinstance(value, Enum) else repr(value)


def parameter_of(function: Callable[..., Any] | None, name: str) -> inspect.Parameter | None:
    """The parameter of that name that can be given by it."""
    try:
        found = inspect.signature(function).parameters.get(name) if function is not None else None
    except (TypeError, ValueError):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return found if found is not None and found.kind in by_name else None


def standard(parameter: inspect.Parameter | None, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The names that are usual: members of the enumeration of the default or annotation, else ours as text."""
    default, annotation = (None, None) if parameter is None else (parameter.default, parameter.annotation)
    kind = type(default) if isinstance(default, Enum) else annotation
    if not (isinstance(kind, type) and issubclass(kind, Enum)):
        return {ours: {KEYWORD: ours} for ours in wanted}
    members = {ours: _member(kind, ours) for ours in wanted}
    return {ours: {KEYWORD: member} for ours, member in members.items() if member is not None}


def _member(kind: type[Enum], ours: str) -> Enum | None:
    return next((m for m in kind if ours in (m.name.casefold(), str(m.value).casefold())), None)


def known_as(value: Any, wanted: Iterable[str]) -> str:
    """Our name of a value of ``reduction``; empty where it is none of them."""
    if isinstance(value, Enum):
        return next((ours for ours in wanted if _member(type(value), ours) is value), "")
    return next((ours for ours in wanted if value == ours), "") if isinstance(value, str) else ""


def asked(declared: Any) -> dict[str, Any]:
    """Keywords of a declared name: a value of ``reduction``, or the keywords themselves."""
    return dict(declared) if isinstance(declared, Mapping) else {KEYWORD: declared}


def reducing(
    constructor: Callable[..., Any] | None,
    call: Callable[..., Any],
    wanted: Sequence[str],
    *,
    open_ended: bool,
    declared: Mapping[str, Any] | None = None,
) -> Reducing:
    """How a loss is asked for each of ``wanted``; what is declared renames, the others keep their usual names.

    ``open_ended`` is whether ``**kwargs`` are taken where the options go. Raises ValueError in one line.
    """
    own = parameter_of(constructor, KEYWORD) or parameter_of(call, KEYWORD)
    usual = standard(own, wanted) if own is not None or open_ended else {}
    declared = declared or {}
    if unknown := [n for n in declared if n not in wanted]:
        raise ValueError(f"reductions: expected one of {', '.join(wanted)}, got {unknown[0]!r}")
    said = {**usual, **{ours: asked(its) for ours, its in declared.items()}}
    if any(isinstance(its, Mapping) for its in declared.values()) and own is None:
        said = {ours: said[ours] for ours in declared}
    names = {k for keywords in said.values() for k in keywords}
    taken = {k for k in names if parameter_of(constructor, k) or parameter_of(call, k)}
    if lacking := [k for k in sorted(names - taken) if not open_ended]:
        raise ValueError(f"reductions: expected options that it takes, got {lacking[0]!r}, which it does not")
    built = {k for k in names if parameter_of(constructor, k)}
    if constructor is not None and open_ended:
        built |= names - taken
    refused: Collection[str] = [] if own is None else [n for n in wanted if n not in said]
    return Reducing(
        said={n: said[n] for n in wanted if n in said},
        built=frozenset(built),
        guessed=own is None and not declared and bool(said),
        default=next((n for n in wanted if own is not None and said.get(n) == {KEYWORD: own.default}), ""),
        refused=dict.fromkeys(refused, "its enumeration has no such member"),
    )
