"""Every special value gives what its law says."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("special")
def test_special_values(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
