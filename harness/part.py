"""The part of a result that is the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


class NoPartError(LookupError):
    """A result has no such part, or several and none is said to be the loss; one line."""


@dataclass(slots=True)
class Part:
    """The part of a result that is the loss, by a key, an attribute or a place in a sequence; all of it without a name.

    How it is reached shows with the first result.
    """

    name: str = ""
    path: str = ""
    """What Python reaches it with."""
    added: tuple[str, ...] = ()
    """The dimensions over which its values are added up, of a loss of which one call is one row."""

    @property
    def suffix(self) -> str:
        """What Python has after the call."""
        return f"{self.path}.sum()" if self.added else self.path

    def of(self, result: Any) -> Any:
        """Raises NoPartError where the result has no such part, or none is named and it is made of several."""
        if not self.name:
            if names := parts_of(result):
                raise NoPartError(
                    f"expected a tensor, got a {type(result).__name__} of the parts {', '.join(names)}: "
                    f"say which is the loss, with output or --output, such as --output {names[0]}"
                )
            return result
        if isinstance(result, (tuple, list)) and self.name.lstrip("-").isdigit():
            key: Any = int(self.name)
            has, offered = -len(result) <= key < len(result), f"{len(result)} parts"
        elif isinstance(result, Mapping):
            key, has, offered = self.name, self.name in result, f"the keys {', '.join(map(repr, result))}"
        else:
            if not hasattr(result, self.name):
                raise NoPartError(
                    f"expected a result with a part {self.name!r}, got {type(result).__name__}{_beside(result)}"
                )
            self.path = f".{self.name}"
            return getattr(result, self.name)
        if not has:
            raise NoPartError(
                f"expected a result with a part {self.name!r}, got a {type(result).__name__} of {offered}"
            )
        self.path = f"[{key!r}]"
        return result[key]

    def total(self, values: Tensor, dims: tuple[str, ...]) -> Tensor:
        """The sum of values that belong to the elements of one call."""
        self.added = self.added or dims
        return values.sum()


def parts_of(result: Any) -> list[str]:
    """Names of the tensors in a dict, a sequence or an object; what ``Part`` takes."""
    if isinstance(result, Tensor):
        return []
    if isinstance(result, Mapping):
        found: dict[str, Any] = {str(k): v for k, v in result.items()}
    elif isinstance(result, (tuple, list)):
        found = dict(zip(map(str, getattr(result, "_fields", range(len(result)))), result, strict=True))
    else:
        found = {n: v for n, v in getattr(result, "__dict__", {}).items() if not n.startswith("_")}
    return [name for name, value in found.items() if isinstance(value, Tensor)]


def _beside(result: Any) -> str:
    names = parts_of(result)
    return f" with {', '.join(names)}" if names else ""
