"""What an oracle returns: every output of a loss in float64, with the scales its bounds are made of."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Scalar = TypeVar("Scalar", np.float64, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """What it costs that a rounding, or an underflow, carries a choice between two branches to the wrong one.

    Every field broadcasts against the output. An implementation errs by at most a small multiple of
    ``u * rounding + eta * underflow``, and never by more than ``jump``.
    """

    rounding: Array
    underflow: Array
    jump: Array
    """Distance to the other branch."""

    def each(self, change: Callable[[Array], Array]) -> Astray:
        """The same of an output that is changed by ``change``, rows or units."""
        return Astray(rounding=change(self.rounding), underflow=change(self.underflow), jump=change(self.jump))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a loss, its value or its gradient in one argument, at many points.

    Every field is float64 and broadcasts against ``exact``. With u the unit roundoff of the dtype under test, eta its
    smallest subnormal and h the summation depth, an implementation as good as the best known algorithm errs by at most
    a small multiple of ``u * reference + u_accumulator * h * accumulation + eta * underflow``, and by what its choices
    add where they go astray.
    """

    exact: Array
    reference: Array
    """Running-error scale of the best known algorithm (B_ref)."""
    accumulation: Array
    """Scale of the sums inside one unreduced loss (B_acc)."""
    underflow: Array
    """Sum of abs(d output / d t_k) over the named intermediates t_k, each of which may underflow by eta."""
    absolute: Array
    """Scale below which every relative digit may be lost without harm to training (B_abs)."""
    interval: tuple[Array, Array] | None = None
    """At kinks and ties: the subdifferential, lowest and highest admissible entry. None means exact everywhere."""
    partial: tuple[Array, Array] | None = None
    """Smallest and largest magnitude of a partial product or partial sum that the formula as written passes through."""
    astray: tuple[Astray, ...] = ()
    """One for every choice that a rounding may decide."""

    def rows(self, index: npt.NDArray[np.intp]) -> Output:
        """The same output at some of its rows (the first axis)."""
        shape = np.shape(self.exact)

        def take(array: Array) -> Array:
            """What is the same in all rows stays as it is."""
            own = np.shape(array)
            return array[index] if len(own) == len(shape) and own[0] == shape[0] else array

        def both(pair: tuple[Array, Array] | None) -> tuple[Array, Array] | None:
            return None if pair is None else (take(pair[0]), take(pair[1]))

        return Output(
            exact=self.exact[index],
            reference=take(self.reference),
            accumulation=take(self.accumulation),
            underflow=take(self.underflow),
            absolute=take(self.absolute),
            interval=both(self.interval),
            partial=both(self.partial),
            astray=tuple(a.each(take) for a in self.astray),
        )


def output(
    exact: Array,
    *,
    reference: Array | None = None,
    accumulation: Array | float = 0.0,
    underflow: Array | float = 1.0,
    absolute: Array | float,
    interval: tuple[Array, Array] | None = None,
    partial: tuple[Array, Array] | None = None,
    astray: tuple[Astray, ...] = (),
) -> Output:
    """An :class:`Output` whose reference scale defaults to abs(exact), the scale of a loss accurate to a few ulp."""
    return Output(
        exact=exact,
        reference=np.abs(exact) if reference is None else reference,
        accumulation=np.asarray(accumulation, np.float64),
        underflow=np.asarray(underflow, np.float64),
        absolute=np.asarray(absolute, np.float64),
        interval=interval,
        partial=partial,
        astray=astray,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The unreduced loss and its closed-form gradients at R rows.

    ``value.exact`` has shape (R,): one row is one loss value. ``gradients[name].exact`` has shape (R, *row shape of the
    argument) and holds d value[r] / d argument[r]; an argument shared by all rows (a projection matrix) has the shape
    of the argument itself and holds the sum over rows weighted by ``upstream``.
    """

    value: Output
    gradients: Mapping[str, Output] = field(default_factory=dict)

    def outputs(self) -> dict[str, Output]:
        """Every output by name; the value is called ``value``, a gradient by its argument."""
        return {"value": self.value, **self.gradients}

    def rows(self, index: npt.NDArray[np.intp], shared: Container[str] = ()) -> Truth:
        """The truth at some rows; gradients of ``shared`` arguments have no rows and are left out."""
        kept = {name: g.rows(index) for name, g in self.gradients.items() if name not in shared}
        return replace(self, value=self.value.rows(index), gradients=kept)


def trailing(array: npt.NDArray[Scalar], ndim: int) -> npt.NDArray[Scalar]:
    """``array`` of shape (R,) with unit axes appended up to ``ndim`` dimensions, to scale (R, ...) row by row."""
    return np.reshape(array, np.shape(array) + (1,) * (ndim - np.ndim(array)))
