"""Certifying the oracles: each against its definition in mpmath, over the domain that its Contract declares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.certificates import FILE, Certificate, certificates, path_of
from harness.contract import Contract
from harness.generate import choices, rows_of, seeded, sizes
from harness.judge import Limits, constant_of
from harness.ulp import FLOAT32, FLOAT64, Array
from reference.definition import defined, oracle_error

ROWS = 400
"""Rows of one certification, over all settings of the parameters and sizes."""


def _nothing(*_: Any) -> Any:
    raise NotImplementedError("a Contract without a loss is not called")


def _everything(contract: Contract) -> Subject:
    """A Subject that offers all that the Contract has, to generate from."""
    return Subject(
        name=contract.name,
        contract=contract,
        call=_nothing,
        expression="",
        places={a.name: a.name for a in contract.args},
        parameters=tuple(p.name for p in contract.parameters),
    )


def drawn(contract: Contract, rows: int = ROWS, seed: int = 0) -> Iterator[Batch]:
    """Random rows in every setting and size, of float64 and of float32 inputs."""
    settings = [(c, s, p) for c in choices(_everything(contract)) for s in sizes(contract) for p in (FLOAT64, FLOAT32)]
    each = max(4, rows // len(settings))
    for number, (choice, size, precision) in enumerate(settings):
        rng = seeded("certify", contract.name, number, seed)
        batch = rows_of(contract, choice, size, each, rng, precision)
        yield Batch(args=batch.args, parameters=batch.parameters, precision=FLOAT64, origin="certificate")


def errors(contract: Contract, batch: Batch) -> dict[str, Array]:
    """Error of the oracle in every entry of every output.

    In ulp of float64 at its own scale, plus what one rounding of the inputs changes: an ill-conditioned input is no
    oracle's fault.
    """
    assert contract.definition is not None
    shared = {a.name for a in contract.args if a.shared}
    truth = batch.truth(contract)
    ends = defined(contract.definition, batch.args, contract.settled(batch.parameters), shared)
    found = {}
    for name in (n for n in truth.outputs() if n in ends):
        error, ulp = oracle_error(truth.outputs()[name], *ends[name])
        ratio = error / ulp
        suspect = np.flatnonzero((np.isfinite(ratio) & (ratio > 1.0)).reshape(len(ratio), -1).any(axis=1))
        if suspect.size:
            limits = Limits(contract, batch, truth, own_ulp=0.0).at(name, suspect)
            moved = (limits.mixed - limits.reference) / constant_of(name)
            ratio[suspect] = error[suspect] / (ulp[suspect] + np.broadcast_to(moved, error[suspect].shape))
        found[name] = ratio
    return found


def certify(contract: Contract, rows: int = ROWS, seed: int = 0) -> Certificate:
    """The worst error of an oracle over its domain, with the row that shows it."""
    worst, shown, count = -1.0, None, 0
    for batch in drawn(contract, rows, seed):
        count += batch.rows(contract)
        for name, found in errors(contract, batch).items():
            if found.size and found.max() > worst:
                worst = float(found.max())
                row = int(np.argmax(found.reshape(len(found), -1).max(axis=1)))
                shown = name, batch.take(contract, np.array([row]))
    assert shown is not None, f"{contract.name}: no row was drawn"
    return Certificate(
        contract=contract.name,
        oracle=path_of(contract.oracle),
        ulp=worst,
        output=shown[0],
        rows=count,
        case=shown[1].record(),
    )


def write(found: list[Certificate]) -> None:
    """Keep certificates beside the code; each call replaces those of the same Contracts."""
    certificates.cache_clear()
    kept = {**certificates(), **{c.contract: c for c in found}}
    encoded = msgspec.json.format(msgspec.json.encode([kept[name] for name in sorted(kept)]), indent=1)
    FILE.write_bytes(encoded + b"\n")
    certificates.cache_clear()


def main() -> None:
    """Certify Contracts, all that are registered unless some are named: ``python -m harness.certify [NAME ...]``."""
    from harness import registry

    found = []
    chosen = [registry.contract(name) for name in sys.argv[1:]] or registry.contracts().values()
    for contract in chosen:
        made = certify(contract)
        sys.stdout.write(f"{made.ulp:6.2f} ulp  {made.rows:5d} rows  {made.contract}: {made.output}\n")
        found.append(made)
    write(found)


if __name__ == "__main__":
    main()
