"""Every Fault of the ledger is still shown by its witnesses."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("witness")
def test_witnesses(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
