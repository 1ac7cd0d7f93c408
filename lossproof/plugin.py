"""The pytest plugin's entry point; its code is harness.plugin."""

import pytest

try:
    from harness.plugin import *  # noqa: F403  pytest finds hooks and fixtures by name
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("harness"):
        raise
    message = (
        f"lossproof: its package 'harness' is shadowed by another of that name ({error}); "
        "rename that, or run pytest with -p no:lossproof"
    )
    raise pytest.UsageError(message) from None
