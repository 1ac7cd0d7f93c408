"""A class as objects that can be called: as it is by default, and for every reduction that its constructor takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.binding import BindingError
from harness.evaluate import Raised
from harness.reducing import KEYWORD, Reducing, parameter_of
from harness.state import generators, put_generators


@dataclass(frozen=True, slots=True, kw_only=True)
class Constructed:
    """A loss that can be called."""

    ready: Any
    of_reduction: Mapping[str, Any] = field(default_factory=dict)
    """Our name of a reduction -> the object that was constructed for it."""
    reducing: Reducing
    """How reductions are asked for, without those for which it cannot be constructed."""


def constructed(
    loss: Any, reducing: Reducing, label: str, options: Mapping[str, Any], declared: Collection[str] = ()
) -> Constructed:
    """The objects of a class; of a function or a ready object, itself.

    Raises BindingError where a class cannot be constructed, or not for a reduction that is ``declared``.
    """
    if not isinstance(loss, type):
        return Constructed(ready=loss, reducing=reducing)
    drawn = generators()
    try:
        ready = loss(**(reducing.of_constructor("none") if _needs_reduction(loss) else {}))
    except TypeError as error:
        raise BindingError(f"{label}: cannot be constructed with {options or 'no options'}: {error}") from None
    found, refused = {}, {}
    for name in reducing.said:
        if not (keywords := reducing.of_constructor(name)):
            continue
        put_generators(drawn)  # all objects are made of the same random numbers
        try:
            found[name] = loss(**keywords)
        except Exception as error:
            if name in declared:
                raise BindingError(
                    f"reductions: {name}: {label} cannot be constructed with {keywords}: {error}"
                ) from None
            refused[name] = f"raises {Raised.of(error)}"
    return Constructed(ready=ready, of_reduction=found, reducing=reducing.without(refused))


def _needs_reduction(loss: type) -> bool:
    """Whether the constructor takes a reduction and has no default for it."""
    own = parameter_of(loss.__init__, KEYWORD)  # type: ignore[misc]
    return own is not None and own.default is own.empty
