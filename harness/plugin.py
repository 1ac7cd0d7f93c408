"""The pytest plugin: options, the ``trial`` parameter, records that survive a worker, the summary."""

from __future__ import annotations

import gc
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import records
from harness.declaring import OPTIONS as DECLARING
from harness.declaring import is_reference
from harness.scheduling import Distributed
from harness.session import DEFAULT_RECORDS, Session, destination

OPTIONS = pytest.StashKey[Session]()
PROPERTY = "lossproof"
SUITE = Path(__file__).with_name("suite.py")


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
            dest=destination(option),
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


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "check(name): a test over every planned trial of this check; takes `trial`")
    if config.args_source is not config.ArgsSource.ARGS and any(map(is_reference, config.getoption("--loss"))):
        config.args[:] = [str(SUITE)]
    config.stash[OPTIONS] = Session(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(config), "lossproof-recorder")
    if config.pluginmanager.hasplugin("xdist") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Distributed(config.stash[OPTIONS]), "lossproof-xdist")


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


def _progress(config: pytest.Config, session: Session, trial: records.Trial) -> None:
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
