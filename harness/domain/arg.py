"""One tensor argument of a loss: its name, its kind, its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.domain.kind import Kind
from harness.domain.scalar import Choice, Interval

Role = Literal["input", "target", "weight"]
BROADCASTS = ("float", "(N, 1)", "(N,)", "(1, C)", "(C,)", "(1,)")
"""What an argument may be beside an input of shape (N, C); ``float``: the Python number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """One tensor argument of a loss."""

    name: str
    kind: Kind
    dims: tuple[str, ...] = ()
    """Named dimensions of one row; empty for a scalar kernel."""
    role: Role = "input"
    """``input`` conditions the loss, ``target`` where it is soft, ``weight`` never."""
    differentiable: bool = True
    optional: bool = False
    shared: bool = False
    """Whether one tensor serves all rows."""
    batch_axis: int = 0
    """Where torch's layout has the rows."""
    broadcasts: tuple[str, ...] = ()
    """Some of BROADCASTS in which a scalar argument may be given, to be repeated over the rest of the input."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"Arg.name: expected an identifier, got {self.name!r}")
        unknown = [b for b in self.broadcasts if b not in BROADCASTS]
        if unknown or (self.broadcasts and not self.scalar):
            raise ValueError(f"Arg {self.name}: broadcasts: expected a scalar and some of {BROADCASTS}, got {unknown}")
        if self.kind.integral and self.differentiable:
            object.__setattr__(self, "differentiable", False)

    @property
    def scalar(self) -> bool:
        return not self.dims and not self.shared and isinstance(self.kind, (Interval, Choice))

    def shape(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Rows-first shape of the tensor for ``rows`` rows."""
        own = tuple(sizes[d] for d in self.dims)
        return own if self.shared else (rows, *own)
