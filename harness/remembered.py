"""What oracles have answered: the same rows come back in other reductions, layouts, checks, dtypes and losses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from reference.truth import Astray, Output, Truth

MOST = 2**27
"""Bytes of answers that a process keeps; the ones that were asked for last."""
LARGE = 2**17
"""Numbers in a question beyond which it is asked anew: blocks of a sweep come once, and would push out the rest."""


def worth_remembering(args: Mapping[str, npt.NDArray[Any]]) -> bool:
    return sum(a.size for a in args.values()) <= LARGE


def question(
    oracle: Callable[..., Truth],
    args: Mapping[str, npt.NDArray[Any]],
    parameters: Mapping[str, Any],
    upstream: npt.NDArray[np.float64] | None,
) -> Hashable:
    """Equal for the same oracle, names, shapes, dtypes and bits."""
    told = blake2b(digest_size=16)
    for name, array in (*args.items(), *([] if upstream is None else [("", upstream)])):
        told.update(f"{name} {array.dtype.str} {array.shape}".encode())
        told.update(array.tobytes())
    # What is equal need not be the same: 1 and True, 0.0 and -0.0.
    return oracle, told.digest(), tuple((name, repr(value), value) for name, value in parameters.items())


class Remembered:
    """Answers by question, in the order in which they were last asked for."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.size = most, 0
        self._answers: OrderedDict[Hashable, tuple[Truth, int]] = OrderedDict()

    def answer(self, question: Hashable, ask: Callable[[], Truth]) -> Truth:
        """What is known, or what ``ask`` says, which is known from then on; a parameter may be a list or a tensor."""
        try:
            known = question in self._answers
        except TypeError:
            return ask()
        if known:
            self._answers.move_to_end(question)
            return self._answers[question][0]
        truth = ask()
        size = size_of(truth)
        self._answers[question] = truth, size
        self.size += size
        while self.size > self.most:
            _, (_, gone) = self._answers.popitem(last=False)
            self.size -= gone
        return truth


def size_of(held: Any) -> int:
    """Bytes of arrays in a Truth, at most: what is broadcast counts in full."""
    if isinstance(held, (Truth, Output, Astray)):
        return sum(size_of(getattr(held, f.name)) for f in fields(held))
    if isinstance(held, Mapping):
        return sum(map(size_of, held.values()))
    if isinstance(held, tuple):
        return sum(map(size_of, held))
    return 0 if held is None else np.asarray(held).nbytes


ANSWERS = Remembered()
"""Those of this process."""
