"""Laws by name, for a loss that is declared by its inputs: ``shift_invariant(logits)``, ``symmetric(x, y)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.laws import Law, Moved, everywhere, exchanged, non_negative, perfect, permuted, scaled
from harness.ulp import round_to

SHIFT = 4.0
POWER = 3.0


class UnknownLawError(ValueError):
    """A law that is not one of the book or does not fit its arguments; one line that says thing, expected, got."""


def shift_invariant(argument: str) -> Law:
    """A constant added to all entries of an argument changes nothing, where the sum is exact."""

    def move(at: Points) -> Moved:
        x = np.asarray(at[argument], np.float64)
        moved = round_to(at.precision, x + SHIFT)
        with np.errstate(invalid="ignore"):
            exact = ((moved - SHIFT == x) & (moved == x + SHIFT)).reshape(len(x), -1).all(axis=1)
        return Moved(args={**at.args, argument: moved}, parameters=at.parameters, applies=exact)

    return Law(name=f"adding {SHIFT:g} to all of {argument} changes nothing", move=move)


def scale_invariant(*arguments: str) -> Law:
    """A power of two that multiplies the arguments changes nothing."""
    return scaled(arguments, POWER, 0.0, name=f"{' and '.join(arguments)} times {2**POWER:g} change nothing")


def permutation_invariant(*arguments: str) -> Law:
    """The order of the last axis of the arguments, which is the same in all of them, does not matter."""
    return permuted(arguments, name=f"the order along {' and '.join(arguments)} does not matter")


def symmetric(first: str, second: str) -> Law:
    """Two arguments may be exchanged."""
    return exchanged(first, second)


def zero_at_perfect(argument: str, target: str) -> Law:
    """The loss is 0 where an argument equals the target."""
    return perfect(argument, target)


def _non_negative() -> Law:
    return non_negative()


BOOK: Mapping[str, Callable[..., Law]] = {
    "non_negative": _non_negative,
    "shift_invariant": shift_invariant,
    "scale_invariant": scale_invariant,
    "permutation_invariant": permutation_invariant,
    "symmetric": symmetric,
    "zero_at_perfect": zero_at_perfect,
}
WRITTEN = re.compile(r"(\w+)(?:\(([\w\s,]*)\))?$")


def law(text: str | Law, names: Sequence[str]) -> Law:
    """The law that ``text`` names, over arguments among ``names``. Raises UnknownLawError in one line."""
    if isinstance(text, Law):
        return text
    found = WRITTEN.match(text.strip())
    if found is None or found[1] not in BOOK:
        raise UnknownLawError(f"law {text!r}: expected one of {', '.join(BOOK)}, with its arguments in brackets")
    arguments = [a.strip() for a in (found[2] or "").split(",") if a.strip()]
    unknown = [a for a in arguments if a not in names]
    if unknown:
        raise UnknownLawError(f"law {text!r}: expected arguments among {', '.join(names)}, got {', '.join(unknown)}")
    try:
        return BOOK[found[1]](*arguments)
    except TypeError as error:
        raise UnknownLawError(f"law {text!r}: {error}") from None


def order_of_batch(contract: Contract, dim: str) -> Law:
    """The elements of a batch that a coupled loss ties together come in any order."""
    axes = {a.name: 1 + a.dims.index(dim) for a in contract.args if dim in a.dims and not a.shared}

    def move(at: Points) -> Moved:
        flipped = {n: np.flip(np.asarray(at.args[n]), axis=axis).copy() for n, axis in axes.items() if n in at.args}
        return Moved(args={**at.args, **flipped}, parameters=at.parameters, applies=everywhere(at))

    return Law(name=f"the order of the batch ({dim}) does not matter", move=move)
