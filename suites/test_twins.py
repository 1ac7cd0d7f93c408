"""A module gives what its functional form gives, bit for bit."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("twin")
def test_twins(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
