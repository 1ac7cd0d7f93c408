"""Rows of tables: special values with the result they must give, and inputs that must raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from harness.ulp import Array, Precision, round_to

Wanted = Literal["formula", "finite", "0", "+inf", "-inf", "nan", "outside"]

SPECIAL_VALUES = (
    "+0",
    "-0",
    "+subnormal",
    "-subnormal",
    "+normal",
    "-normal",
    "+largest",
    "-largest",
    "+inf",
    "-inf",
    "nan",
)
"""Names of the special values of a dtype: zeros, smallest subnormals, smallest normals, largest, infinities, nan."""


def special_value(name: str, precision: Precision) -> float:
    """The number that a name of SPECIAL_VALUES stands for in a dtype."""
    if name == "nan":
        return float("nan")
    sizes = {
        "0": 0.0,
        "subnormal": precision.smallest_subnormal,
        "normal": precision.smallest_normal,
        "largest": precision.largest,
        "inf": float("inf"),
    }
    if (name[:1] not in ("+", "-") and name != "inf") or name.lstrip("+-") not in sizes:
        raise ValueError(f"special value: expected one of {SPECIAL_VALUES}, got {name!r}")
    return -sizes[name[1:]] if name.startswith("-") else sizes[name.lstrip("+")]


def resolved(values: Any, precision: Precision) -> Any:
    """Nested lists with names of SPECIAL_VALUES replaced by the numbers of the dtype."""
    if isinstance(values, (list, tuple)):
        return [resolved(v, precision) for v in values]
    return special_value(values, precision) if isinstance(values, str) else values


def numbers(values: Any, precision: Precision, *, integral: bool, rounded: bool = True) -> npt.NDArray[Any]:
    """The array that a row of a table stands for, in the numbers of the dtype or, not ``rounded``, as written."""
    nested = resolved(values, precision)
    if integral:
        return np.array(nested, np.int64)
    exact: Array = np.array(nested, np.float64)
    return round_to(precision, exact) if rounded else exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """One law: under this condition the loss is that. The law's text is the id of its test."""

    condition: str
    args: Mapping[str, Any]
    """Rows-first lists for every required argument.

    Names of SPECIAL_VALUES stand for the value in the dtype under test.
    """
    want: str | float
    """``formula``: the oracle's number by the grades; ``outside``: beyond the domain, shown as a note."""
    reason: str = ""
    """For ``outside``: why; what is seen is still shown."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reduction: str = "none"
    needs: tuple[str, ...] = ()
    """Parameters and optional tensors without which the row says nothing of a loss, even at their default values."""
    covers: tuple[tuple[str, str], ...] = ()
    """(argument, special value) pairs that this row accounts for."""

    @property
    def law(self) -> str:
        want = f"outside the domain: {self.reason}" if self.want == "outside" else self.want
        return f"{self.condition} -> {want}"

    def __post_init__(self) -> None:
        if isinstance(self.want, str) and self.want not in get_args(Wanted):
            raise ValueError(
                f"Special {self.condition!r}: want: expected a number or one of {get_args(Wanted)}, got {self.want!r}"
            )
        if self.want == "outside" and not self.reason:
            raise ValueError(f"Special {self.condition!r}: reason: expected why it is outside the domain, got none")


def table(
    argument: str,
    others: Mapping[str, Any],
    results: Mapping[str, Wanted | tuple[str, str]],
    *,
    rest: tuple[float, ...] = (),
) -> tuple[Special, ...]:
    """A row for every special value of one scalar argument, the other arguments held at ``others``.

    A vector begins with the special value and goes on with ``rest``. ``results`` maps names of SPECIAL_VALUES to what
    the loss must be; a missing finite one follows the formula.
    """
    rows = []
    for value in SPECIAL_VALUES:
        result = results.get(value, "formula")
        want, reason = (result[0], result[1]) if isinstance(result, tuple) else (result, "")
        if value in ("+inf", "-inf", "nan") and value not in results:
            raise ValueError(f"special values of {argument}: expected a result for {value}, got none")
        rows.append(
            Special(
                condition=f"{argument}={_text([value, *rest]) if rest else value}"
                + "".join(f", {k}={_text(v)}" for k, v in others.items()),
                args={
                    argument: [[value, *rest] if rest else value],
                    **{k: v if isinstance(v, list) else [v] for k, v in others.items()},
                },
                want=want,
                reason=reason,
                covers=((argument, value),),
            )
        )
    return tuple(rows)


def _text(value: Any) -> str:
    return str(value).replace(" ", "").replace("'", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInput:
    """A call that must raise: wrong shapes, dtypes or out-of-range targets."""

    name: str
    call: Callable[[Any, Callable[..., Any]], Any]
    """(torch, loss) -> whatever; the call under test. torch is handed in so that contracts import without it."""
    raises: tuple[str, ...]
    """Names of the admissible exception types."""
    match: str = ""
    """Regular expression searched in the message."""
    legal: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters each of which makes the call a legal one."""
    crashes: bool = False
    """Whether it may take the interpreter down and so runs in a process of its own."""
