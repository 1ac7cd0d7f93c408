"""Every check over one loss, for ``pytest --loss module:attr`` without a path: a test for each check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.plan import Trial, catalogue


def _over(check: str) -> Callable[..., None]:
    @pytest.mark.check(check)
    def judge(trial: Trial, judged: Callable[[Trial], None]) -> None:
        judged(trial)

    return judge


globals().update({f"test_{check.name.replace('-', '_')}": _over(check.name) for check in catalogue()})
