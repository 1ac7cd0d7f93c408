"""A loss in float64 as its own reference, for a loss without an oracle: it finds instability, not a wrong formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.cases import Batch
from harness.evaluate import observe_rows
from harness.mapped import can_be_mapped, mapped
from harness.ulp import FLOAT64, Array
from reference.truth import Output, Truth, output

SELF_REFERENCED = "self-referenced: finds instability, not a wrong formula"
GRADIENTS_SELF_REFERENCED = "gradients self-referenced: of these, finds instability, not a wrong formula"
NO_SCALES = "B_ref = abs(f); B_abs = 1 + the largest input magnitude, of a gradient also + its largest entry in the row"

Values = Callable[..., Any]
"""An oracle of a user: float64 arrays by name, rows first -> values (R,)."""


class NoReferenceError(RuntimeError):
    """The loss in float64, or the oracle of a user, gives no reference."""


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


def _truth(value: Array, gradients: Mapping[str, Array], args: Mapping[str, npt.NDArray[Any]]) -> Truth:
    """Exact numbers without scales of their own: see NO_SCALES."""
    largest = _largest(args, len(value))

    def slope(exact: Array) -> Output:
        own = _over_rows(np.nan_to_num(exact, posinf=0.0, neginf=0.0), exact.ndim)
        inputs = largest.reshape(own.shape) if len(own) == len(largest) else largest.max(initial=0.0)
        return output(exact, accumulation=np.abs(exact), absolute=1.0 + inputs + own)

    return Truth(
        value=output(value, accumulation=np.abs(value), absolute=1.0 + largest),
        gradients={n: slope(g) for n, g in gradients.items()},
    )


def reference(subject: Subject, values: Values | None = None) -> Callable[..., Truth]:
    """An oracle made of the Subject in float64; the values are those of ``values`` where it is given."""
    contract = subject.contract
    kinds = {a.name: a.kind.integral for a in contract.args}

    works: bool | None = None

    def oracle(**args: Any) -> Truth:
        nonlocal works
        exact = {
            n: np.asarray(a, np.int64 if kinds[n] else np.float64)
            for n, a in args.items()
            if n in kinds and a is not None
        }
        batch = Batch(args=exact, precision=FLOAT64)
        if works is None:
            works = not subject.takes_none and can_be_mapped(subject, batch)
        if works and (many := mapped(subject, batch)) is not None:
            own = many.value if values is None else asked(values, exact, len(many.value))
            return _truth(own, many.gradients, exact)
        seen = observe_rows(subject, batch)
        if seen.raised is not None or seen.value is None:
            raise NoReferenceError(f"{subject.name} in float64: expected a result to refer to, got {seen.raised}")
        own = seen.value if values is None else asked(values, exact, len(seen.value))
        return _truth(own, seen.gradients, exact)

    return oracle


def asked(values: Values, args: Mapping[str, npt.NDArray[Any]], rows: int) -> Array:
    """What the oracle of a user gives. Raises NoReferenceError unless it is one finite or infinite number a row."""
    with np.errstate(all="ignore"):
        try:
            found = np.asarray(values(**args), np.float64)
        except Exception as error:
            raise NoReferenceError(f"oracle: expected values, got {type(error).__name__}: {error}") from None
    if found.shape != (rows,):
        raise NoReferenceError(f"oracle: expected one value a row, shape ({rows},), got {found.shape}")
    return found


def referenced(subject: Subject, values: Values | None = None) -> Subject:
    """The Subject with a reference of its own in its Contract."""
    oracle = reference(subject, values)
    contract = replace(subject.contract, oracle=oracle)
    return replace(subject, contract=contract)
