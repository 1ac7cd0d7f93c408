"""Finite differences in float64 agree with the double backward, where there is one."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("gradgradcheck")
def test_gradgradcheck(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
