"""A loss in float64 as its own reference, for a loss without an oracle: it finds instability, not a wrong formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch, NoReferenceError
from harness.contract import Contract
from harness.evaluate import Observation, adjoint_rounding, observe_rows
from harness.mapped import Mapped, can_be_mapped, mapped, mapped_rounding
from harness.ulp import FLOAT64, Array
from reference.truth import Output, Truth, output, trailing

SELF_REFERENCED = "self-referenced: finds instability, not a wrong formula"
GRADIENTS_SELF_REFERENCED = "gradients self-referenced: of these, finds instability, not a wrong formula"


Values = Callable[..., Any]
"""An oracle of a user: float64 arrays by name, rows first -> values (R,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large and how steep a loss is at inputs up to 1, so that a factor of the loss is one of its bounds."""

    value: float = 1.0
    """Upper quartile of the values that are not 0."""
    slope: float = 1.0
    """Upper quartile of the slopes that are not 0: of the sums over an argument, the largest of a row."""

    @property
    def text(self) -> str:
        """What a Contract says of it."""
        return (
            f"B_ref = abs(f); B_abs = {self.value:.3g} + {self.slope:.3g} x, x the largest input magnitude, for the "
            f"values and slopes of the loss at inputs up to 1; of a gradient {self.slope:.3g} (1 + x) + its largest "
            "entry in the row, + what rounding of the adjoints moves, times 1/u"
        )


def scale_of(truths: Sequence[Truth]) -> Scale:
    """The Scale of a loss by what it is at inputs up to 1."""
    values = np.abs(np.concatenate([t.value.exact for t in truths]))
    slope, value = _upper(np.concatenate([_slopes(t) for t in truths])), _upper(values)
    return Scale(value=value or slope or 1.0, slope=slope or value or 1.0)


def unit(contract: Contract, batch: Batch) -> Batch:
    """The rows with the numbers of every real argument divided by the largest where that is above 1, as far as legal.

    There no exponential is large and no prediction so right that its slope is gone. What is only legal together stays.
    """
    args = dict(batch.args)
    for arg in contract.args:
        if arg.name in args and not arg.kind.integral and not arg.shared and contract.arrange is None:
            smaller = args[arg.name] / np.maximum(_over_rows(args[arg.name], args[arg.name].ndim), 1.0)
            legal = arg.kind.legal_rows(smaller, batch.precision)
            args[arg.name] = np.where(trailing(legal, smaller.ndim), smaller, args[arg.name])
    return replace(batch, args=args)


def _slopes(truth: Truth) -> Array:
    """The slope of every row."""
    each = [np.abs(g.exact).reshape(len(g.exact), -1).sum(axis=1) for g in truth.gradients.values()]
    steepest: Array = np.max(each, axis=0) if each else np.zeros(0)
    return steepest


def _upper(sizes: Array) -> float:
    """The upper quartile of the sizes that are numbers and not 0; 0 where none is."""
    known = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    return float(np.sort(known)[3 * len(known) // 4]) if known.size else 0.0


def _over_rows(array: npt.NDArray[Any], ndim: int) -> Array:
    widest: Array = np.max(np.abs(array).reshape(len(array), -1), axis=1, initial=0.0)
    return widest.reshape((-1,) + (1,) * (ndim - 1))


def _largest(args: Mapping[str, npt.NDArray[Any]], rows: int) -> Array:
    """The largest finite magnitude of a real input in every row."""
    largest = np.zeros(rows)
    for array in args.values():
        if not np.issubdtype(array.dtype, np.integer):
            widest = _over_rows(array, 1)
            largest = np.fmax(largest, np.where(np.isfinite(widest), widest, 0.0))
    return largest


def _truth(value: Array, gradients: Mapping[str, Array], args: Mapping[str, npt.NDArray[Any]], scale: Scale) -> Truth:
    """Exact numbers without scales of their own."""
    largest = _largest(args, len(value))

    def slope(exact: Array) -> Output:
        own = _over_rows(np.nan_to_num(exact, posinf=0.0, neginf=0.0), exact.ndim)
        inputs = largest.reshape(own.shape) if len(own) == len(largest) else largest.max(initial=0.0)
        absolute = scale.slope * (1.0 + inputs) + own
        return output(exact, accumulation=np.abs(exact), underflow=scale.slope, absolute=absolute)

    return Truth(
        value=output(
            value,
            accumulation=np.abs(value),
            underflow=scale.value,
            absolute=scale.value + scale.slope * largest,
        ),
        gradients={n: slope(g) for n, g in gradients.items()},
    )


class Itself:
    """The reference made of a Subject in float64; the values are those of ``values`` where it is given."""

    def __init__(self, subject: Subject, values: Values | None = None, scale: Scale | None = None) -> None:
        self.subject, self.values, self.scale = subject, values, scale or Scale()
        self.integral = {a.name: a.kind.integral for a in subject.contract.args}
        self._mapped: bool | None = None

    def truth(self, **args: Any) -> Truth:
        """The oracle. Raises NoReferenceError where the Subject or ``values`` give nothing."""
        batch = self._batch(args)
        seen: Mapped | Observation | None = mapped(self.subject, batch) if self.maps(batch) else None
        if seen is None:
            seen = observe_rows(self.subject, batch)
            if seen.raised is not None or seen.value is None:
                name = self.subject.name
                where = batch if seen.raised is None else seen.raised.batch
                raise NoReferenceError(f"{name} in float64: expected a result to refer to, got {seen.raised}", where)
        assert seen.value is not None
        if seen.value.shape != (rows := batch.rows(self.subject.contract),):
            said = f"expected one value a row, shape ({rows},), got {seen.value.shape}"
            raise NoReferenceError(f"{self.subject.name} in float64: {said}", batch)
        own = seen.value if self.values is None else asked(self.values, batch, len(seen.value))
        return _truth(own, seen.gradients, batch.args, self.scale)

    def adjoints(self, args: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, Array]:
        """How far rounding inside the backward pass moves the gradients: see ``harness.adjoints``."""
        batch = self._batch(args)
        return mapped_rounding(self.subject, batch) if self.maps(batch) else adjoint_rounding(self.subject, batch)

    def _batch(self, args: Mapping[str, Any]) -> Batch:
        exact = {
            n: np.asarray(a, np.int64 if self.integral[n] else np.float64)
            for n, a in args.items()
            if n in self.integral and a is not None
        }
        return Batch(args=exact, precision=FLOAT64)

    def maps(self, batch: Batch) -> bool:
        """Whether all rows share a call, which is found out once."""
        if self._mapped is None:
            self._mapped = not self.subject.takes_none and can_be_mapped(self.subject, batch)
        return self._mapped


def asked(values: Values, batch: Batch, rows: int) -> Array:
    """What the oracle of a user gives. Raises NoReferenceError unless it is one finite or infinite number a row."""
    with np.errstate(all="ignore"):
        try:
            found = np.asarray(values(**batch.args), np.float64)
        except Exception as error:
            said = f"oracle: expected values, got {type(error).__name__}: {error}"
            raise NoReferenceError(said, batch) from None
    if found.shape != (rows,):
        raise NoReferenceError(f"oracle: expected one value a row, shape ({rows},), got {found.shape}", batch)
    return found


def referenced(subject: Subject, batch: Batch, calm: Batch, values: Values | None = None) -> Subject:
    """The Subject with a reference of its own in its Contract, in the scale that the loss has at calm rows up to 1.

    Raises NoReferenceError where ``batch`` has none.
    """
    plain = Itself(subject, values)
    few = plain.truth(**batch.args)
    # Apart, since rows may spoil each other, which is for the checks to find.
    small = unit(subject.contract, calm)
    rows = [small.take(subject.contract, slice(r, r + 1)) for r in range(small.rows(subject.contract))]
    try:
        scale = scale_of([plain.truth(**row.args) for row in (rows if subject.takes_none else [small])])
    except NoReferenceError:  # some row is outside its domain
        scale = scale_of([few])
    own = Itself(subject, values, scale)
    dear = not subject.takes_none and not own.maps(batch)
    contract = replace(
        subject.contract,
        oracle=own.truth,
        adjoints=own.adjoints,
        one_by_one=dear,
        scales=scale.text,
        slope=scale.slope,
    )
    return replace(subject, contract=contract)
