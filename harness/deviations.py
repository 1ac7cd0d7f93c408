"""Departures from the mathematics: documented ones (Deviation, of a Contract) and others (Fault, of one Subject)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from harness.bounds import DEFAULT_ORACLE_ULP, bounds
from harness.ulp import PRECISIONS, Array, Precision
from reference.truth import Output, Truth

Mask = npt.NDArray[np.bool_]
ALL_DTYPES = tuple(PRECISIONS)


@cache
def _torch() -> str:
    """Version of the installed torch without its build, which PEP 440 ranges do not name."""
    return Version(version("torch")).public


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The inputs of many cases as a region sees them: rows first, float64 exact in the dtype."""

    args: Mapping[str, Any]
    parameters: Mapping[str, Any]
    precision: Precision
    truth: Truth
    output: str = "value"
    """The output that is asked about."""

    def __getitem__(self, name: str) -> Any:
        """The argument or parameter; an optional tensor that is absent is 1."""
        if name in self.args:
            return self.args[name]
        return self.parameters.get(name, 1.0)

    @property
    def dtype(self) -> str:
        return self.precision.name


Region = Callable[[Points], Mask]
"""Rows, or entries, that the departure covers: shape (R,) or the shape of the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What Deviation and Fault share: a name, where, since when."""

    name: str
    where: str
    """The region in words."""
    region: Region
    outputs: tuple[str, ...]
    """``value`` or names of arguments whose gradients depart."""
    dtypes: tuple[str, ...] = ALL_DTYPES
    versions: str = ""
    """PEP 440 range of the versions of torch that show it; empty for all."""

    def __post_init__(self) -> None:
        SpecifierSet(self.versions)
        unknown = [d for d in self.dtypes if d not in PRECISIONS]
        if unknown:
            raise ValueError(f"{self.name}: dtypes: expected some of {ALL_DTYPES}, got {unknown}")
        if not self.outputs:
            raise ValueError(f"{self.name}: outputs: expected 'value' or argument names, got none")

    def in_force(self) -> bool:
        """Whether it is said of the installed torch."""
        return not self.versions or SpecifierSet(self.versions).contains(_torch(), prereleases=True)

    def covers(self, output: str, points: Points, shape: tuple[int, ...]) -> Mask:
        """Entries of an output of ``shape`` inside the region."""
        if output not in self.outputs or points.dtype not in self.dtypes:
            return np.zeros(shape, np.bool_)
        with np.errstate(all="ignore"):
            mask = np.asarray(self.region(replace(points, output=output)), np.bool_)
        mask = mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
        return np.broadcast_to(mask, shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation(Departure):
    """A documented departure.

    Inside the region the loss may follow the mathematics or the documentation, consistently.
    """

    documented: Callable[[Points, str], tuple[Array | Output, ...]]
    """The admissible results of an output beside the mathematics; an Output where they have scales of their own."""
    says: str
    """What the documentation says, in short."""
    source: str


def admitted(alternative: Array | Output, precision: Precision, constant: float) -> tuple[Array, Array]:
    """A documented result, and the error that rounding allows it: a few ulp, or what its own scales say."""
    if isinstance(alternative, Output):
        terms = int(np.prod(alternative.exact.shape[1:]))
        return alternative.exact, bounds(alternative, precision, constant, 0.0, terms, DEFAULT_ORACLE_ULP).reference
    return alternative, constant * (precision.u * np.abs(alternative) + precision.smallest_subnormal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a Fault shows inside its region, asserted: a second defect must not hide behind it."""

    text: str
    holds: Callable[[Array, Output, Points, Array], Mask]
    """(got, truth, points, absolute bound) -> entries where this is seen; all arrays of the output's shape."""
    exact: bool
    """Whether every entry of the region departs (inf, nan, zero, garbage), not only some (lost accuracy)."""


def _is(text: str, test: Callable[[Array], Mask]) -> Seen:
    return Seen(text=text, holds=lambda got, truth, points, bound: test(got), exact=True)


INFINITE = _is("inf where the truth is finite", np.isinf)
NAN = _is("nan where the truth is a number", np.isnan)
GARBAGE = _is("what is left in memory, by chance the right number", lambda got: np.ones(got.shape, np.bool_))
ZERO = _is("0 where the truth is not", lambda got: got == 0.0)
FINITE = _is("a finite number where the truth is not", np.isfinite)


def _absolute(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    with np.errstate(invalid="ignore"):
        return np.abs(got - truth.exact) <= bound


LOST_DIGITS = Seen(
    text="relative digits lost, error within the absolute bound (grade absolute-only)", holds=_absolute, exact=False
)


def _gone_or_lost(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    return np.asarray(~np.isfinite(got) | _absolute(got, truth, points, bound) | (got == 0.0), np.bool_)


PARTIAL = Seen(
    text="inf, nan, 0 or lost digits, since a partial product leaves the range", holds=_gone_or_lost, exact=False
)


def partial_leaves_range(output: str) -> Region:
    """Region of the points where a partial product that the oracle names leaves the normal range of the dtype."""

    def region(points: Points) -> Mask:
        wanted = points.truth.outputs()[output]
        if wanted.partial is None:
            return np.zeros(np.shape(wanted.exact), np.bool_)
        low, high = wanted.partial
        p = points.precision
        return np.broadcast_to((high > p.largest) | ((low > 0) & (low < p.smallest_normal)), np.shape(wanted.exact))

    return region


def nowhere(points: Points) -> Mask:
    """The region of a Fault that only rows of tables show."""
    return np.zeros(np.shape(points.truth.value.exact), np.bool_)


def exactly(text: str, compute: Callable[[Points, str], Array], output: str, tolerance_ulp: float = 16.0) -> Seen:
    """Seen where the result is ``compute(points, output)`` to ``tolerance_ulp`` ulp of the dtype."""

    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        with np.errstate(all="ignore"):
            want = compute(points, output)
            allowed = tolerance_ulp * (points.precision.u * np.abs(want) + points.precision.smallest_subnormal)
            near = np.abs(got - want) <= allowed
        beyond = np.isinf(got) & (np.abs(want) * (1 + tolerance_ulp * points.precision.u) > points.precision.largest)
        mask: Mask = (
            near | (got == want) | (np.isnan(got) & np.isnan(want)) | (beyond & (np.sign(got) == np.sign(want)))
        )
        return mask

    return Seen(text=text, holds=holds, exact=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Exact inputs that show a Fault, as ``float.hex`` text or numbers, one row."""

    args: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Departure):
    """An undocumented departure of one Subject. Never fails a run; heads the report."""

    seen: Seen
    witnesses: tuple[Witness, ...] = ()
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rows of tables that show it where no case of the sweep can, such as an empty batch: ``check: item`` -> the kinds
    of finding that are seen there."""
    upstream: str = "unreported"
    """Address of the upstream issue."""

    def __post_init__(self) -> None:
        Departure.__post_init__(self)
        if not self.witnesses and not self.rows:
            raise ValueError(f"Fault {self.name}: expected at least one witness or row, got none")
