"""The process in which a loss runs: it is loaded, planned and judged here, and what is found goes up a pipe as JSON."""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import msgspec

from harness import api, records
from harness.cases import Batch
from harness.checks.grading import LARGE, numbers_in
from harness.conduct import calling, watch
from harness.evaluate import observe
from harness.findings import call_lines
from harness.locate import load, located
from harness.minimise import one_row
from harness.plan import shares
from harness.wire import (
    Begun,
    Calling,
    Clock,
    Done,
    Event,
    Exhausted,
    Finished,
    Limits,
    Pipes,
    Planned,
    Refused,
    Request,
    Task,
)


def prepared(request: Request) -> api.Prepared:
    """Load the loss and plan its trials. Raises UsageError."""
    baseline: Any = request.baseline
    return api.prepare(
        located(request),
        baseline=baseline if baseline in (None, "torch") else load(baseline)[0],
        strict=request.strict,
        dtype=request.dtype or None,
        device=request.device or "cpu",
        effort=request.effort,
        seed=request.seed,
        check=request.check or None,
    )


LOADING = 3.0
"""How many times the limit of a call loading may take: it imports what the loss needs."""
BRIEF = 0.5
"""Seconds that a part of a batch has to come back while the row that hangs is sought; that row has the whole limit."""
ENDED = 70
"""Exit status of a worker that cannot speak any more."""


def work(request: Request, task: Task, limits: Limits, clock: Clock, pipes: Pipes, mark: bytes) -> None:
    """Run a task and those that are ordered after it; never returns, and leaves nothing of this process behind.

    ``mark`` is written to the output before every record, for what was printed until then counts with it.
    """
    try:
        memory = all(d == "cpu" for d in request.device)
        gc.freeze()  # torch and all that was imported before the loss: nothing of it is ever garbage
        gc.enable()
        _Worker(request, task, limits, clock, _confine(limits, pipes, memory=memory), mark).run()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(ENDED)


def _confine(limits: Limits, pipes: Pipes, *, memory: bool) -> Pipes:
    """Cut this process off: no terminal, no input, output to the supervisor, a memory limit, gone with its parent."""
    import fcntl
    import resource

    os.setsid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    # Far from the numbers that a loss may close or write to by mistake.
    own = Pipes(*(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 200) for end in pipes))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(pipes.output, 1)
    os.dup2(pipes.output, 2)
    os.closerange(3, min(own))
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        mode = "r" if number == 0 else "w"
        stream = open(number, mode, buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    faulthandler.enable(file=own.trace, all_threads=False)
    if memory:
        size = int(limits.gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return own


def evidence(call: calling, batch: Batch | None, *, certain: bool = False) -> Calling:
    """A finding that has only its input; what is wrong is known when the call has ended the process."""
    rows = 0 if batch is None else batch.rows(call.subject.contract)
    size, case, lines = "", None, ""
    if batch is not None and numbers_in(batch) <= LARGE:
        case, lines = batch.record(), call_lines(call.subject, batch, gradients=call.gradients)
    elif batch is not None:
        size = f"a batch of {rows:,} rows"
    finding = records.Finding(severity="defect", kind="", output="", message=size, case=case, reproduction=lines)
    return Calling(finding=finding, rows=rows, certain=certain)


class _Worker:
    def __init__(
        self,
        request: Request,
        task: Task,
        limits: Limits,
        clock: Clock,
        pipes: Pipes,
        mark: bytes,
    ) -> None:
        self.request, self.task, self.limits, self.clock = request, task, limits, clock
        self.pipes, self.mark = pipes, mark
        self.encoder = msgspec.json.Encoder()

    def send(self, event: Event) -> None:
        text = self.encoder.encode(event) + b"\n"
        while text:
            text = text[os.write(self.pipes.channel, text) :]

    def run(self) -> None:
        watch.confined = True
        watch.suspended = not self.task.probe
        seconds, begin = self.limits.seconds, self.clock.begin
        watch.clock = lambda number: begin(seconds, number)
        watch.announce = self.announce if self.task.call is not None else None
        signal.signal(signal.SIGUSR1, self.tell_and_end)
        begin(LOADING * seconds, -1)
        try:
            plan = prepared(self.request)
        except api.UsageError as error:
            return self.send(Refused(message=str(error)))
        except BaseException:
            return self.send(Refused(message=traceback.format_exc(), ours=True))
        begin(0, 0)
        watch.suspended = False
        self.settle_output()
        self.send(Planned(lines=list(plan.first), trials=[_before(t) for t in plan.trials]))
        with api.one_thread():
            while self.judged(plan):
                self.send(Finished())
                if not (order := os.read(self.pipes.orders, 1 << 12)):
                    return None
                self.task = msgspec.json.decode(order, type=Task)
        return self.send(Exhausted())

    def judged(self, plan: api.Prepared) -> bool:
        """Whether all trials of the task are done; not where the memory runs out."""
        part, count = self.task.share
        mine = shares(plan.trials, count)[part]
        stop = mine.stop if self.task.stop is None else self.task.stop
        for number in range(max(self.task.start, mine.start), stop):
            self.send(Begun(number=number))
            watch.calls = 0
            lines = plan.judged(number)
            if any(isinstance(line, records.Trial) and _exhausted(line) for line in lines):
                return False
            self.settle_output()
            self.send(Done(number=number, lines=lines))
        return True

    def settle_output(self) -> None:
        """What the loss printed so far counts with what is said next."""
        _flush()
        with suppress(OSError):
            os.write(self.pipes.output, self.mark)

    def announce(self, call: calling) -> None:
        """Say what the next call is, before it is made."""
        assert self.task.call is not None
        if watch.calls < self.task.call:
            return
        watch.announce = None
        batch = self.smallest(call)
        self.send(evidence(call, batch, certain=batch is not call.batch))
        watch.announce = self.announce

    def smallest(self, call: calling) -> Batch | None:
        """The single row that is enough to end a process, where there is one; else all of the batch."""
        batch, first = call.batch, watch.calls == self.task.call
        if batch is None or (not first and self.survives(call, batch)):
            return batch
        brief = min(BRIEF, self.limits.seconds)
        row = one_row(call.subject.contract, batch, lambda part: not self.survives(call, part, brief))
        return batch if row is batch or self.survives(call, row) else row

    def survives(self, call: calling, batch: Batch, seconds: float | None = None) -> bool:
        """Whether a process forked off this one comes back from the call, and leaves the pipe alone."""
        _flush()
        if (pid := os.fork()) == 0:
            try:
                watch.clock = None
                faulthandler.disable()
                reader, writer = os.pipe()
                os.dup2(writer, self.pipes.channel)
                observe(call.subject, batch, gradients=call.gradients)
                os.fstat(self.pipes.channel)
                if not select.select([reader], [], [], 0)[0]:
                    os._exit(0)
            finally:
                os._exit(ENDED)
        until = time.monotonic() + (seconds or self.limits.seconds)
        while time.monotonic() < until:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status == 0
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return False

    def tell_and_end(self, number: int, frame: FrameType | None) -> None:
        """The time is up: say what is under way, and where; only Python code gets here."""
        call = watch.current
        if call is not None and self.task.call is None:
            self.send(evidence(call, call.batch))
        where = [f'File "{f.filename}", line {f.lineno} in {f.name}' for f in traceback.extract_stack(frame)]
        os.write(self.pipes.trace, "\n".join(reversed(where)).encode())
        os._exit(ENDED)


def _before(trial: Any) -> records.Trial:
    return records.Trial(
        id=trial.id,
        subject=trial.subject.name,
        contract=trial.subject.contract.name,
        check=trial.check.name,
        item=trial.item,
        dtype=trial.precision.name,
        device=trial.device,
        verdict="fail",
    )


def _exhausted(trial: records.Trial) -> bool:
    last = trial.reason.strip().rpartition("\n")[2]
    return trial.verdict == "error" and ("MemoryError" in last or "not enough memory" in last)


def _flush() -> None:
    """What the loss printed counts with the trial in which it did."""
    flushes: list[Callable[[], object]] = [s.flush for s in (sys.stdout, sys.stderr) if hasattr(s, "flush")]
    for flush in flushes:
        try:
            flush()
        except (OSError, ValueError):
            continue
