"""Going on with a run that was cut short: what it finished, and whether it is the same run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import records

CIRCUMSTANCES = ("lossproof", "torch", "numpy", "python", "platform", "effort", "strict", "seed", "devices")
"""Fields of a Run that must be equal for two halves to make one run."""


class ResumeError(ValueError):
    """The run in a file is not one that can be gone on with; one line that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a file holds of a run."""

    run: records.Run
    trials: frozenset[tuple[str, str]]
    """(check, id) of every trial that has a record."""

    def has(self, check: str, trial_id: str) -> bool:
        return (check, trial_id) in self.trials


def finished(path: Path) -> Finished | None:
    """What ``path`` holds; None where there is no such file. Raises RecordsError for a file that is not of records."""
    if not path.exists():
        return None
    lines = list(records.read(path))
    run = next((line for line in lines if isinstance(line, records.Run)), None)
    if run is None:
        raise ResumeError(f"{path}: expected the record of a run to resume, got none")
    trials = frozenset((t.check, t.id) for t in lines if isinstance(t, records.Trial))
    return Finished(run=run, trials=trials)


def require_same(path: Path, before: records.Run, now: records.Run) -> None:
    """Raise ResumeError unless two runs have the same circumstances."""
    for name in CIRCUMSTANCES:
        then, here = getattr(before, name), getattr(now, name)
        if then != here:
            raise ResumeError(f"{path}: {name}: expected {then!r} as in the run to resume, got {here!r}")


def mend(path: Path) -> None:
    """Drop a last line that was cut off."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        path.write_bytes(whole)
