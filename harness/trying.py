"""Which options of a loss have to matter, and what else to try in place of their default."""

from __future__ import annotations

from numbers import Real
from typing import Any

COUNTS = frozenset(
    {"axis", "batch", "chunk", "chunks", "classes", "dim", "dims", "epoch", "epochs", "index", "iter", "iterations"}
    | {"iters", "k", "length", "max", "min", "n", "num", "seed", "size", "step", "steps", "workers"}
)
"""Words of numbers that may be large enough, or name an axis that is the same."""
GUARDS = frozenset({"eps", "epsilon", "tiny", "tol", "tolerance", "clip", "clamp", "threshold"})
"""Words of numbers that matter beyond some size alone."""
LATER = frozenset({"decay", "ema", "momentum", "start", "warmup", "warm"})
"""Words of numbers that matter to later calls."""
SMALL = 1e-3
"""Numbers below it are guards whatever they are called."""
NEUTRAL = (0, 1)
"""What may be the same as nothing at all."""


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def severity_of(name: str, given: Any, default: Any) -> str:
    """How bad it is that an option never matters: a defect of a number that has a size to matter by.

    Switches, names, counts and guards may mean what happens already; a number beside no default may be neutral.
    """
    if not is_number(given) or isinstance(default, (bool, str)):
        return "weakness"
    said = set(name.lower().split("_"))
    if default is None and given in NEUTRAL:
        return "note"
    small = isinstance(default, Real) and max(abs(given), abs(default)) < SMALL
    return "weakness" if small or said & (COUNTS | GUARDS) else "defect"


def another(name: str, default: Any) -> float | int | None:
    """Another number than the default of an option that would have to matter; None where it need not."""
    if not is_number(default) or set(name.lower().split("_")) & LATER:
        return None
    other = default + 1 if isinstance(default, int) else 1.5 * default if default else 0.5
    return other if severity_of(name, other, default) == "defect" else None
