"""Two runs beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.records import Line, Trial

ORDER = ("pass", "unsupported", "deviation", "fault", "stale", "fail", "error")


@dataclass(frozen=True, slots=True)
class Change:
    """A trial whose verdict differs between two runs; a missing trial is ``absent``."""

    trial: str
    before: str
    after: str

    @property
    def worse(self) -> bool:
        """Whether the later run is worse; a trial that is gone counts as worse, since it can no longer fail."""
        if self.after == "absent":
            return True
        return self.before != "absent" and ORDER.index(self.after) > ORDER.index(self.before)

    def __str__(self) -> str:
        return f"{'worse ' if self.worse else ''}{self.trial}: {self.before} -> {self.after}"


def compared(before: Iterable[Line], after: Iterable[Line]) -> list[Change]:
    """Every trial whose verdict differs, in alphabetical order."""
    first, second = _verdicts(before), _verdicts(after)
    return [
        Change(trial, first.get(trial, "absent"), second.get(trial, "absent"))
        for trial in sorted(first.keys() | second.keys())
        if first.get(trial) != second.get(trial)
    ]


def _verdicts(lines: Iterable[Line]) -> dict[str, str]:
    return {f"{line.check}[{line.id}]": line.verdict for line in lines if isinstance(line, Trial)}
