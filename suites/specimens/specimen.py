"""What a specimen is declared by: a loss that people use, the Contract it is held to, and what is known of its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from harness import registry
from harness.binding import Subject, bind
from harness.evaluate import settled
from harness.specimen import Declared


def reduced(value: torch.Tensor, reduction: str) -> torch.Tensor:
    """``none``, ``mean`` or ``sum`` of an unreduced loss."""
    return value if reduction == "none" else getattr(torch, reduction)(value)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """One loss, judged by the suites."""

    loss: Callable[..., Any]
    like: str
    form: Literal["usual", "sound", "wild"]
    source: str
    """Where the form is found."""
    shows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Check -> the kinds of finding, weaknesses included, that it shows in some dtype; it shows nothing else."""
    grade: str = ""
    """The grade that the algorithm of the value can reach; empty for a form that reaches none."""
    gradient: str = ""
    """The same of the gradients, where that is another grade."""

    def subject(self) -> Subject:
        """The Subject that the suites judge."""
        module = self.loss.__module__
        name = self.loss.__name__
        declared = Declared(
            form=self.form, source=self.source, shows=self.shows, grade=self.grade, gradient=self.gradient or self.grade
        )
        bound = bind(
            self.loss,
            registry.contract(self.like),
            name=f"{self.like}/{name}",
            expression=name,
            setup=f"import torch\nfrom {module} import {name}",
            origin="specimen",
            specimen=declared,
        )
        return settled(bound)
