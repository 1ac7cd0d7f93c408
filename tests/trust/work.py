"""Jobs on a few processes that may run out of time or die; what they return is written by their parent alone."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

MEMORY = 6 * 2**30
"""Of a process: a loss that broadcasts by mistake fails before the machine does."""

Job = tuple[Any, ...]


def _serve(pipe: Connection, perform: Callable[..., Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    pipe.send(None)  # Its imports are done: the time of the first job begins.
    while (job := pipe.recv()) is not None:
        pipe.send(perform(*job))


@dataclass(slots=True)
class _Worker:
    perform: Callable[..., Any]
    job: Job | None = None
    since: float = 0.0
    pipe: Connection = field(init=False)
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawning.Pipe()
        self.process = spawning.Process(target=_serve, args=(theirs, self.perform), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def give(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()
        self.pipe.send(job)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def done(
    jobs: Iterable[Job], perform: Callable[..., Any], *, workers: int, seconds: float, until: float
) -> Iterator[tuple[Job, Any, str, float]]:
    """Each job with its result, or with None and what became of it (``time`` or ``crash``), and its seconds.

    A job may take so many ``seconds``; after the monotonic time ``until`` none is begun.
    """
    todo = iter(jobs)
    crew: list[_Worker] = []
    try:
        while True:
            while len(crew) < workers and (job := _next(todo, until)) is not None:
                crew.append(_Worker(perform))
                crew[-1].give(job)
            if not crew:
                return
            ready = wait([w.pipe for w in crew], timeout=1.0)
            for worker in list(crew):
                spent = time.monotonic() - worker.since
                assert worker.job is not None
                if worker.pipe in ready:
                    try:
                        yield worker.job, worker.pipe.recv(), "", spent
                    except (EOFError, ConnectionResetError):
                        yield worker.job, None, "crash", spent
                        worker.stop()
                        crew.remove(worker)
                        continue
                    following = _next(todo, until)
                    if following is None:
                        worker.stop()
                        crew.remove(worker)
                    else:
                        worker.give(following)
                elif spent > seconds:
                    yield worker.job, None, "time", spent
                    worker.stop()
                    crew.remove(worker)
    finally:
        for worker in crew:
            worker.stop()


def _next(todo: Iterator[Job], until: float) -> Job | None:
    return next(todo, None) if time.monotonic() < until else None
