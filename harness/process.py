"""A worker process as its supervisor sees it: what it says, what it prints, and how it ends."""

from __future__ import annotations

import os
import re
import selectors
import signal
import sys
import sysconfig
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes

import msgspec

from harness.wire import Calling, Clock, Done, Finished, Limits, Message, Pipes, Planned, Request, Task
from harness.worker import ENDED, work

TICK = 0.02
"""Seconds between two looks at the clock of a worker."""
KEPT = 4096
"""Bytes of what a loss printed that are kept."""
GRACE = 1.0
"""Seconds that a worker has to say where it is when its time is up."""

_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_SIGNALS = {
    signal.SIGSEGV: "a segmentation fault",
    signal.SIGABRT: "an abort",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGILL: "an illegal instruction",
    signal.SIGBUS: "a bus error",
}
_FRAME = re.compile(r'File "(.+?)", line (\d+) in (\S+)')
_OURS = (Path(__file__).parent, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))


@dataclass(slots=True)
class Printed:
    """What a worker wrote to its output: counted, its beginning kept."""

    size: int = 0
    first: bytes = b""

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.first = (self.first + data[:KEPT])[:KEPT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a worker ended."""

    kind: str
    how: str
    call: int = 0
    """The call under way: 0 for none, -1 while loading."""
    planned: bool = True
    """Whether it had said what its trials are."""
    evidence: Calling | None = None


def place(text: str) -> str:
    """Where the last traceback of a worker was in code of the user, else anywhere."""
    frames = _FRAME.findall(text.rpartition("most recent call first")[2])
    theirs = [f for f in frames if f[0][0] != "<" and not any(Path(f[0]).is_relative_to(ours) for ours in _OURS)]
    file, line, function = (theirs or [("", "", "")])[0]
    return f" in {function} ({Path(file).name}:{line})" if file else ""


class Process:
    """A worker, forked off a process that has loaded torch and nothing of the user: it starts in milliseconds."""

    def __init__(self, request: Request, task: Task, limits: Limits) -> None:
        self.clock, self.limits = Clock(), limits
        self.status: int | None = None
        self.overdue_since = 0.0
        self.babble = False
        self.traced = b""
        self._heard: deque[Message] = deque()
        self._rest = b""
        self._mark = token_bytes(16)
        """Stands in the output where a record was made."""
        self._printed: deque[Printed] = deque((Printed(),))
        self._tail = b""
        self._silent: set[int] = set()
        """Pipes that are closed at the other end."""
        self.trials: list[str] | None = None
        """What it has said that its trials are."""
        self._under_way = 1
        """Tasks of which it has not said that they are finished."""
        orders, self.orders = os.pipe()
        self.channel, channel = os.pipe()
        self.output, output = os.pipe()
        self.trace, trace = os.pipe()
        theirs = Pipes(orders, channel, output, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the child uses none of them
            self.pid = os.fork()
        if self.pid == 0:
            work(request, task, limits, self.clock, theirs, self._mark)
        for end in theirs:
            os.close(end)
        for end in (self.channel, self.output, self.trace):
            os.set_blocking(end, False)

    @property
    def idle(self) -> bool:
        """Whether it waits for a task; what it has said of earlier ones may not be heard yet."""
        return self._under_way == 0 and not self.ended()

    def order(self, task: Task) -> None:
        """Give it another task: the loss stays loaded."""
        self._under_way += 1
        with suppress(BrokenPipeError):  # it has just ended, which is seen where it is listened to
            os.write(self.orders, msgspec.json.encode(task))

    def messages(self, meanwhile: Callable[[], object] = lambda: None) -> Iterator[Message]:
        """All that the worker says until it ends, or has to be ended; ``meanwhile`` is done between two looks."""
        with selectors.DefaultSelector() as selector:
            for end in {self.channel, self.output} - self._silent:
                selector.register(end, selectors.EVENT_READ)
            while True:
                ended = self.ended()
                selector.select(0 if ended else TICK)
                more = self.listen()
                while self._heard:
                    yield self._heard.popleft()
                if self.babble or (ended and not more) or self.hangs():
                    return
                for end in self._silent.intersection(selector.get_map()):
                    selector.unregister(end)
                meanwhile()

    def listen(self) -> bool:
        """Keep what it has said and printed since it was listened to last; whether that is anything.

        Nothing more is kept once it is not understood: what it says next may be of a later trial.
        """
        told, written = self._read(self.channel), self._read(self.output)  # the mark of a record is there before it
        self._part(written)
        *whole, self._rest = (self._rest + told).split(b"\n")
        for text in whole if not self.babble else ():
            try:
                message = _decoder.decode(text)
            except msgspec.DecodeError:
                self.babble = True
                break
            if isinstance(message, Planned):
                self.trials = [t.id for t in message.trials]
            self._under_way -= isinstance(message, Finished)
            self._heard.append(message)
        return bool(told or written)

    def _part(self, written: bytes) -> None:
        """Count output with the record that it comes before."""
        pieces = (self._tail + written).split(self._mark)
        held = next((n for n in range(len(self._mark) - 1, 0, -1) if pieces[-1].endswith(self._mark[:n])), 0)
        self._tail = pieces[-1][len(pieces[-1]) - held :]
        pieces[-1] = pieces[-1][: len(pieces[-1]) - held]
        for number, piece in enumerate(pieces):
            if number:
                self._printed.append(Printed())
            self._printed[-1].add(piece)

    def printed(self) -> Printed:
        """What it printed before the record that it told last."""
        if len(self._printed) == 1:  # the mark did not arrive
            self._printed.append(Printed())
        return self._printed.popleft()

    def finished(self) -> list[Done]:
        """The trials that it is ahead with."""
        self.listen()
        done = [event for event in self._heard if isinstance(event, Done)]
        self._heard.clear()
        return done

    def hangs(self) -> bool:
        """Whether a call takes too long, after the worker was asked to say which."""
        now = time.monotonic()
        if self.status is None and not self.overdue_since and self.clock.overdue():
            self.overdue_since = now
            os.kill(self.pid, signal.SIGUSR1)
        return self.overdue_since > 0 and now - self.overdue_since > GRACE

    def _read(self, end: int) -> bytes:
        """What there is now."""
        parts = []
        with suppress(BlockingIOError):
            for _ in range(64):
                part = os.read(end, 1 << 16)
                if not part:
                    self._silent.add(end)
                    break
                parts.append(part)
        return b"".join(parts)

    def ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                self._kill()
        return self.status is not None

    def _kill(self) -> None:
        """End the worker and what it started."""
        with suppress(ProcessLookupError, PermissionError):
            if self.status is None:
                os.kill(self.pid, signal.SIGKILL)
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it; what it has said can still be heard."""
        if self.status is None:
            self._kill()
            _, self.status = os.waitpid(self.pid, 0)

    def end(self) -> None:
        self.stop()
        with suppress(BlockingIOError):
            self.traced = os.read(self.trace, 1 << 16)
        for end in (self.orders, self.channel, self.output, self.trace):
            os.close(end)

    def death(self, evidence: Calling | None) -> Death:
        """How it ended, in words that follow "it"."""
        assert self.status is not None
        code = os.waitstatus_to_exitcode(self.status)
        where = place(self.traced.decode(errors="backslashreplace"))
        if self.overdue_since:
            kind, how = "hang", f"gave no answer in {self.limits.seconds:g} s{where}"
        elif self.babble:
            kind, how = "exit", "wrote into a pipe of lossproof"
        elif code == -signal.SIGKILL:
            kind, how = "memory", "was killed, as the system does where memory runs out"
        elif code < 0:
            number = signal.Signals(-code)
            kind, how = "crash", f"ended the process with {_SIGNALS.get(number, 'a signal')} ({number.name}){where}"
        elif code == ENDED:
            kind, how = "exit", "left its process unable to go on"
        else:
            kind, how = "exit", f"ended the process with status {code}"
        return Death(kind=kind, how=how, call=self.clock.call, evidence=evidence, planned=self.trials is not None)
