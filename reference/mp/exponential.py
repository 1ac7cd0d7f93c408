"""exp in mpmath, fast for arguments of any magnitude."""

from __future__ import annotations

from typing import Any

from mpmath import mp


def exp(x: Any) -> Any:
    """exp(x) as 2**n exp(x - n log 2): mpmath raises e to a large whole x by squaring, a hundred times slower."""
    x = mp.mpf(x)
    if not mp.isfinite(x) or abs(x) < 2**20:
        return mp.exp(x)
    with mp.extraprec(mp.mag(x) + 10):
        n = int(mp.floor(x / mp.ln2))
        rest = mp.exp(x - n * mp.ln2)
    return mp.ldexp(+rest, n)
