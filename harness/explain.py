"""A Contract as text."""

from __future__ import annotations

from harness.contract import Contract


def explanation(contract: Contract) -> str:
    """Everything declared of a loss, for a terminal."""
    lines = [f"{contract.name}" + (f" ({contract.module})" if contract.module else ""), f"  {contract.summary}", ""]
    lines += [
        f"formula     {contract.formula}",
        f"sources     {'; '.join(contract.sources)}",
        f"scales      {contract.scales}",
    ]
    certified = (
        f"{contract.oracle_ulp:g} ulp of float64" if contract.oracle_ulp is not None else "4 ulp of float64 assumed"
    )
    oracle = getattr(contract.oracle, "func", contract.oracle)
    lines += [f"oracle      {oracle.__module__}.{oracle.__name__}, error {certified}"]
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
