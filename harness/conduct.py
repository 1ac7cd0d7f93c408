"""What a call does beside giving a result: which one is under way, and what it leaves changed in the process."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from os import _exit, getpid
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.binding import Subject
from harness.cases import Batch
from harness.state import CHEAP, STATE, Values, put_right, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Change:
    """Something global that a call left other than it was."""

    what: str
    subject: Subject | None = None
    batch: Batch | None = None
    """The input of that call, where it is known."""


class Watch:
    """The calls of this process. A worker process sets what a supervisor needs; elsewhere nothing is set."""

    def __init__(self) -> None:
        self.confined = False
        """Whether this is a worker: there no user presses Ctrl-C, a KeyboardInterrupt is the loss's own."""
        self.suspended = False
        """Whether calls raise instead of being made."""
        self.calls = 0
        self.current: calling | None = None
        self.clock: Callable[[int], None] | None = None
        """Told the number of a call as it begins, and 0 at its end."""
        self.announce: Callable[[calling], None] | None = None
        """Told a call before it is made."""
        self.changes: list[Change] = []
        """What calls left changed since the list was last emptied; it is as before again."""


watch = Watch()


class SuspendedError(RuntimeError):
    """A call that is not made: one like it ended the process."""


class calling:  # noqa: N801  read as a statement: with calling(...)
    """Around everything that runs code of a Subject: a call, its backward, the end of its result.

    A process that the Subject forked ends here, so that it never goes on with the work of this one. What is cheap to
    ask is asked after every call and put right. Calls may lie in one another: each has the time limit anew, and so has
    what is around it once it returns.
    """

    __slots__ = ("batch", "before", "gradients", "number", "outer", "pid", "subject")

    def __init__(self, subject: Subject, batch: Batch | None = None, *, gradients: bool = False) -> None:
        self.subject, self.batch, self.gradients = subject, batch, gradients

    def __enter__(self) -> Self:
        self.pid = getpid()
        watch.calls += 1
        if watch.announce is not None:
            watch.announce(self)
        self.number, self.outer = watch.calls, watch.current
        watch.current = self
        if watch.clock is not None:
            watch.clock(self.number)
        self.before = values(CHEAP)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if getpid() != self.pid:
            _exit(0)
        watch.current = self.outer
        if watch.clock is not None:
            watch.clock(self.outer.number if self.outer is not None else 0)
        if values(CHEAP) != self.before:
            watch.changes += [Change(what, self.subject, self.batch) for what in put_right(CHEAP, self.before)]


def own(error: BaseException) -> bool:
    """Whether an exception is the Subject's: every one, but for the Ctrl-C of a user."""
    return watch.confined or not isinstance(error, KeyboardInterrupt)


def state() -> Values:
    """The global state, to compare with after a trial."""
    return values(STATE)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is done inside leaves the global state as it was; what a call changed there is for the check to tell."""
    before = state()
    try:
        yield
    finally:
        changes_since(before)


def changes_since(before: Values) -> list[Change]:
    """What a trial left changed, from its calls and since ``before``; everything is as before again."""
    found, watch.changes = watch.changes, []
    return found + [Change(what) for what in put_right(STATE, before)]
