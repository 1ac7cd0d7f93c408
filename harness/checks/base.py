"""The registry of checks, and what a check sees and says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from harness.binding import Subject
from harness.effort import Effort
from harness.records import Finding
from harness.survey import Measurement, measure
from harness.ulp import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a check may look at: one Subject in one dtype on one device, and one row of its table."""

    subject: Subject
    precision: Precision
    device: str
    effort: Effort
    item: str = ""
    baseline: Subject | None = None

    def measurement(self) -> Measurement:
        """The survey of this Subject in this dtype; done once a process."""
        return measure(self.subject, self.precision, self.effort, self.device, self.baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check found. No findings, nothing unsupported: it passed."""

    findings: tuple[Finding, ...] = ()
    excused: tuple[str, ...] = ()
    """Names of Deviations and Faults that were seen."""
    shared: tuple[Finding, ...] = ()
    """What the baseline shows too."""
    unsupported: str = ""
    """The message of the exception that the Subject declares."""
    cases: int = 0
    stale: tuple[str, ...] = ()
    """Faults whose witnesses no longer show them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question."""

    name: str
    run: Callable[[Context], Outcome]
    items: Callable[[Subject], tuple[str, ...]] = field(default=lambda subject: ("",))
    """Rows of its table for a Subject; one trial each. No rows: the check does not apply."""
    dtypes: Callable[[Subject, str], tuple[str, ...]] | None = None
    """Dtypes in which an item is asked; None for all four."""


@lru_cache(maxsize=512)
def answered(check: Check, context: Context) -> Outcome:
    """What a check says of a specimen, asked once a process: by the run, and by what is declared of the specimen."""
    return check.run(context)


_checks: dict[str, Check] = {}


def register(check: Check) -> Check:
    """Add a check to the catalogue; its name must be new."""
    if check.name in _checks:
        raise ValueError(f"check {check.name!r}: expected a new name, got one already registered")
    _checks[check.name] = check
    return check


def registered() -> Iterator[Check]:
    """Every check in the order of registration."""
    return iter(_checks.values())
