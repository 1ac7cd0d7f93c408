"""What a loss must do, whoever implements it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deviations import Deviation, Points
from harness.domain import Arg, ClassIndex, ignored_index
from harness.laws import Law
from harness.special import ErrorInput, Special
from harness.ulp import Precision
from reference.definition import Definition
from reference.reductions import mean, total
from reference.truth import Array, Truth

Oracle = Callable[..., Truth]
Coefficients = Callable[[Mapping[str, Any], tuple[int, ...]], Array]
Masks = Callable[[Points], npt.NDArray[np.bool_]]

LAYOUTS = ("rows", "matrix", "strided", "single", "spatial")
"""``rows``: the batch as it is; ``matrix``: two batch dimensions; ``strided``: not contiguous; ``single``: one row
without a batch dimension; ``spatial``: (N, C, d) with the rows spread over N and d."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A keyword of the loss that is no tensor, with the values that are judged; the first is the default."""

    name: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"Parameter {self.name}: expected at least one value, got none")

    def admits(self, value: Any) -> bool:
        """Whether the oracle can be asked for a value.

        It is of a type that the parameter has: whole numbers are real ones too where not all values are whole, and of a
        switch with one position only that one is known.
        """
        if len(self.values) == 1:
            return bool(value == self.values[0])
        return any(type(value) is type(v) or (type(value) is int and type(v) is float) for v in self.values)


Adjoints = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, Array]]
"""Arguments by name -> how far rounding moves each gradient: see ``Contract.adjoints``."""
Arrange = Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]
"""(drawn arguments, parameters) -> arguments that are legal together; pure."""
SCALAR_REDUCTIONS: Mapping[str, Coefficients] = MappingProxyType({"sum": total, "mean": mean})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One loss. Derive a variant with ``dataclasses.replace``."""

    name: str
    """The name in torch.nn.functional, or the field's standard name."""
    module: str = ""
    """The class name that ``like`` takes too."""
    summary: str
    formula: str
    sources: tuple[str, ...]
    args: tuple[Arg, ...]
    oracle: Oracle
    definition: Definition | None = None
    """The same in mpmath, a row at a time: certifies the oracle, and judges float64. None: the oracle alone does."""
    parameters: tuple[Parameter, ...] = ()
    dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Sizes that each named dimension takes."""
    reductions: Mapping[str, Coefficients] = field(default_factory=lambda: SCALAR_REDUCTIONS)
    """Beside ``none``, which every loss is judged by."""
    scales: str = "B_ref = abs(f); B_abs as in the oracle"
    layouts: tuple[str, ...] = ("rows", "matrix", "strided", "single")
    specials: tuple[Special, ...] = ()
    laws: tuple[Law, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    varied_by: Mapping[str, str] = field(default_factory=dict)
    """Parameter whose other values only one law or special row can use -> the name of that law or row."""
    errors: tuple[ErrorInput, ...] = ()
    coupled: bool = False
    """Whether one row is one whole call, of a loss that ties the elements of a batch together: tensors are handed over
    without an axis for the rows, and nothing is asked of several rows in one call."""
    caveat: str = ""
    """What is said beside every table where the loss in float64 stands in for an oracle; empty where there is one."""
    itself: bool = False
    """Whether the loss in float64 stands in for the values too, and no formula is known."""
    adjoints: Adjoints | None = None
    """How far rounding inside the backward pass moves every gradient, where no oracle has its scales: arguments by
    name -> array of the shape of each gradient, in units of u."""
    slope: float = 1.0
    """How steep the loss is at inputs up to 1, all numbers of an argument together, where it refers to itself."""
    one_by_one: bool = False
    """Whether the oracle calls the loss once for every row, which makes it dear."""
    near_kink: Masks | None = None
    """Rows so close to a kink that finite differences would cross it; they are left out of gradcheck."""
    ignores: int | None = None
    """The class index of elements that do not count, of a declared loss that has one."""
    arrange: Arrange | None = None
    """Mends drawn arguments that are only legal together."""

    def __post_init__(self) -> None:
        names = [a.name for a in self.args] + [p.name for p in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"Contract {self.name}: expected distinct names, got {name!r} twice")
        for arg in self.args:
            missing = [d for d in arg.dims if d not in self.dims]
            if missing:
                raise ValueError(f"Contract {self.name}: argument {arg.name}: expected sizes for {missing}, got none")
        for layout in self.layouts:
            if layout not in LAYOUTS:
                raise ValueError(f"Contract {self.name}: layout: expected one of {LAYOUTS}, got {layout!r}")

    @property
    def own_gradients(self) -> bool:
        """Whether the loss in float64 stands in for the gradients, as of every loss that is declared by its inputs."""
        return self.adjoints is not None

    @property
    def scalar(self) -> bool:
        """Whether every argument is one number a row, so that the whole plane can be swept."""
        return all(a.scalar for a in self.args)

    def arg(self, name: str) -> Arg:
        for candidate in self.args:
            if candidate.name == name:
                return candidate
        raise KeyError(f"Contract {self.name}: expected one of {[a.name for a in self.args]}, got {name!r}")

    def legal_rows(
        self, arguments: Mapping[str, Any], precision: Precision, names: Collection[str] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Rows in which each of the arguments, or each of ``names``, is in its domain; shape (R,)."""
        judged = [a for a in self.args if a.name in arguments and not a.shared and (names is None or a.name in names)]
        found = [a.kind.legal_rows(np.asarray(arguments[a.name]), precision) for a in judged]
        return np.asarray(np.logical_and.reduce(found), np.bool_)

    def pinned(self, options: Mapping[str, Any]) -> Contract:
        """The Contract with the one value of ``options`` for each of its parameters that is among them.

        Special rows whose result was written down for another value are judged by the formula; targets that are to be
        ignored are those that the value ignores, and calls that it makes legal need not raise. Raises ValueError, in
        one line, for a value that the oracle does not know.
        """
        for parameter in self.parameters:
            if parameter.name in options and not parameter.admits(options[parameter.name]):
                raise ValueError(
                    f"{self.name}: {parameter.name}: expected a value such as "
                    f"{', '.join(map(repr, parameter.values))}, got {options[parameter.name]!r}"
                )
        if not options:
            return self
        moved = {p.name for p in self.parameters if p.name in options and options[p.name] != p.values[0]}
        chosen = tuple(replace(p, values=(options[p.name],)) if p.name in options else p for p in self.parameters)
        rows = tuple(self._moved(row, {n: options[n] for n in moved}) for row in self.specials)
        errors = tuple(e for e in self.errors if not any(n in options and options[n] == v for n, v in e.legal.items()))
        return replace(self, parameters=chosen, specials=rows, errors=errors)

    def _moved(self, row: Special, options: Mapping[str, Any]) -> Special:
        """A special row where parameters that it does not set are at other values than their default."""
        told = {n: v for n, v in options.items() if n not in row.parameters}
        args = dict(row.args)
        for name, values in row.args.items():
            kind = self.arg(name).kind
            if not isinstance(kind, ClassIndex) or kind.ignored not in told:
                continue
            default = next(p.values[0] for p in self.parameters if p.name == kind.ignored)
            before, now = ignored_index(default), ignored_index(told[kind.ignored])
            if before in values:
                args[name] = [now if v == before else v for v in values]
                if now not in values:  # else other rows are ignored too
                    del told[kind.ignored]
        formula = bool(told) and row.want not in ("outside", "formula")
        return replace(row, args=args, want="formula") if formula else replace(row, args=args)

    def settled(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """``parameters``, and those that are not given at their defaults."""
        return {p.name: p.values[0] for p in self.parameters} | dict(parameters)

    def truth(
        self, arguments: Mapping[str, Any], parameters: Mapping[str, Any], upstream: Array | None = None
    ) -> Truth:
        """The oracle at these arguments; ``upstream`` (R,) weighs the rows in gradients of shared arguments."""
        shared = any(a.shared and a.differentiable for a in self.args)
        extra = {"upstream": upstream} if shared and upstream is not None else {}
        with np.errstate(all="ignore"):
            return self.oracle(**arguments, **self.settled(parameters), **extra)
