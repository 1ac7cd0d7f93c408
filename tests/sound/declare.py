"""What a sound loss is declared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.bounds import GRADES
from harness.ulp import PRECISIONS

ALL = tuple(PRECISIONS)
TWO = ("float32", "bfloat16")
"""The dtypes of the quick lane for losses that are dear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A correct implementation of a loss that is not torch's own."""

    name: str
    like: str
    loss: Callable[..., Any]
    grade: str
    """What the value reaches wherever it is judged."""
    gradient: str = ""
    """The same of the gradients, where that is another grade."""
    dtypes: tuple[str, ...] = ALL
    """The dtypes of the quick lane; the lane of trust takes all four."""
    compiled: bool = False
    """Judged as torch.compile makes it: for the lane of trust alone."""

    def __post_init__(self) -> None:
        for grade in (self.grade, self.gradient or self.grade):
            if grade not in GRADES[:-1]:
                raise ValueError(f"{self.name}: grade: expected one of {GRADES[:-1]}, got {grade!r}")

    def grade_of(self, output: str) -> int:
        """The declared grade as its place on the ladder."""
        return GRADES.index((output != "value" and self.gradient) or self.grade)

    @property
    def keeps_digits(self) -> bool:
        """Whether it promises relative digits everywhere: then a weakness is one too many."""
        return "absolute-only" not in (self.grade, self.gradient)
