"""The command: validate, list, explain, report, compare, replay. Exit 0 clean, 1 fail or stale, 2 usage, 3 error."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

    from harness import records
    from harness.plan import Trial


PIPE_WIDTH = 120


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
        return list(records.read(Path(path)))
    except records.RecordsError as error:
        _usage(str(error))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lossproof")
def main() -> None:
    """Correctness and stability of PyTorch losses, against float64 references."""


class _Progress:
    """One line that rewrites itself on a terminal; silence on a short run that is piped, then a line every 10 s."""

    def __init__(self, name: str) -> None:
        self.name, self.started, self.said = name, time.monotonic(), time.monotonic()
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: int, planned: int, trial: Trial) -> None:
        now = time.monotonic()
        line = (
            f"{self.name}: {done} of {planned} trials, {now - self.started:.0f} s: "
            f"{trial.check.name} {trial.precision.name}"
        )
        if self.terminal:
            click.echo(f"\r\x1b[2K{line[:110]}", nl=False, err=True)
        elif now - self.said > 10:
            self.said = now
            click.echo(line, err=True)

    def close(self) -> None:
        if self.terminal:
            click.echo("\r\x1b[2K", nl=False, err=True)


@main.command()
@click.argument("loss", metavar="MODULE:ATTR")
@click.argument("options", metavar="[OPTION=VALUE]...", nargs=-1)
@click.option(
    "--like", metavar="NAME|MODULE:ATTR", help="the contract to hold it to; default: the one of the same name"
)
@click.option("--init", multiple=True, metavar="OPTION=VALUE", help="an option of the loss that holds throughout")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME:]KIND(DIMS)",
    help="what a loss without a contract takes, such as 'logits(N, C)' or 'target: class_index(N)'; repeatable",
)
@click.option("--oracle", metavar="MODULE:ATTR", help="its values in float64, with --input")
@click.option("--law", "laws", multiple=True, metavar="LAW", help="what holds of it, such as non_negative; repeatable")
@click.option("--output", default="", metavar="NAME", help="the part of its result that is the loss")
@click.option("--reduction", multiple=True, metavar="OURS=ITS", help="its name of none, mean or sum; repeatable")
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
@click.option("--html", metavar="FILE", help="write the stability report")
@click.option("--records", "records_file", metavar="FILE", help="write the records")
def validate(
    loss: str,
    options: tuple[str, ...],
    like: str | None,
    init: tuple[str, ...],
    inputs: tuple[str, ...],
    oracle: str | None,
    laws: tuple[str, ...],
    output: str,
    reduction: tuple[str, ...],
    baseline: str | None,
    strict: bool,
    dtype: tuple[str, ...],
    device: tuple[str, ...],
    effort: str,
    seed: int,
    check: tuple[str, ...],
    fail_fast: bool,
    html: str | None,
    records_file: str | None,
) -> None:
    """Judge one loss: MODULE:ATTR or path/to/file.py:ATTR."""
    from harness import api, records
    from harness.inputs import InputsError, settings
    from harness.locate import load

    progress = _Progress(loss.rpartition(":")[2])
    try:
        found, expression, setup = load(loss)
        held: Any = load(like)[0] if like is not None and ":" in like else like
        other: Any = baseline if baseline in (None, "torch") else load(str(baseline))[0]
        result = api.validate(
            found,
            held,
            baseline=other,
            strict=strict,
            dtype=dtype or None,
            device=device or "cpu",
            effort=effort,
            seed=seed,
            check=check or None,
            fail_fast=fail_fast,
            progress=progress,
            inputs=inputs or None,
            oracle=load(oracle)[0] if oracle is not None else None,
            laws=laws,
            init=settings((*init, *options)),
            output=output,
            reductions=settings(reduction) or None,
            expression=expression,
            setup=setup,
        )
    except (api.UsageError, InputsError) as error:
        _usage(str(error))
    finally:
        progress.close()
    if records_file:
        records.write(Path(records_file), result.lines)
    from reports import html as page
    from reports import terminal

    terminal.result(result.lines, _console())
    if html:
        page.write(Path(html), result.lines)
        click.echo(f"report: {html}")
    sys.exit(3 if result.verdict == "error" else 0 if result.ok else 1)


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
