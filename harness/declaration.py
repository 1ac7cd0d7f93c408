"""What a user says of a loss, in Python: a small file holds it beside the loss or the loss's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import Arrange, Contract
from harness.custom import Inputs
from harness.itself import Values
from harness.laws import Law


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A loss and what it is held to, for ``lossproof validate FILE.py`` and ``pytest --loss FILE.py``.

    ``loss`` is the loss, or where it is: ``module:attr``, or ``file.py:attr`` with a path that starts at this file. The
    other fields are options of ``validate``.
    """

    loss: Any
    like: str | Contract | None = None
    inputs: Inputs | None = None
    oracle: Values | None = None
    laws: Sequence[str | Law] = ()
    init: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    output: str = ""
    reductions: Mapping[str, Any] | None = None
    arrange: Arrange | None = None
    stop_gradient: Sequence[str] | str = ()
    upcast: str = ""
    name: str = ""
