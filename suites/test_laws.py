"""Metamorphic relations hold, with the bounds of both sides."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("laws")
def test_laws(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
