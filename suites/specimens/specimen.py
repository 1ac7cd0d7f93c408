"""What a specimen is declared by: a loss that people use, what it is held to, and what is known of its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from harness import registry
from harness.binding import Subject, bind
from harness.custom import custom
from harness.evaluate import settled
from harness.specimen import Declared


def reduced(value: torch.Tensor, reduction: str) -> torch.Tensor:
    """``none``, ``mean`` or ``sum`` of an unreduced loss."""
    return value if reduction == "none" else getattr(torch, reduction)(value)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One loss, judged by the suites."""

    loss: Callable[..., Any]
    form: Literal["usual", "sound", "wild"]
    source: str
    """Where the form is found."""
    shows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Check -> the kinds of finding, weaknesses included, that it shows in some dtype; it shows nothing else."""
    grade: str = ""
    """The grade that the algorithm of the value can reach; empty for a form that reaches none."""
    gradient: str = ""
    """The same of the gradients, where that is another grade."""

    @property
    def setup(self) -> str:
        """The lines that name the loss."""
        return f"import torch\nfrom {self.loss.__module__} import {self.loss.__name__}"

    @property
    def declared(self) -> Declared:
        return Declared(
            form=self.form, source=self.source, shows=self.shows, grade=self.grade, gradient=self.gradient or self.grade
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen(Kept):
    """A form of a loss that has a Contract."""

    like: str

    def subject(self) -> Subject:
        """The Subject that the suites judge."""
        name = self.loss.__name__
        bound = bind(
            self.loss,
            registry.contract(self.like),
            name=f"{self.like}/{name}",
            expression=name,
            setup=self.setup,
            origin="specimen",
            specimen=self.declared,
        )
        return settled(bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(Kept):
    """What is minimised beside one loss: it has no Contract, and is declared by its inputs and its values."""

    inputs: Mapping[str, Any]
    oracle: Callable[..., Any]
    init: Mapping[str, Any] = field(default_factory=dict)
    """Options that hold throughout."""

    def subject(self) -> Subject:
        """The Subject that the suites judge."""
        name = self.loss.__name__
        options = "".join(f", {option}={value}" for option, value in self.init.items())
        bound = custom(
            self.loss,
            self.inputs,
            oracle=self.oracle,
            init=self.init,
            name=f"objective/{name}{options}",
            expression=name,
            setup=self.setup,
        )
        return replace(bound, origin="specimen", specimen=self.declared)
