"""nan and inf reach every output whose oracle depends on them, and no other."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("nonfinite")
def test_nonfinite(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
