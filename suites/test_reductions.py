"""Every reduction, layout and size is the one that the oracle of the reduction gives."""

from collections.abc import Callable

import pytest

from harness.plan import Trial


@pytest.mark.check("reductions")
def test_reductions(trial: Trial, judged: Callable[[Trial], None]) -> None:
    judged(trial)
