"""The pytest plugin: options, the ``trial`` parameter, records that survive a worker, the summary."""

from __future__ import annotations

import gc
import re
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import records
from harness.declaring import OPTIONS as DECLARING
from harness.declaring import Option, is_reference
from harness.resume import Finished, ResumeError, finished, mend, require_same

OPTIONS = pytest.StashKey["_Session"]()
PROPERTY = "lossproof"
SPECIMEN_DTYPES = ("float32", "bfloat16")
"""In which specimens are judged unless a run is thorough or names its dtypes."""
SUITE = Path(__file__).with_name("suite.py")
DEFAULT_RECORDS = Path("build/lossproof/run.jsonl")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lossproof", "correctness and stability of losses")
    group.addoption(
        "--loss",
        action="append",
        default=[],
        metavar="NAME|module:attr",
        help="only this loss; repeatable; of module:attr without a path, all checks",
    )
    for option in DECLARING:
        group.addoption(
            option.flag,
            dest=_destination(option),
            action="append" if option.repeatable else "store",
            default=[] if option.repeatable else option.default,
            metavar=option.metavar,
            help=f"of the --loss module:attr: {option.help}",
        )
    group.addoption("--dtype", action="append", default=[], help="only this dtype; repeatable")
    group.addoption("--device", action="append", default=[], help="judge on this device (default cpu); repeatable")
    group.addoption("--effort", default="ci", help="quick, ci or thorough (default ci)")
    group.addoption("--seed", default=0, type=int, help="of the random rows; equal seeds, equal records")
    group.addoption("--resume", action="store_true", help="run only the trials that --records has no record of")
    group.addoption("--no-strict", action="store_true", help="weaknesses do not fail")
    group.addoption("--records", default=None, metavar="FILE", help=f"where records go (default {DEFAULT_RECORDS})")
    group.addoption("--stability-html", default=None, metavar="FILE", help="write the HTML stability report")


def _destination(option: Option) -> str:
    return f"lossproof_{option.field}"


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "check(name): a test over every planned trial of this check; takes `trial`")
    if config.args_source is not config.ArgsSource.ARGS and any(map(is_reference, config.getoption("--loss"))):
        config.args[:] = [str(SUITE)]
    config.stash[OPTIONS] = _Session(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config), "lossproof-recorder")
    if config.pluginmanager.hasplugin("xdist") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Distributed(config), "lossproof-xdist")


class _Session:
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
        given = {o.field: self.config.getoption(_destination(o)) for o in DECLARING}
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Say what is wrong with an option before anything is collected."""
    options, state = session.config.option, session.config.stash[OPTIONS]
    if options.loss or options.dtype or options.effort != "ci" or any(state.declared().values()):
        state.trials("")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("check")
    if marker is None or "trial" not in metafunc.fixturenames:
        return
    trials = metafunc.config.stash[OPTIONS].trials(marker.args[0])
    cases = [pytest.param(t, id=t.id) for t in trials]
    metafunc.parametrize("trial", cases)


@pytest.fixture
def judged(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Run a trial, attach its records to the report, and fail or skip by its verdict."""
    session = request.config.stash[OPTIONS]

    def judge(trial: Any) -> None:
        from harness.run import run

        __tracebackhide__ = True
        lines = run(trial, session.effort_of(trial), strict=not request.config.getoption("--no-strict"))
        request.node.user_properties.append((PROPERTY, [records.encode(line).decode() for line in lines]))
        record = lines[0]
        assert isinstance(record, records.Trial)
        if record.verdict in ("fail", "stale", "error"):
            pytest.fail(failure_text(record), pytrace=False)
        if record.verdict == "unsupported":
            pytest.skip(f"unsupported: {record.reason}")

    yield judge
    # The report of the teardown would carry the records a second time.
    request.node.user_properties[:] = [p for p in request.node.user_properties if p[0] != PROPERTY]


@pytest.fixture
def assert_sound() -> Any:
    """``assert_sound(loss, like=…)`` for a user's own suite."""
    from harness.api import assert_sound as check

    return check


def failure_text(record: records.Trial) -> str:
    """What fails, with the lines that reproduce it."""
    parts = [f"{record.check} [{record.id}]: {record.verdict}" + (f": {record.reason}" if record.reason else "")]
    for f in record.findings:
        ulp = f", {f.ulp:.3g} ulp" if f.ulp is not None else ""
        parts.append(f"{f.severity} {f.kind}{ulp}, {f.count} of {f.total}: {f.message}")
        parts.extend(f"    {line}" for line in f.reproduction.splitlines())
    return "\n".join(parts)


def trial_of(item: pytest.Item) -> Any:
    """The trial that a test runs; None for another test, and for the placeholder of a check without trials."""
    trial = getattr(getattr(item, "callspec", None), "params", {}).get("trial")
    return trial if hasattr(trial, "check") else None


def keep_unfinished(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --resume: deselect the trials that have a record."""
    done = config.stash[OPTIONS].resumed()
    if done is None:
        return
    finished_items = [i for i in items if (t := trial_of(i)) is not None and done.has(t.check.name, t.id)]
    config.hook.pytest_deselected(items=finished_items)
    items[:] = [i for i in items if i not in set(finished_items)]


def by_subject(items: list[pytest.Item]) -> None:
    """Let trials of one subject follow each other: they share the measurements that a process keeps."""
    places = [k for k, item in enumerate(items) if trial_of(item) is not None]
    first: dict[str, int] = {}
    ordered = sorted(places, key=lambda k: first.setdefault(trial_of(items[k]).subject.name, k))
    moved = dict(zip(places, ordered, strict=True))
    items[:] = [items[moved.get(k, k)] for k in range(len(items))]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    session = config.stash[OPTIONS]
    keep_unfinished(config, items)
    by_subject(items)
    planned = [trial.subject.name for item in items if (trial := trial_of(item)) is not None]
    if (planned or session.resumed()) and not session.worker and not config.option.collectonly:
        session.begin(planned)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Where there are trials: what is collected stays, and no garbage collection need look at it again."""
    if session.config.stash[OPTIONS].by_check:
        gc.freeze()


class _Distributed:
    """Hooks of pytest-xdist, registered only where it is installed."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """The controller collects nothing itself: it knows the ids of the workers."""
        self.config.stash[OPTIONS].collected = ids

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Trials of one group go to one worker, where they share a survey; ``--dist`` other than load is respected."""
        return grouping(config, log) if config.getvalue("dist") == "load" else None


GROUP = re.compile(r"\[(.+?-(?:float64|float32|float16|bfloat16)(?:@[\w:]+)?)(?:: .*)?\]$")
"""What ids of trials of one group have in common."""


def grouping(config: pytest.Config, log: Any) -> Any:
    """A scheduler of pytest-xdist that keeps groups together: its loadgroup renames items, which pytest 9 ignores."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            found = GROUP.search(nodeid)
            return found.group(1) if found else nodeid

    return Groups(config, log)


def _ascii(test_id: str) -> str:
    """How pytest writes an id."""
    return test_id.encode("unicode_escape").decode("ascii")


class _Recorder:
    """The one writer: takes the records off the reports, on the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            _record(self.config, report)


def _record(config: pytest.Config, report: pytest.TestReport) -> None:
    session = config.stash[OPTIONS]
    for key, lines in report.user_properties:
        if key == PROPERTY:
            trial = session.append(list(lines))  # type: ignore[call-overload]  # an object, says pytest
            _progress(config, session, trial)


def _progress(config: pytest.Config, session: _Session, trial: records.Trial) -> None:
    session.done[trial.subject] += 1
    session.findings += sum(f.severity != "note" for f in trial.findings)
    if session.expected[trial.subject] and session.done[trial.subject] == session.expected[trial.subject]:
        finished = sum(session.done[s] >= n for s, n in session.expected.items())
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            elapsed = time.monotonic() - session.started
            reporter.ensure_newline()
            reporter.write_line(
                f"{finished} of {len(session.expected)} losses, {elapsed:.0f} s, {session.findings} findings: "
                f"{trial.subject} done"
            )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield
    state = session.config.stash[OPTIONS]
    if state.worker or state.path is None:
        return
    from reports import html, refusals, text

    lines = list(records.read(state.path))
    if state.resumed() is not None and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        # What the first half found counts too.
        failed = any(isinstance(t, records.Trial) and t.verdict in records.FAILING for t in lines)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK
    target = session.config.getoption("--stability-html")
    reporter = session.config.pluginmanager.getplugin("terminalreporter")

    def say(line: str) -> None:
        if reporter is not None:
            reporter.write_line(line)

    if target:
        html.write(Path(target), lines)
    for line in ["", *refusals.lines(lines), f"records: {state.path}"]:
        say(line)
    if target:
        say(f"report:  {target}")
    say(text.verdict_sentence(lines))
