"""What a worker process and its supervisor say to each other: a request, a task, and messages of JSON, one a line."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from mmap import mmap
from typing import NamedTuple

import msgspec

from harness import records


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was asked for."""

    loss: str
    options: tuple[str, ...] = ()
    like: str | None = None
    init: tuple[str, ...] = ()
    parameter: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    oracle: str | None = None
    arrange: str | None = None
    laws: tuple[str, ...] = ()
    output: str = ""
    reduction: tuple[str, ...] = ()
    stop_gradient: tuple[str, ...] = ()
    upcast: str = ""
    baseline: str | None = None
    strict: bool = False
    dtype: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    effort: str = "quick"
    seed: int = 0
    check: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.loss.rpartition(":")[2]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """Base of every message."""


class Planned(Event, frozen=True, kw_only=True):
    """The loss is loaded."""

    lines: list[records.Line]
    trials: list[records.Trial]
    """What is known of every trial before it runs."""


class Begun(Event, frozen=True, kw_only=True):
    number: int


class Calling(Event, frozen=True, kw_only=True):
    """The call under way, or the next one."""

    finding: records.Finding
    """With the case, where that is not too large, and the lines that reproduce it."""
    rows: int = 0
    certain: bool = False
    """Whether a process has ended in just this call before."""


class Done(Event, frozen=True, kw_only=True):
    number: int
    lines: list[records.Line]


class Exhausted(Event, frozen=True, kw_only=True):
    """The memory ran out in code of ours: the loss has kept too much of it."""


class Refused(Event, frozen=True, kw_only=True):
    """Nothing can be judged."""

    message: str
    ours: bool = False
    """Whether the message is the traceback of an error of ours."""


class Finished(Event, frozen=True, kw_only=True):
    """All is said of a task."""


Message = Planned | Begun | Calling | Done | Exhausted | Refused | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may take."""

    seconds: float = 20.0
    gib: float = 8.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the trials a worker runs, and how."""

    start: int = 0
    stop: int | None = None
    share: tuple[int, int] = (0, 1)
    """(i, n): of these, only what is in the i-th of n shares, see ``shares``."""
    probe: bool = True
    """Whether the loss may be called before there is a plan."""
    call: int | None = None
    """From this call of the first trial on, say what the input is before it is made: one like it ended a worker."""


class Pipes(NamedTuple):
    """The ends of a worker: what it is told to do next, what it says, what it prints, and where a crash was."""

    orders: int
    channel: int
    output: int
    trace: int


@dataclass(slots=True)
class Clock:
    """Memory that a worker shares with its supervisor: until when the call under way may take, and which it is.

    The supervisor reads at any time: what it decides by is one number, written at once.
    """

    memory: mmap = field(default_factory=lambda: mmap(-1, 16))
    _until: memoryview[float] = field(init=False, repr=False)
    _number: memoryview[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._until = memoryview(self.memory).cast("d")
        self._number = memoryview(self.memory).cast("q")

    def begin(self, seconds: float, number: int) -> None:
        self._number[1] = number
        self._until[0] = time.monotonic() + seconds if number else 0.0

    def overdue(self) -> bool:
        return 0.0 < self._until[0] < time.monotonic()

    @property
    def call(self) -> int:
        """Number of the call under way: 0 between calls, -1 while loading."""
        return self._number[1]
