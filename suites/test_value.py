"""Every unreduced value is within the derived bound of the truth."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("value")
def test_value(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
