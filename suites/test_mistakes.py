"""None of the mistakes that people make explains the values of a loss."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("mistakes")
def test_mistakes(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
