"""How a torch builtin becomes Subjects: its functional form, and its module as the twin of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness.binding import Subject, bind
from harness.contract import Contract
from harness.deviations import Fault

FUNCTIONAL = "import torch\nimport torch.nn.functional as F"


def builtin(
    contract: Contract,
    *,
    function: str = "",
    faults: tuple[Fault, ...] = (),
    unsupported: Mapping[str, str] | None = None,
    fixed: str = "",
) -> tuple[Subject, ...]:
    """The Subjects of torch.nn.functional's loss and of its class in torch.nn.

    ``function`` is the name of the functional form where it is not the Contract's, which then names a variant of it.
    ``fixed`` is the reduction of one that takes none.
    """
    functional = bind(
        getattr(torch.nn.functional, function or contract.name),
        contract,
        name=f"F.{contract.name}",
        expression=f"F.{function or contract.name}",
        setup=FUNCTIONAL,
        faults=faults,
        unsupported=unsupported,
        origin="torch",
        fixed=fixed,
    )
    if not contract.module:
        return (functional,)
    module = bind(
        getattr(torch.nn, contract.module),
        contract,
        name=f"nn.{contract.module}" + contract.name.removeprefix(function or contract.name),
        expression=f"torch.nn.{contract.module}",
        faults=faults,
        unsupported=unsupported,
        origin="torch",
        twin=functional,
        fixed=fixed,
    )
    return functional, module
