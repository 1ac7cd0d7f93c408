"""Every gradient entry is within the derived bound of the truth."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("gradient")
def test_gradient(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
