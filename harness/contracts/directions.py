"""Parts of the contracts of losses of cosines: only the directions of vectors count, of a size that has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Arrange
from harness.deviations import Points
from harness.laws import Law, Moved, everywhere
from harness.special import Special

SHORTEST, LONGEST = 2.0**-6, 2.0**6
NO_DIRECTION = "a vector with an infinite entry has no direction"
EXTREME = "embeddings have a largest entry from 2**-6 to 2**6"


def _embedded(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Vectors whose largest entry is not from 2**-6 to 2**6 keep the fractions of their entries; none is 0."""
    largest = np.abs(x).max(axis=-1, keepdims=True)
    kept: npt.NDArray[np.float64] = np.where((largest >= SHORTEST) & (largest <= LONGEST), x, np.frexp(x)[0])
    kept[..., :1] = np.where(largest == 0.0, 1.0, kept[..., :1])
    return kept


def embedded(names: Sequence[str]) -> Arrange:
    """Give the vectors of some arguments a size at which they have a direction."""

    def arrange(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {**args, **{name: _embedded(np.asarray(args[name], np.float64)) for name in names}}

    return arrange


def beginning(argument: str, value: str, place: Callable[[list[Any]], Any], beside: Mapping[str, Any]) -> Special:
    """A vector that begins with a special value, put into its argument by ``place``."""
    extreme = value.endswith(("largest", "inf"))
    return Special(
        condition=f"{argument} begins with {value}",
        args={**beside, argument: place([value, 3.0])},
        want="nan" if value == "nan" else "outside" if extreme else "formula",
        reason=(NO_DIRECTION if value.endswith("inf") else EXTREME) if extreme else "",
        covers=((argument, value),),
    )


def _moved(at: Points, names: Sequence[str], move: Callable[[Any], Any]) -> Moved:
    args = {**at.args, **{name: move(np.asarray(at[name])) for name in names}}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _flipped(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.flip(x, axis=1).copy()


def reordered(names: Sequence[str], what: str) -> Law:
    """The elements of a batch in the opposite order."""
    return Law(name=f"the order of {what} does not matter", move=partial(_moved, names=names, move=_flipped))


def lengthened(names: Sequence[str], what: str, gradients: Sequence[str]) -> Law:
    """All vectors twice as long, exactly: gradients of vectors are half as large."""
    return Law(
        name=f"the length of {what} does not matter",
        move=partial(_moved, names=names, move=lambda x: 2.0 * x),
        gradients={n: (n, 0.5) for n in gradients},
    )
