"""Finite differences in float64 agree with the backward, away from kinks."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("gradcheck")
def test_gradcheck(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
