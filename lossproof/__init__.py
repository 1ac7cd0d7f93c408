"""The public names of lossproof, resolved on first use so that importing this package does not import torch."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api import Result, assert_sound, validate
    from harness.declaration import Declaration

__all__ = ["Declaration", "Result", "assert_sound", "validate"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("harness.declaration" if name == "Declaration" else "harness.api"), name)
    raise AttributeError(f"module 'lossproof' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
