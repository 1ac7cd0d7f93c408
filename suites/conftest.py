"""The suites judge the specimens beside torch's builtins."""

from __future__ import annotations

from harness import registry

registry.enlist("suites.specimens")
