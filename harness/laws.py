"""Metamorphic relations between cases, declared per Contract and judged with the bounds of both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deviations import Points
from harness.ulp import Array, round_to

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The other side of a relation: new arguments, and the rows where the precondition holds exactly in the dtype."""

    args: Mapping[str, Any]
    parameters: Mapping[str, Any]
    applies: Mask
    factor: Array | float = 1.0
    """Value after = factor * value before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """value(move(case)) = factor * value(case), and the same for the gradients that are named."""

    name: str
    move: Callable[[Points], Moved]
    needs: tuple[str, ...] = ()
    """Parameters and optional tensors without which the relation applies nowhere."""
    gradients: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Gradient after -> (gradient before, sign)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inequality(Law):
    """value >= 0, up to the bound, where it applies; ``move`` only says where (its arguments are judged)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanishing(Law):
    """value = 0 at the moved arguments, up to the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAbove(Law):
    """value(move(case)) <= value(other(case)), up to the bounds of both, of calm cases."""

    other: Callable[[Points], Moved]
    says: str
    """What may be wrong where it is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling(Law):
    """value(case) = factor * sibling(moved case) for another loss, built from torch by ``loss``."""

    loss: Callable[[Any], Callable[..., Any]]
    """(torch) -> callable(**tensors, **parameters) that gives the unreduced loss."""
    real: tuple[str, ...] = ()
    """Moved arguments in the dtype under test; the others keep their integer dtype."""


def everywhere(points: Points) -> Mask:
    return np.ones(np.shape(points.truth.value.exact), np.bool_)


def non_negative(where: Callable[[Points], Mask] = everywhere, name: str = "never below 0") -> Inequality:
    """The loss is at least 0 wherever ``where`` holds."""
    return Inequality(name=name, move=lambda at: Moved(args=at.args, parameters=at.parameters, applies=where(at)))


def exchanged(first: str, second: str, *, factor: float = 1.0, name: str = "") -> Law:
    """f(x, y) = f(y, x)."""

    def move(at: Points) -> Moved:
        args = dict(at.args) | {first: at[second], second: at[first]}
        return Moved(args=args, parameters=at.parameters, applies=everywhere(at), factor=factor)

    return Law(
        name=name or f"symmetric in {first} and {second}",
        move=move,
        gradients={first: (second, factor), second: (first, factor)},
    )


def perfect(argument: str, target: str, *, name: str = "0 at a perfect prediction") -> Vanishing:
    """f(y, y) = 0."""

    def move(at: Points) -> Moved:
        args = dict(at.args) | {argument: np.asarray(at[target], np.float64).copy()}
        return Moved(args=args, parameters=at.parameters, applies=everywhere(at))

    return Vanishing(name=name, move=move)


def scaled(
    arguments: tuple[str, ...],
    power: float,
    degree: float,
    *,
    name: str = "",
    where: Callable[[Points], Mask] = everywhere,
) -> Law:
    """f(2**power * x) = 2**(power * degree) * f(x) where the scaling is exact and nothing leaves the normal range."""

    def move(at: Points) -> Moved:
        p = at.precision
        moved = dict(at.args)
        applies = where(at)
        for argument in arguments:
            x = np.asarray(at[argument], np.float64)
            y = x * 2.0**power
            safe = (np.abs(y) <= p.largest * 2.0**-8) & (
                (np.abs(np.minimum(np.abs(x), np.abs(y))) >= p.smallest_normal * 2.0**8) | (x == 0)
            )
            applies = applies & safe.reshape(len(applies), -1).all(axis=1)
            moved[argument] = round_to(p, y)
        return Moved(args=moved, parameters=at.parameters, applies=applies, factor=2.0 ** (power * degree))

    return Law(
        name=name or f"scaling {' and '.join(arguments)} by 2**{power:g} scales the loss by 2**{power * degree:g}",
        move=move,
    )


def permuted(
    arguments: tuple[str, ...],
    *,
    index: str | None = None,
    per_class: tuple[str, ...] = (),
    ignored: str = "ignore_index",
    name: str = "order of classes does not matter",
) -> Law:
    """Reversing the last axis of ``arguments`` (and of shared ``per_class`` vectors) and renaming class indices.

    Where ``ignored`` names a class, no other class may take that name.
    """

    def move(at: Points) -> Moved:
        moved = dict(at.args)
        applies = everywhere(at)
        width = np.shape(at[arguments[0]])[-1]
        for argument in (*arguments, *per_class):
            if argument in moved:
                moved[argument] = np.flip(np.asarray(moved[argument]), axis=-1).copy()
        if index is not None and np.ndim(moved[index]) == 1:
            t = moved[index]
            counts = t != at.parameters.get(ignored, -100)
            moved[index] = np.where((t >= 0) & (t < width) & counts, width - 1 - t, t)
            applies = applies & (counts == (moved[index] != at.parameters.get(ignored, -100)))
        return Moved(args=moved, parameters=at.parameters, applies=applies)

    return Law(name=name, move=move)
