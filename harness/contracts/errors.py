"""Calls that many losses must refuse; what differs between the losses, arguments and messages, is data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.special import ErrorInput

Tensors = Callable[[Any], tuple[Any, ...]]
"""(torch) -> the tensors of a call, by position."""
NO_KERNEL = ("NotImplementedError", "not implemented for 'Long'")
"""Of whole numbers, where a loss has no kernel for them."""
UNKNOWN_REDUCTION = "not a valid value for reduction"


def ones(*shapes: int | tuple[int, ...], dtype: str = "float32") -> Tensors:
    """Tensors of ones of these shapes."""
    return lambda torch: tuple(torch.ones(shape, dtype=getattr(torch, dtype)) for shape in shapes)


def refused(name: str, tensors: Tensors, raises: str | tuple[str, ...], match: str, **given: Any) -> ErrorInput:
    """A call with these tensors, and ``given`` by keyword, that raises one of the exceptions."""
    kinds = (raises,) if isinstance(raises, str) else raises
    return ErrorInput(name=name, call=lambda torch, loss: loss(*tensors(torch), **given), raises=kinds, match=match)


def unknown_reduction(tensors: Tensors, match: str = UNKNOWN_REDUCTION) -> ErrorInput:
    """``tensors`` that are right, reduced in no known way."""
    return refused("reduction of no known name", tensors, "ValueError", match, reduction="average")


def of_one_shape(arguments: int = 2, unknown: str = UNKNOWN_REDUCTION) -> tuple[ErrorInput, ...]:
    """Of a loss whose tensors have one shape: a second tensor of another, a reduction of no known name."""
    return (
        refused(
            "shapes that do not broadcast", ones(3, 2, *[3] * (arguments - 2)), "RuntimeError", "must match the size"
        ),
        unknown_reduction(ones(*[3] * arguments), unknown),
    )


def integers(raises: str = NO_KERNEL[0], match: str = NO_KERNEL[1]) -> ErrorInput:
    """Two tensors of whole numbers."""
    return refused("integers", ones(3, 3, dtype="int64"), raises, match)
