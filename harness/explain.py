"""A Contract as text."""

from __future__ import annotations

from harness.bounds import DEFAULT_ORACLE_ULP
from harness.certificates import certificate, path_of
from harness.contract import Contract


def _certified(contract: Contract) -> str:
    found = certificate(contract)
    if found is None:
        return f"error {DEFAULT_ORACLE_ULP:g} ulp of float64 assumed"
    inputs = ", ".join(f"{n}={' '.join(t.data)}" for n, t in found.case.tensors.items())
    what = "value" if found.output == "value" else f"gradient with respect to {found.output}"
    return (
        f"error at least {found.ulp:.2g} ulp of float64 ({found.rows:,} rows against mpmath), {what} at {inputs[:200]}"
    )


def explanation(contract: Contract) -> str:
    """Everything declared of a loss, for a terminal."""
    lines = [f"{contract.name}" + (f" ({contract.module})" if contract.module else ""), f"  {contract.summary}", ""]
    lines += [
        f"formula     {contract.formula}",
        f"sources     {'; '.join(contract.sources)}",
        f"scales      {contract.scales}",
    ]
    lines += [f"oracle      {path_of(contract.oracle)}, {_certified(contract)}"]
    lines += ["", "arguments"]
    for arg in contract.args:
        shape = "(" + ", ".join((() if arg.shared else ("N",)) + arg.dims) + ")"
        notes = [arg.role, type(arg.kind).__name__, "differentiable" if arg.differentiable else "no gradient"]
        lines.append(f"  {arg.name:16} {shape:10} {', '.join(notes)}{', optional' if arg.optional else ''}")
    if contract.parameters:
        lines += ["parameters"] + [f"  {p.name:16} {', '.join(map(repr, p.values))}" for p in contract.parameters]
    lines += [f"reductions  {', '.join(['none', *contract.reductions])}", f"layouts     {', '.join(contract.layouts)}"]
    if contract.specials:
        lines += ["", "special values"] + [f"  {s.law}" for s in contract.specials]
    if contract.laws:
        lines += ["", "laws"] + [f"  {law.name}" for law in contract.laws]
    if contract.deviations:
        lines += ["", "documented deviations"]
        lines += [f"  {d.name}: {d.where}: {d.says} ({d.source})" for d in contract.deviations]
    return "\n".join(lines)
