"""Which trials a run consists of: Subject x Check x item x dtype x device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness import checks as package
from harness import records
from harness.binding import Subject
from harness.checks.base import Check, registered
from harness.checks.ledger import witnessed
from harness.evaluate import available
from harness.records import NotRun
from harness.ulp import PRECISIONS, Precision

SURVEY_CHECK = "value"
"""The check whose trial carries the survey of its dtype, and the one that says that a result is out of shape."""
SURVEYED = (SURVEY_CHECK, "gradient", "range")
"""The checks that read it."""
TWIN_CHECKS = ("twin",)
"""What a module is asked: whether it is its functional form, bit for bit. Everything else is asked of that form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The unit that is planned, run, recorded and named in a test id."""

    subject: Subject
    check: Check
    item: str
    precision: Precision
    device: str

    @property
    def dtype(self) -> str:
        return self.precision.name

    @property
    def id(self) -> str:
        """A law a person can read: the loss, the dtype, the device where it is not the CPU, the row."""
        where = "" if self.device == "cpu" else f"@{self.device}"
        return f"{self.subject.name}-{self.precision.name}{where}" + (f": {self.item}" if self.item else "")


def _load_checks() -> list[Check]:
    import importlib
    import pkgutil

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    # By module and not by registration, which depends on what else was imported first.
    return sorted(registered(), key=lambda check: check.run.__module__)


def catalogue() -> list[Check]:
    """Every check."""
    return _load_checks()


def plan(
    subjects: Iterable[Subject],
    *,
    dtypes: Sequence[str] = tuple(PRECISIONS),
    devices: Sequence[str] = ("cpu",),
    checks: Sequence[str] | None = None,
) -> list[Trial]:
    """Every trial, in the order in which they share work: by subject, device, dtype, check."""
    wanted = [c for c in catalogue() if checks is None or c.name in checks]
    trials = []
    for subject in subjects:
        mine = [c for c in wanted if (c.name in TWIN_CHECKS) == (subject.twin is not None)]
        if subject.misshapen:  # whatever was asked for: nothing else can be said of it
            mine = [c for c in catalogue() if c.name == SURVEY_CHECK]
        rows = [(check, item) for check in mine for item in check.items(subject)]
        for device in devices:
            if available(device):
                continue
            for dtype in dtypes:
                for check, item in rows:
                    if check.dtypes is None or dtype in check.dtypes(subject, item):
                        trials.append(
                            Trial(subject=subject, check=check, item=item, precision=PRECISIONS[dtype], device=device)
                        )
    return trials


def shares(trials: Sequence[Trial] | Sequence[records.Trial], count: int) -> list[range]:
    """The numbers of the trials, planned or on record, in ``count`` runs of about as many groups.

    Trials of a device and dtype that read the survey share the work of it and stay together; so do the others.
    """
    groups = [(t.device, t.dtype, _checked(t) in SURVEYED) for t in trials]
    starts = [i for i, group in enumerate(groups) if i == 0 or group != groups[i - 1]]
    cuts = [0, *(starts[len(starts) * k // count] for k in range(1, count) if starts), len(trials)]
    return [range(first, last) for first, last in pairwise(cuts)]


def _checked(trial: Trial | records.Trial) -> str:
    return trial.check if isinstance(trial, records.Trial) else trial.check.name


def not_run(devices: Sequence[str], left_out: Iterable[Subject] = (), judged: Iterable[Subject] = ()) -> list[NotRun]:
    """One record for every device that was asked for and is not here, and for every Subject that is left out.

    And for what cannot be asked of one that holds parameters: the witnesses of its Faults are of other values.
    """
    absent = [NotRun(what=f"device {d}", reason=reason) for d in devices if (reason := available(d))]
    absent += [NotRun(what=s.name, reason=s.unsettled) for s in left_out if s.unsettled]
    held = [s for s in judged if s.held and witnessed(s)]
    return absent + [
        NotRun(what=f"check witness of {s.name}", reason=f"its witnesses are of other values of {', '.join(s.held)}")
        for s in held
    ]
