"""Custom losses that ship with the project: for each the form that people usually publish and the best sound one."""

from __future__ import annotations

import importlib
import pkgutil

from harness.binding import Subject
from suites.specimens.specimen import Objective, Specimen


def specimens() -> tuple[Specimen | Objective, ...]:
    """Every specimen, in the order of modules and of their tables."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return tuple(s for module in modules for s in getattr(module, "SPECIMENS", ()))


def subjects() -> tuple[Subject, ...]:
    """Every specimen as the engine judges it."""
    return tuple(s.subject() for s in specimens())
