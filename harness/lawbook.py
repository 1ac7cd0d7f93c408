"""Laws by name, for a loss that is declared by its inputs: ``shift_invariant(logits)``, ``symmetric(x, y)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Interval, Simplex
from harness.laws import Law, Moved, NotAbove, everywhere, exchanged, non_negative, perfect, permuted, scaled
from harness.predictions import Pair, class_axis, labelled, measured, sides, tells_labels
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


def lowest_at_perfect(prediction: Arg, target: Arg) -> NotAbove:
    """No prediction costs less than the target itself."""
    p, t = prediction.name, target.name
    if prediction.dims != target.dims:
        raise TypeError(f"expected {p} and {t} of the same dimensions")

    def perfect(at: Points) -> Moved:
        same = np.array(at[t], np.float64)
        return Moved(args={**at.args, p: same}, parameters=at.parameters, applies=everywhere(at))

    def drawn(at: Points) -> Moved:
        return Moved(args=at.args, parameters=at.parameters, applies=everywhere(at))

    return NotAbove(
        name=f"a perfect prediction costs the least ({p} = {t})",
        move=perfect,
        other=drawn,
        says=f"{p} = {t} costs more than another {p}: is the sign turned, or the formula wrong? Where {p} is a score "
        "and not measured as the target is, declare it by logits",
    )


def right_costs_less(prediction: Arg, target: Arg, weights: Sequence[Arg] = ()) -> NotAbove:
    """What is sure of the right label, class or distribution costs no more than what is sure of a wrong one.

    ``weights`` are 1.
    """
    p, t = prediction.name, target.name
    if not tells_labels(prediction, target):
        raise TypeError(f"expected scores or probabilities {p} of labels, classes or a distribution {t}")
    pair = Pair(prediction=prediction, target=target)

    def moved(at: Points, which: str) -> Moved:
        axis = class_axis(prediction, target)
        classes = np.shape(at[p])[-1 if axis is None and isinstance(target.kind, Simplex) else axis or 0]
        found = sides(pair, at[t], at.precision, classes)
        # What weighs classes may weigh a share that is smoothed to a wrong one more than the label.
        ones = {w.name: np.ones_like(at.args[w.name]) for w in weights if w.name in at.args}
        args = {**at.args, **ones, p: getattr(found, which), t: found.target}
        return Moved(args=args, parameters=at.parameters, applies=everywhere(at))

    return NotAbove(
        name=f"a right {p} costs no more than a wrong one",
        move=lambda at: moved(at, "right"),
        other=lambda at: moved(at, "wrong"),
        says=f"{p} that is sure of the right {t} costs more than one that is sure of a wrong one: is the sign turned? "
        f"Where a larger {p} is meant to speak against {t}, declare it by real",
    )


def implied(args: Sequence[Arg]) -> list[NotAbove]:
    """The laws of the one prediction and its target that kinds and names of the arguments tell; none where they tell
    no such pair."""
    if (pair := labelled(args)) is not None:
        weights = [a for a in args if a.role == "weight" and isinstance(a.kind, Interval)]
        return [right_costs_less(pair.prediction, pair.target, weights)]
    if (pair := measured(args)) is not None:
        return [lowest_at_perfect(pair.prediction, pair.target)]
    return []


BOOK: Mapping[str, Callable[..., Law]] = {
    "non_negative": _non_negative,
    "shift_invariant": shift_invariant,
    "scale_invariant": scale_invariant,
    "permutation_invariant": permutation_invariant,
    "symmetric": symmetric,
    "zero_at_perfect": zero_at_perfect,
}
OF_PREDICTIONS: Mapping[str, Callable[[Arg, Arg], Law]] = {
    "lowest_at_perfect": lowest_at_perfect,
    "right_costs_less": right_costs_less,
}
"""Laws that depend on the kinds of their arguments."""
WRITTEN = re.compile(r"(\w+)(?:\(([\w\s,]*)\))?$")


def law(text: str | Law, args: Sequence[Arg]) -> Law:
    """The law that ``text`` names, over some of the arguments. Raises UnknownLawError in one line."""
    if isinstance(text, Law):
        return text
    names = {a.name: a for a in args}
    found = WRITTEN.match(text.strip())
    if found is None or found[1] not in {**BOOK, **OF_PREDICTIONS}:
        known = ", ".join((*BOOK, *OF_PREDICTIONS))
        raise UnknownLawError(f"law {text!r}: expected one of {known}, with its arguments in brackets")
    arguments = [a.strip() for a in (found[2] or "").split(",") if a.strip()]
    unknown = [a for a in arguments if a not in names]
    if unknown:
        raise UnknownLawError(f"law {text!r}: expected arguments among {', '.join(names)}, got {', '.join(unknown)}")
    try:
        if found[1] in OF_PREDICTIONS:
            return OF_PREDICTIONS[found[1]](*(names[a] for a in arguments))
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
