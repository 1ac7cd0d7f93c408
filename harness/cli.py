"""The command: validate, list, explain, report, compare, replay. Exit 0 clean, 1 fail or stale, 2 usage, 3 error."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from harness.declaring import OPTIONS

if TYPE_CHECKING:
    from rich.console import Console

    from harness import records


PIPE_WIDTH = 120
INTERRUPTED = 130


def _usage(message: str) -> NoReturn:
    click.echo(f"lossproof: {message}", err=True)
    sys.exit(2)


def _console() -> Console:
    from rich.console import Console

    # In a pipe there is no width to keep to: tables need not be folded.
    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, soft_wrap=True, width=PIPE_WIDTH if free else None)


def _read(path: str) -> list[records.Line]:
    from harness import records

    try:
        lines = list(records.read(Path(path)))
    except records.RecordsError as error:
        _usage(str(error))
    if not lines:
        _usage(f"{path}: expected lossproof records, got none")
    return lines


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lossproof")
def main() -> None:
    """Correctness and stability of PyTorch losses, against float64 references."""


class _Progress:
    """One line that rewrites itself on a terminal; silence on a short run that is piped, then a line every 10 s."""

    def __init__(self, name: str) -> None:
        self.name, self.started, self.said = name, time.monotonic(), time.monotonic()
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: int, planned: int, trial: records.Trial) -> None:
        now = time.monotonic()
        line = f"{self.name}: {done} of {planned} trials, {now - self.started:.0f} s: {trial.check} {trial.dtype}"
        if self.terminal:
            click.echo(f"\r\x1b[2K{line[:110]}", nl=False, err=True)
        elif now - self.said > 10:
            self.said = now
            click.echo(line, err=True)

    def close(self) -> None:
        if self.terminal:
            click.echo("\r\x1b[2K", nl=False, err=True)


def _declaring(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options that say what a loss is."""
    for option in reversed(OPTIONS):
        default = () if option.repeatable else option.default
        command = click.option(
            option.flag,
            option.field,
            multiple=option.repeatable,
            default=default,
            metavar=option.metavar,
            help=option.help,
        )(command)
    return command


@main.command()
@click.argument("loss", metavar="MODULE:ATTR|FILE.py")
@click.argument("options", metavar="[OPTION=VALUE]...", nargs=-1)
@_declaring
@click.option(
    "--baseline", metavar="torch|MODULE:ATTR", help="judge this too on the same cases; only what is worse fails"
)
@click.option("--strict", is_flag=True, help="weaknesses fail too")
@click.option("--dtype", multiple=True, metavar="DTYPE", help="only this dtype; repeatable")
@click.option("--device", multiple=True, metavar="DEVICE", help="judge on this device (default cpu); repeatable")
@click.option("--effort", default="quick", show_default=True, metavar="NAME", help="quick, ci or thorough")
@click.option("--seed", default=0, show_default=True, help="of the random rows; equal seeds give equal records")
@click.option("--check", multiple=True, metavar="CHECK", help="only this check, such as gradient; repeatable")
@click.option("--fail-fast", is_flag=True, help="stop after the first trial that fails")
@click.option(
    "--time-limit", default=20.0, show_default=True, metavar="SECONDS", help="what one call of the loss may take"
)
@click.option(
    "--memory-limit", default=8.0, show_default=True, metavar="GIB", help="what each of its processes may allocate"
)
@click.option("--html", metavar="FILE", help="write the stability report")
@click.option("--records", "records_file", metavar="FILE", help="write the records")
def validate(
    fail_fast: bool, time_limit: float, memory_limit: float, html: str | None, records_file: str | None, **asked: Any
) -> None:
    """Judge one loss: MODULE:ATTR or path/to/file.py:ATTR, or what the one Declaration in path/to/file.py says.

    It runs in processes of its own, as many as there are processors and dtypes: one that crashes or hangs is a finding,
    and the rest of the run goes on.
    """
    gc.disable()  # what is imported stays: looking for garbage in it is a tenth of the time
    from harness import records
    from harness.confined import RefusedError, Supervisor
    from harness.wire import Limits, Request

    for option, value in (("--time-limit", time_limit), ("--memory-limit", memory_limit)):
        if not value > 0:
            _usage(f"{option}: expected a positive number, got {value:g}")
    request = Request(**asked)
    progress = _Progress(request.name)
    limits = Limits(seconds=time_limit, gib=memory_limit)
    run = Supervisor(request, limits, fail_fast=fail_fast, progress=progress)
    interrupted = False
    try:
        run.run()
    except RefusedError as refusal:
        if not refusal.ours:
            _usage(str(refusal))
        click.echo(str(refusal), err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        interrupted = True
        if not run.trials:
            raise
    finally:
        progress.close()
        gc.enable()
    if records_file:
        records.write(Path(records_file), run.lines)
    from reports import html as page
    from reports import terminal

    if html:  # before anything is printed: the reader of a pipe may have seen enough
        page.write(Path(html), run.lines)
    terminal.result(run.lines, _console())
    if html:
        click.echo(f"report: {html}")
    sys.exit(INTERRUPTED if interrupted else run.status)


@main.command("list")
def list_() -> None:
    """Every loss that has a contract."""
    from harness import registry

    catalogue = registry.contracts().values()
    names, classes = (max(len(getattr(c, field)) for c in catalogue) + 2 for field in ("name", "module"))
    for contract in catalogue:
        click.echo(f"{contract.name:{names}}{contract.module:{classes}}{contract.summary}")


@main.command()
@click.argument("name")
def explain(name: str) -> None:
    """What is declared of one loss: formula, arguments, scales, special values, laws, documented deviations."""
    from harness import registry
    from harness.explain import explanation

    try:
        contract = registry.contract(name)
    except registry.UnknownNameError as error:
        _usage(str(error))
    click.echo(explanation(contract))


@main.command()
@click.argument("file", metavar="RUN.JSONL")
@click.option("--html", metavar="FILE", help="write the HTML report here")
@click.option("--markdown", is_flag=True, help="print Markdown instead of the terminal summary")
def report(file: str, html: str | None, markdown: bool) -> None:
    """Render the records of a run."""
    from reports import html as page
    from reports import markdown as text
    from reports import terminal

    lines = _read(file)
    if html:
        page.write(Path(html), lines)
        click.echo(f"report: {html}")
    elif markdown:
        click.echo(text.render(lines))
    else:
        terminal.summary(lines, _console())


@main.command()
@click.argument("before", metavar="BEFORE.JSONL")
@click.argument("after", metavar="AFTER.JSONL")
def compare(before: str, after: str) -> None:
    """What changed between two runs. Exit 0 where nothing is worse, 1 where something is."""
    from reports.compare import compared

    changes = compared(_read(before), _read(after))
    for change in changes:
        click.echo(str(change))
    worse = sum(c.worse for c in changes)
    click.echo(f"{len(changes)} trials differ, {worse} of them worse")
    sys.exit(1 if worse else 0)


@main.command()
@click.argument("file", metavar="RUN.JSONL")
@click.argument("trial", metavar="TRIAL-ID")
def replay(file: str, trial: str) -> None:
    """Run the cases of one trial's findings again, bit for bit, and say whether they still give what was recorded."""
    from harness import records
    from harness.replay import replayed

    lines = _read(file)
    chosen = [
        line for line in lines if isinstance(line, records.Trial) and trial in (line.id, f"{line.check}[{line.id}]")
    ]
    if not chosen:
        _usage(f"trial {trial!r}: expected the id of a trial in {file}, got none of that name")
    results = [r for t in chosen for r in replayed(t)]
    for result in results:
        click.echo(str(result))
    if not results:
        click.echo(f"{trial}: has no findings with a case to replay")
    sys.exit(0 if all(r.same for r in results) else 1)
