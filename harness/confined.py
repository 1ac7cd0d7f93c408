"""The supervisor of the worker processes: a loss that ends one, or never returns, costs one trial and is a Finding."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from harness import records, registry
from harness.conduct import SuspendedError
from harness.plan import catalogue, shares
from harness.process import Death, Printed, Process
from harness.ulp import PRECISIONS
from harness.wire import Begun, Calling, Done, Exhausted, Finished, Limits, Planned, Refused, Request, Task
from harness.worker import prepared

Progress = Callable[[int, int, records.Trial], None]

STRIKES = 12
"""Workers that may end one after the other before the rest is given up; one that hangs counts for two."""


def _processors() -> int:
    """How many workers can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class RefusedError(Exception):
    """Nothing can be judged: one line that says why, or the traceback of an error of ours."""

    def __init__(self, message: str, *, ours: bool) -> None:
        super().__init__(message)
        self.ours = ours


@dataclass(slots=True)
class Supervisor:
    """One run of ``lossproof validate``; after ``run``, also after an interrupt, ``lines`` are its records."""

    request: Request
    limits: Limits
    fail_fast: bool = False
    progress: Progress | None = None
    lines: list[records.Line] = field(default_factory=list)
    trials: list[records.Trial] = field(default_factory=list)
    finished: int = 0
    """Trials that have a record."""
    _workers: list[Process] = field(default_factory=list)
    """Those that live, as far as is known."""
    _ahead: dict[int, Process] = field(default_factory=dict)
    """Who has which of the next shares; a worker may have several."""
    _alone: bool = False
    """Whether one worker at a time is all there may be."""

    def run(self) -> None:
        """Judge the loss. Raises RefusedError, and KeyboardInterrupt with the rest recorded as not run."""
        try:
            if hasattr(os, "fork"):
                self._supervise()
            else:
                self._unconfined()
        except KeyboardInterrupt:
            self._give_up("interrupted")
            raise

    @property
    def status(self) -> int:
        """The exit status of the command."""
        verdicts = {line.verdict for line in self.lines if isinstance(line, records.Trial)}
        return 3 if "error" in verdicts else 1 if verdicts & set(records.FAILING) else 0

    def _supervise(self) -> None:
        """One share of the trials after the other; workers of later shares are ahead meanwhile."""
        registry.subjects(), catalogue()  # imported once, and by no worker
        self._alone = self.fail_fast or any(d != "cpu" for d in self.request.device)  # an accelerator is not shared
        try:
            self._shares(2 * len(self.request.dtype or PRECISIONS))  # of each the survey, and what does not read it
        except KeyboardInterrupt:
            done = [event for worker in self._workers for event in worker.finished()]
            self.lines += [line for event in sorted(done, key=lambda e: e.number) for line in event.lines]
            raise
        finally:
            self._dismiss(*self._workers)

    def _shares(self, count: int) -> None:
        strikes = share = 0
        probed: Death | None = None
        worker: Process | None = None
        while share < count:
            task = Task(start=self.finished, share=(share, count), probe=probed is None)
            was_ahead, death, worker = worker is not None, self._run_share(task, probed, worker), None
            if death is None:
                if self._stopped():
                    return self._give_up("fail_fast: an earlier trial failed")
                share += 1
                worker = self._ahead.pop(share, None)
                continue
            if not self.trials:
                if death.call < 0 or probed is not None:
                    raise RefusedError(f"{self.request.loss}: cannot be loaded: it {death.how}", ours=False)
                probed, self._alone = death, True
                self._dismiss(*self._workers)
                continue
            if was_ahead and not death.planned:  # two at once may be what it does not bear
                self._alone = True
                self._dismiss(*(w for w in self._workers if not self._agrees(w)))
                continue
            strikes = 0 if self.finished > task.start else strikes
            strikes += 2 if death.kind == "hang" else 1
            self._record(self._explained(death, task.share))
            if self.fail_fast or self._stopped():
                return self._give_up("fail_fast: an earlier trial failed")
            if strikes >= STRIKES:
                return self._give_up(f"the loss {death.how} in one trial after the other")
        return None

    def _run_share(self, task: Task, probed: Death | None, worker: Process | None) -> Death | None:
        """What is left of a share; None where all of it is on record."""
        if worker is None and self._complete(task.share):  # a worker has ended in its last trial
            return None
        try:
            death = self._planned(task, probed, worker)
        except RefusedError as refusal:
            if not self.trials or refusal.ours:
                raise
            return Death(kind="exit", how=f"cannot be loaded again: {refusal}", call=-1, planned=False)
        return None if self._complete(task.share) else death

    def _complete(self, share: tuple[int, int]) -> bool:
        """Whether all trials of a share are on record."""
        number, count = share
        return bool(self.trials) and self.finished >= shares(self.trials, count)[number].stop

    def _dismiss(self, *workers: Process) -> None:
        """End these workers."""
        for worker in workers:
            worker.end()
            self._workers.remove(worker)
        self._ahead = {n: worker for n, worker in self._ahead.items() if worker not in workers}

    def _hired(self, task: Task) -> Process:
        """A worker for a task: one that waits for it with the loss loaded, else a new one."""
        if task.call is None and (idle := next((w for w in self._workers if w.idle), None)) is not None:
            idle.order(task)
            return idle
        self._workers.append(Process(self.request, task, self.limits))
        return self._workers[-1]

    def _look_ahead(self, share: tuple[int, int]) -> None:
        """Let no worker that is ahead of this share wait for a full pipe or hang, nor a processor wait for a worker."""
        for worker in self._ahead.values():
            worker.listen()
            if worker.hangs():
                worker.stop()
        number, count = share
        following = next((n for n in range(number + 1, count) if n not in self._ahead), None)
        alive = [worker for worker in self._workers if not worker.ended()]
        free = sum(not worker.idle for worker in alive) < _processors() and not self._alone
        # One that is idle is kept free for the share of one that may fail to load.
        known = not any(worker.idle for worker in alive) or all(map(self._agrees, self._workers))
        if following is not None and free and known:
            self._ahead[following] = self._hired(Task(share=(following, count)))

    def _agrees(self, worker: Process) -> bool:
        """Whether it has loaded the loss that is judged."""
        return worker.trials == [t.id for t in self.trials]

    def _planned(self, task: Task, probed: Death | None, worker: Process | None) -> Death | None:
        """``_attempt``; where there is no plan without a call, and one ended the process, that is why."""
        try:
            return self._attempt(task, worker)
        except RefusedError as refusal:
            if probed is None or SuspendedError.__name__ not in str(refusal):
                raise
            said = f"{self.request.loss}: expected a result for inputs as declared, but it {probed.how}"
            raise RefusedError(said, ours=False) from None

    def _stopped(self) -> bool:
        """Whether --fail-fast ends the run here."""
        last = next((line for line in reversed(self.lines) if isinstance(line, records.Trial)), None)
        return self.fail_fast and last is not None and last.verdict in records.FAILING

    def _give_up(self, reason: str) -> None:
        if (left := len(self.trials) - sum(isinstance(line, records.Trial) for line in self.lines)) > 0:
            self.lines.append(records.NotRun(what=f"{left} trials", reason=reason))

    def _explained(self, death: Death, share: tuple[int, int]) -> Death:
        """The death with its input: the trial is run again by a worker that says what it is about to call."""
        if death.call < 0 or (death.evidence is not None and death.evidence.rows == 1):
            return death
        for call in sorted({max(death.call, 1), 1}, reverse=True):
            try:
                again = self._attempt(Task(start=self.finished, stop=self.finished + 1, share=share, call=call))
            except RefusedError:  # it cannot be loaded again
                return death
            if again is None:
                return replace(death, how=f"{death.how}, not so when it was repeated")
            if again.evidence is not None:
                return replace(death, evidence=again.evidence)
        return death

    def _record(self, death: Death) -> None:
        """The record of the trial in which a worker ended."""
        trial = self.trials[self.finished]
        seen = death.evidence.finding if death.evidence is not None else None
        size = f", called with {seen.message}" if seen is not None and seen.message else ""
        finding = msgspec.structs.replace(
            seen or records.Finding(severity="defect", kind=death.kind, output="", message=""),
            kind=death.kind,
            message=f"{trial.subject}: expected a result, but it {death.how}{size}",
        )
        self.lines.append(msgspec.structs.replace(trial, findings=[finding], cases=1))
        self.finished += 1

    def _attempt(self, task: Task, worker: Process | None = None) -> Death | None:
        """Run a task in a worker, or go on with one that is ahead with it; None where it comes to its end."""
        worker = worker or self._hired(task)
        seen: list[Calling] = []
        repeated, keep = task.call is not None, False
        try:
            for message in worker.messages(lambda: self._look_ahead(task.share)):
                match message:
                    case Planned():
                        worker.printed()  # while it was loaded
                        if not self.trials:
                            self.lines += message.lines
                            self.trials = message.trials
                        if not self._agrees(worker):
                            how = "is another loss when it is loaded again: other questions apply to it"
                            return Death(kind="exit", how=how, call=-1, planned=False)
                    case Refused():
                        raise RefusedError(message.message, ours=message.ours)
                    case Begun() if self.progress is not None and not repeated:
                        self.progress(message.number, len(self.trials), self.trials[message.number])
                    case Calling():
                        seen.append(message)
                        if message.certain:
                            return Death(kind="", how="", evidence=message)
                    case Done() if not repeated:
                        self.lines += _with_what_it_printed(message.lines, worker.printed())
                        self.finished = message.number + 1
                        if self._stopped():
                            return None
                    case Exhausted():
                        return Death(
                            kind="memory", how=f"has kept more memory than the {self.limits.gib:g} GiB allowed"
                        )
                    case Finished():
                        keep = not repeated
                        return None
                    case _:
                        pass
        except KeyboardInterrupt:
            keep = not repeated
            raise
        finally:
            if not keep:
                self._dismiss(worker)
        return worker.death(seen[-1] if seen else None)

    def _unconfined(self) -> None:
        """Where the system has no fork: everything in this process."""
        gc.enable()
        plan = prepared(self.request)
        self.lines += [*plan.first, records.NotRun(what="worker process", reason=f"{sys.platform} has no fork")]
        for number in range(len(plan.trials)):
            self.lines += plan.judged(number)


def _with_what_it_printed(lines: list[records.Line], printed: Printed) -> list[records.Line]:
    if not printed.size:
        return lines
    start = printed.first.decode(errors="backslashreplace").strip().partition("\n")[0][:80]

    def noted(line: records.Line) -> records.Line:
        if not isinstance(line, records.Trial):
            return line
        said = f"{line.subject}: expected nothing printed, got {printed.size:,} bytes, first {start!r}"
        note = records.Finding(severity="note", kind="prints", output="", message=said)
        return msgspec.structs.replace(line, findings=[*line.findings, note])

    return [noted(line) for line in lines]
