"""What is declared of a loss that is kept to be judged: what its form shows, and what its algorithm can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.bounds import GRADES


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The findings that a form is known for. Anything else fails, and so does one that is no longer seen."""

    form: Literal["usual", "sound", "wild"]
    """``usual``: as it is commonly published; ``sound``: the best known form; ``wild``: a mistake that people make."""
    source: str
    shows: Mapping[str, tuple[str, ...]]
    """Name of a check -> kinds of finding."""
    grade: str = ""
    """The worst grade of the value that its algorithm can reach; empty where nothing is promised."""
    gradient: str = ""

    def __post_init__(self) -> None:
        for grade in filter(None, (self.grade, self.gradient)):
            if grade not in GRADES[:-1]:
                raise ValueError(f"specimen: grade: expected one of {GRADES[:-1]}, got {grade!r}")
        if self.form == "sound" and not self.grade:
            raise ValueError("specimen: grade: expected the one that a sound form can reach, got none")

    def explains(self, check: str, kind: str) -> bool:
        """Whether a kind of finding of a check is what the form is known for."""
        return kind in self.shows.get(check, ())

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """(check, kind) of everything that it shows."""
        return tuple((check, kind) for check, kinds in self.shows.items() for kind in kinds)


def excuse(check: str, kind: str) -> str:
    """The name under which a finding of a specimen is excused."""
    return f"{check}: {kind}"
