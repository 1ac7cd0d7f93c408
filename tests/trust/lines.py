"""What the stages write: one JSON object a line, appended, so that an interrupted run goes on where it was."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

KEPT = Path(__file__).resolve().parent / "results"
"""In the repository: what was measured on one machine is there for the next."""


class _Line(msgspec.Struct, frozen=True, tag_field="kind"):
    pass


class Start(_Line, frozen=True, kw_only=True, tag="start"):
    """A run of a stage begins."""

    date: str
    lossproof: str
    source: str = ""
    """Digest of the instrument's source."""
    torch: str
    numpy: str
    python: str
    platform: str
    processor: str

    @property
    def versions(self) -> tuple[str, ...]:
        return self.lossproof, self.torch, self.numpy, self.python, self.platform


class Certified(_Line, frozen=True, kw_only=True, tag="certified"):
    """The worst error of one oracle at one seed."""

    contract: str
    seed: int
    rows: int
    ulp: float
    output: str
    seconds: float

    @property
    def key(self) -> str:
        return f"{self.contract} seed {self.seed}"

    @property
    def settled(self) -> bool:
        return True


class Flagged(_Line, frozen=True, kw_only=True, tag="flagged"):
    """Whether a check flags a planted defect."""

    control: str
    like: str
    family: str
    check: str
    effort: str
    flagged: bool
    seconds: float

    @property
    def key(self) -> str:
        return f"{self.control} at {self.effort}"

    @property
    def settled(self) -> bool:
        return self.flagged


DOUBTFUL = ("error", "time", "crash")
"""Ends of a mutant that may be no merit of the judge."""


class Judged(_Line, frozen=True, kw_only=True, tag="judged"):
    """What became of a mutant, or of the specimen as it is."""

    specimen: str
    source: str
    """Digest of all the source that the specimen runs."""
    mutant: str
    """The key of the mutant; empty for the specimen as it is."""
    line: int
    killed: bool
    by: str = ""
    """The check that says so; or grade, offer, refused, time, crash, error; ``note`` where it is noted and survives."""
    shows: str = ""
    """What it says, shortly."""
    dtype: str = ""
    seconds: float

    @property
    def key(self) -> str:
        return f"{self.specimen} {self.source} {self.mutant}"

    @property
    def settled(self) -> bool:
        return self.killed == bool(self.mutant) and self.by not in DOUBTFUL


class Measured(_Line, frozen=True, kw_only=True, tag="measured"):
    """A sound loss at one dtype and seed."""

    sound: str
    dtype: str
    seed: int
    effort: str
    ok: bool
    shows: str
    value: str
    """The worst grade of the value."""
    gradient: str
    """The worst grade of any gradient; empty where there is none."""
    seconds: float

    @property
    def key(self) -> str:
        return f"{self.sound} {self.dtype} seed {self.seed} at {self.effort}"

    @property
    def settled(self) -> bool:
        return self.ok


Result = Certified | Flagged | Judged | Measured
Line = Start | Result
R = TypeVar("R", Certified, Flagged, Judged, Measured)


def path(stage: str, folder: Path = KEPT) -> Path:
    return folder / f"{stage}.jsonl"


def read(file: Path) -> list[Line]:
    """All lines; one that an interruption cut short is left out."""
    if not file.exists():
        return []
    found: list[Line] = []
    for text in file.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(text, type=Line))
        except msgspec.DecodeError:
            continue
    return found


def append(file: Path, line: Line) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as out:
        out.write(msgspec.json.encode(line) + b"\n")


def done(lines: Iterable[Line], *, again: bool = False) -> set[str]:
    """The keys of all results; when they are to be had ``again``, of those that are as they should be."""
    last = {line.key: line for line in lines if not isinstance(line, Start)}
    return {key for key, line in last.items() if line.settled or not again}


def only(lines: Iterable[Line], kind: type[R]) -> list[R]:
    """The last result of each key, of one kind."""
    return list({line.key: line for line in lines if isinstance(line, kind)}.values())
