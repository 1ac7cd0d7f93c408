"""Every specimen shows what its form is known for, and keeps the grade that it can reach."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("specimen")
def test_specimen(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
