"""Where contracts and subjects are found: every module of harness.contracts and harness.subjects, nothing by hand."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from harness import contracts as contracts_package
from harness.contract import Contract

if TYPE_CHECKING:
    from harness.binding import Subject


class UnknownNameError(LookupError):
    """A name that the catalogue does not have; the message gives the nearest ones."""


@cache
def contracts() -> dict[str, Contract]:
    """Every Contract by name, in alphabetical order."""
    modules = [
        importlib.import_module(f"{contracts_package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(contracts_package.__path__)
    ]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Contract)]
    return {c.name: c for c in sorted(found, key=lambda c: c.name)}


def named(name: str) -> Contract | None:
    """The Contract of a functional or class name, if there is one."""
    return next((c for c in contracts().values() if name in (c.name, c.module) and name), None)


def contract(name: str) -> Contract:
    """The Contract of a functional or class name. Raises UnknownNameError with the nearest names."""
    if (found := named(name)) is not None:
        return found
    catalogue = contracts()
    names = [*catalogue, *(c.module for c in catalogue.values() if c.module)]
    spelled = {n.lower(): n for n in names}
    near = [spelled[n] for n in difflib.get_close_matches(name.lower(), spelled, n=3, cutoff=0.4)]
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise UnknownNameError(f"contract {name!r}: expected one of the {len(catalogue)} that `lossproof list` shows{hint}")


@cache
def subjects() -> tuple[Subject, ...]:
    """Every registered Subject, torch's builtins by contract. Imports torch."""
    from harness import subjects as package

    found: list[Subject] = []
    for m in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{m.name}")
        found.extend(getattr(module, "SUBJECTS", ()))
    return tuple(sorted(found, key=lambda s: (s.contract.name, s.twin is not None, s.name)))


_enlisted: list[str] = []


def enlist(package: str) -> None:
    """Name a package whose ``subjects()`` are judged beside torch's; it is imported when they are asked for."""
    if package not in _enlisted:
        _enlisted.append(package)


@cache
def _specimens(package: str) -> tuple[Subject, ...]:
    found: tuple[Subject, ...] = importlib.import_module(package).subjects()
    return tuple(sorted(found, key=lambda s: (s.contract.name, s.name)))


def specimens() -> tuple[Subject, ...]:
    """The Subjects of every package that was enlisted, by contract."""
    return tuple(s for package in _enlisted for s in _specimens(package))


def subject_of(loss: Any) -> Subject | None:
    """The registered Subject that this very object is, ledger included."""
    return next((s for s in subjects() if s.loss is loss), None)


def functional(contract_: Contract) -> Subject | None:
    """torch's own functional form of a Contract, if it has one."""
    return next((s for s in subjects() if s.contract is contract_ and s.twin is None and s.origin == "torch"), None)
