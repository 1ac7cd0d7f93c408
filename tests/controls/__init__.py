"""Planted defects, as data: realistic wrong forms of torch's losses, each with the check that must flag it."""

from __future__ import annotations

from tests.controls import (
    backward,
    backward_vectors,
    conduct,
    constants,
    forward,
    forward_vectors,
    missing,
    parameters,
    parameters_vectors,
    reductions,
    reductions_vectors,
    traps,
)
from tests.controls.control import Control

MODULES = (
    *(forward, forward_vectors, traps, backward, backward_vectors),
    *(reductions, reductions_vectors, parameters, parameters_vectors),
    *(conduct, missing, constants),
)
CONTROLS: tuple[Control, ...] = tuple(control for module in MODULES for control in module.CONTROLS)


def named(control: str) -> Control:
    """The Control of an id; what a reproduction imports."""
    return next(c for c in CONTROLS if c.id == control)
