"""Imported for what it loads: all that a run of the command imports on its way, paid once by a server of processes."""

from importlib import import_module

from harness import plan, registry

for name in ("torch._dynamo", "harness.cli", "harness.confined", "reports.html", "reports.terminal"):
    import_module(name)
registry.subjects()
plan.catalogue()
