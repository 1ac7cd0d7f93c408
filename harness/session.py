"""What one pytest process knows of a run of the suites: what is planned, and the one file that records go to."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import records
from harness.declaring import OPTIONS as DECLARING
from harness.declaring import Option, is_reference
from harness.resume import Finished, ResumeError, finished, mend, require_same

SPECIMEN_DTYPES = ("float32", "bfloat16")
"""In which specimens are judged unless a run is thorough or names its dtypes."""
DEFAULT_RECORDS = Path("build/lossproof/run.jsonl")


def destination(option: Option) -> str:
    return f"lossproof_{option.field}"


class Session:
    """What one pytest process knows of the run; imports torch only when a test asks for trials."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker = hasattr(config, "workerinput")
        self.by_check: dict[str, list[Any]] | None = None
        self.subjects: tuple[Any, ...] = ()
        self.left_out: tuple[Any, ...] = ()
        self.path: Path | None = None
        self.done: Counter[str] = Counter()
        self.expected: Counter[str] = Counter()
        self.findings = 0
        self.collected: list[str] = []
        self.started = time.monotonic()

    def devices(self) -> tuple[str, ...]:
        return tuple(self.config.getoption("--device")) or ("cpu",)

    def effort(self) -> Any:
        from harness.effort import EFFORTS

        name = self.config.getoption("--effort")
        if name not in EFFORTS:
            raise pytest.UsageError(f"--effort: expected one of {', '.join(EFFORTS)}, got {name!r}")
        return replace(EFFORTS[name], seed=self.config.getoption("--seed"))

    def effort_of(self, trial: Any) -> Any:
        """The effort of a trial: at ``ci`` a specimen, of which there are many, has the quick one."""
        from harness.effort import CI, QUICK

        effort = self.effort()
        quick = trial.subject.specimen is not None and effort.name == CI.name
        return replace(QUICK, seed=effort.seed) if quick else effort

    def spares(self) -> bool:
        """Whether specimens, of which there are many, are left to a thorough run in most dtypes."""
        return self.effort().name != "thorough" and not self.config.getoption("--dtype")

    def spared(self, trial: Any) -> bool:
        """Whether a trial is left to a thorough run."""
        return trial.subject.specimen is not None and trial.precision.name not in SPECIMEN_DTYPES and self.spares()

    def left_to_thorough(self) -> list[records.NotRun]:
        """What ``spared`` leaves out, for the records."""
        many = [s for s in self.subjects if s.specimen is not None]
        if not many or not self.spares():
            return []
        what = f"{len(many)} specimens in other dtypes than {' and '.join(SPECIMEN_DTYPES)}"
        return [records.NotRun(what=what, reason="left to --effort thorough")]

    @property
    def records_path(self) -> Path:
        given = self.config.getoption("--records")
        return Path(given) if given else DEFAULT_RECORDS

    def header(self, planned: int) -> records.Run:
        from harness.run import header

        strict = not self.config.getoption("--no-strict")
        return header(self.effort(), strict=strict, devices=self.devices(), planned=planned)

    def resumed(self) -> Finished | None:
        """What --resume goes on with; None without the option or without a file."""
        if not self.config.getoption("--resume"):
            return None
        try:
            if (done := finished(self.records_path)) is not None:
                require_same(self.records_path, done.run, self.header(0))
        except (records.RecordsError, ResumeError) as error:
            raise pytest.UsageError(f"--resume: {error}") from None
        return done

    def trials(self, check: str) -> list[Any]:
        """Trials of one check, planned once a process."""
        if self.by_check is None:
            import torch

            from harness.api import UsageError, checked
            from harness.plan import plan
            from harness.ulp import PRECISIONS

            torch.set_num_threads(1)
            self.effort()
            try:
                self.subjects = self._subjects()
                dtypes = checked(self.config.getoption("--dtype") or None, list(PRECISIONS), "--dtype")
            except UsageError as error:
                raise pytest.UsageError(str(error)) from None
            self.by_check = {}
            for trial in plan(self.subjects, dtypes=dtypes, devices=self.devices()):
                if self.spared(trial):
                    continue
                self.by_check.setdefault(trial.check.name, []).append(trial)
        return self.by_check.get(check, [])

    def everything(self) -> list[Any]:
        """All planned trials."""
        self.trials("")
        return [t for trials in (self.by_check or {}).values() for t in trials]

    def declared(self) -> dict[str, Any]:
        """What the options say of the losses that are named by module:attr."""
        given = {o.field: self.config.getoption(destination(o)) for o in DECLARING}
        return {field: tuple(value) if isinstance(value, list) else value for field, value in given.items()}

    def asked(self, reference: str) -> Any:
        """The Request for a loss, as the command makes it."""
        from harness.wire import Request

        return Request(loss=reference, **self.declared())

    def require_reference(self, wanted: list[str]) -> None:
        """Raises UsageError where something is declared and no loss of the user is named."""
        said = self.declared()
        alone = [o.flag for o in DECLARING if said[o.field]]
        if alone and not any(map(is_reference, wanted)):
            named = ", ".join(wanted) or "none"
            raise pytest.UsageError(f"{', '.join(alone)}: expected --loss module:attr beside it, got {named}")

    def _subjects(self) -> tuple[Any, ...]:
        from harness import registry
        from harness.locate import located

        wanted = self.config.getoption("--loss")
        self.require_reference(wanted)
        everything = (*registry.subjects(), *registry.specimens())
        if not wanted:
            self.left_out = tuple(s for s in everything if s.unsettled)
            return tuple(s for s in everything if not s.unsettled)
        chosen: list[Any] = []
        for name in wanted:
            if is_reference(name):
                chosen.append(located(self.asked(name)))
                continue
            found = [
                s
                for s in everything
                if name in (s.name, s.contract.name, s.contract.module, re.split(r"[./]", s.name)[-1])
            ]
            if not found:
                registry_error = _unknown(name)
                raise pytest.UsageError(registry_error)
            chosen += found
        return tuple(chosen)

    # -- the controller writes ----------------------------------------------------------------------------------------

    def begin(self, planned: list[str]) -> None:
        """Write the header; ``planned`` names the Subject of every planned trial."""
        from harness.plan import not_run
        from harness.run import declarations

        self.path = self.records_path
        self.expected = Counter(planned)
        if self.resumed() is not None:
            mend(self.path)
            return
        first: list[records.Line] = [self.header(len(planned)), *declarations(self.subjects)]
        records.write(
            self.path, [*first, *not_run(self.devices(), self.left_out, self.subjects), *self.left_to_thorough()]
        )

    def append(self, lines: list[str]) -> records.Trial:
        """Write lines as they arrive, so that nothing measured is lost with a worker or an interrupt."""
        if self.path is None:
            inside = [i[i.index("[") + 1 : i.rindex("]")] for i in self.collected if "[" in i]
            subjects = {_ascii(t.id): t.subject.name for t in self.everything()}
            self.begin([subjects[i] for i in inside if i in subjects])
        assert self.path is not None
        # The record of a trial comes last: where it is, everything that belongs to it is.
        with self.path.open("a") as file:
            file.writelines(line + "\n" for line in (*lines[1:], *lines[:1]))
        trial = records.decode(lines[0])
        assert isinstance(trial, records.Trial)
        return trial


def _unknown(name: str) -> str:
    from harness import registry

    try:
        registry.contract(name)
    except registry.UnknownNameError as error:
        return f"--loss {error}"
    return f"--loss {name!r}: has a contract but no registered subject; write --loss module:attr --like {name}"


def _ascii(test_id: str) -> str:
    """How pytest writes an id."""
    return test_id.encode("unicode_escape").decode("ascii")
