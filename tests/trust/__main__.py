"""``python -m tests.trust``: run what is missing, then write docs/trust.md from all that is known."""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import itertools
import os
import sys
import time
from pathlib import Path

from harness.effort import EFFORTS
from harness.run import header
from tests.trust import lines, page, work
from tests.trust.stages import STAGES, Stage

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "trust.md"


def source() -> str:
    """Digest of the oracles and the instrument: results of another state of them are shown beside it."""
    files = sorted(file for room in ("reference", "harness") for file in (ROOT / room).rglob("*.py"))
    return hashlib.sha256(b"\n".join(file.read_bytes() for file in files)).hexdigest()[:12]


def start() -> lines.Start:
    """The circumstances of a run, now and here."""
    run = header(EFFORTS["quick"], strict=True, devices=("cpu",), planned=0)
    return lines.Start(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        lossproof=run.lossproof,
        source=source(),
        torch=run.torch,
        numpy=run.numpy,
        python=run.python,
        platform=run.platform,
        processor=run.processor,
    )


def known(stage: str, versions: tuple[str, ...]) -> list[lines.Line]:
    """What a stage has written, if all of it is of these versions; else nothing of it counts."""
    found = lines.read(lines.path(stage))
    starts = [line for line in found if isinstance(line, lines.Start)]
    if any(s.versions != versions for s in starts):
        lines.path(stage).rename(lines.path(f"{stage}.of-other-versions"))
        return []
    return found


def run(stage: Stage, *, again: bool, limit: int | None, workers: int, until: float) -> None:
    """Do what is left of a stage; ``again`` also what did not come out as it should."""
    now, file = start(), lines.path(stage.name)
    found = known(stage.name, now.versions)
    tried, left = lines.done(found, again=again), limit
    begun = False
    while jobs := dict(itertools.islice(((k, j) for k, j in stage.jobs(found).items() if k not in tried), left)):
        if time.monotonic() >= until:
            return
        if not begun:
            lines.append(file, now)
            begun = True
        made = work.done(jobs.values(), stage.perform, workers=workers, seconds=stage.seconds, until=until)
        for number, (job, result, why, spent) in enumerate(made, 1):
            kept = stage.lost(job, why, spent) if why else result
            if kept is not None:
                lines.append(file, kept)
                found.append(kept)
            sys.stdout.write(f"{stage.name} {number}/{len(jobs)} {spent:.1f} s {' '.join(map(str, job))} {why}\n")
            sys.stdout.flush()
        tried |= set(jobs)
        left = None if left is None else left - len(jobs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("--stage", choices=list(STAGES), action="append", help="only this part (may be repeated)")
    parser.add_argument("--limit", type=int, help="at most so many jobs of each part")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--minutes", type=float, default=115.0, help="begin nothing after so many minutes")
    parser.add_argument("--fresh", action="store_true", help="forget what is known of the parts that are run")
    parser.add_argument("--again", action="store_true", help="run anew what did not come out as it should")
    parser.add_argument("--page", action="store_true", help="run nothing, only write docs/trust.md")
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    for name in () if given.page else given.stage or STAGES:
        if given.fresh:
            lines.path(name).unlink(missing_ok=True)
        run(STAGES[name], again=given.again, limit=given.limit, workers=given.workers, until=until)
    found = [line for name in STAGES for line in lines.read(lines.path(name))]
    PAGE.write_text(page.render(found, page.catalogue()), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
