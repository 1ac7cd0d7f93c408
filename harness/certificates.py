"""How far each oracle is from its definition in mpmath: measured by ``harness.certify``, kept beside the code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from harness.bounds import DEFAULT_ORACLE_ULP
from harness.contract import Contract
from harness.records import Case

FILE = Path(__file__).with_name("certificates.json")
ROUNDED_ULP = 0.5
"""Of a definition in mpmath, correctly rounded."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The worst error that was seen of one oracle."""

    contract: str
    oracle: str
    ulp: float
    """Ulp of float64 at the running-error scale of the oracle; a lower bound of the true maximum."""
    output: str
    """The output that shows it: ``value`` or the argument of a gradient."""
    rows: int
    case: Case


def path_of(function: Any) -> str:
    """Where a function is defined, as ``module.name``."""
    plain = getattr(function, "func", function)
    return f"{getattr(plain, '__module__', '?')}.{getattr(plain, '__qualname__', '?')}"


@cache
def certificates() -> dict[str, Certificate]:
    """Every certificate by the name of its Contract."""
    known = msgspec.json.decode(FILE.read_bytes(), type=list[Certificate]) if FILE.exists() else []
    return {c.contract: c for c in known}


def certificate(contract: Contract) -> Certificate | None:
    """That of the oracle of a Contract; None for an oracle that was not certified."""
    found = certificates().get(contract.name)
    return found if found is not None and found.oracle == path_of(contract.oracle) else None


def oracle_ulp(contract: Contract) -> float:
    """The error that an oracle is granted, in ulp of float64 at its running-error scale."""
    found = certificate(contract)
    return DEFAULT_ORACLE_ULP if found is None else max(found.ulp, ROUNDED_ULP)
