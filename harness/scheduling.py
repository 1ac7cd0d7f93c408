"""Trials under pytest-xdist: those that share measurements go to one worker."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.session import Session


class Distributed:
    """Hooks of pytest-xdist, registered only where it is installed."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """The controller collects nothing itself: it knows the ids of the workers."""
        self.session.collected = ids

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Trials of one group go to one worker, where they share a survey; ``--dist`` other than load is respected."""
        return grouping(config, log) if config.getvalue("dist") == "load" else None


GROUP = re.compile(r"\[(.+?-(?:float64|float32|float16|bfloat16)(?:@[\w:]+)?)(?:: .*)?\]$")
"""What ids of trials of one group have in common."""


def grouping(config: pytest.Config, log: Any) -> Any:
    """A scheduler of pytest-xdist that keeps groups together: its loadgroup renames items, which pytest 9 ignores."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            found = GROUP.search(nodeid)
            return found.group(1) if found else nodeid

    return Groups(config, log)
