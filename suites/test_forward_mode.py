"""Forward-mode derivatives in float64 agree with finite differences, where there are any."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("forward-mode")
def test_forward_mode(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
