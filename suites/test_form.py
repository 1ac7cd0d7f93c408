"""Result dtype, shape and device; inputs left alone; the same answer twice; the errors that are documented."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("form")
def test_form(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
