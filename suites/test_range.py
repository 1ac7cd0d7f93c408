"""No inf, nan or 0 where the truth is representable, no number where it is not."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("range")
def test_range(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
