"""The Python door: ``validate`` a loss, ``assert_sound`` in a test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from harness import records, registry
from harness.adapter import fixed_options, label_of, with_options
from harness.annotations import annotated
from harness.binding import BindingError, Subject, bind, fixed_by_partial, options_of
from harness.cases import NoReferenceError
from harness.conduct import undisturbed
from harness.contract import Arrange, Contract
from harness.custom import Inputs, custom
from harness.effort import EFFORTS, Effort
from harness.evaluate import settled
from harness.inputs import InputsError
from harness.itself import Values
from harness.lawbook import UnknownLawError
from harness.laws import Law
from harness.offering import offered
from harness.plan import Trial, catalogue, not_run, plan
from harness.run import declarations, header, run
from harness.ulp import PRECISIONS

Progress = Callable[[int, int, Trial], None]


EXAMPLE = "--input 'logits(N, C)' --input 'class_index(N, classes=C)'"


class UsageError(ValueError):
    """What was asked for cannot be done; one line that says thing, expected, got."""


class UnsoundLossError(AssertionError):
    """A loss has findings that fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What ``validate`` found out; a pure view of its records."""

    lines: tuple[records.Line, ...] = field(repr=False)
    strict: bool

    @property
    def trials(self) -> list[records.Trial]:
        return [line for line in self.lines if isinstance(line, records.Trial)]

    @property
    def ok(self) -> bool:
        """No trial failed, went stale or ended in an error."""
        return not _failed(self.lines)

    @property
    def verdict(self) -> str:
        """The worst verdict of all trials."""
        order = ("error", "fail", "stale", "fault", "deviation", "unsupported", "pass")
        return min((t.verdict for t in self.trials), key=order.index, default="pass")

    @property
    def findings(self) -> list[records.Finding]:
        """Everything found, defects first."""
        order = {"defect": 0, "weakness": 1, "note": 2}
        return sorted((f for t in self.trials for f in t.findings), key=lambda f: order[f.severity])

    def raise_for_findings(self) -> None:
        """Raise UnsoundLossError with every failing finding and its reproduction, if there is one."""
        if self.ok:
            return
        failing = [t for t in self.trials if t.verdict in records.FAILING]
        text = [f"{len(failing)} of {len(self.trials)} trials fail"]
        for t in failing:
            text += [f"- {t.check} [{t.id}]: {t.verdict} {t.reason}".rstrip()]
            text += [f"  {f.severity}: {f.message}\n{_indented(f.reproduction)}" for f in t.findings]
        raise UnsoundLossError("\n".join(text))

    def to_html(self) -> str:
        """The stability report as one offline HTML page."""
        from reports import html

        return html.render(self.lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: the report with its tables and plots."""
        from reports import html

        return html.framed(self.lines)


def _failed(lines: Sequence[records.Line]) -> bool:
    return any(isinstance(line, records.Trial) and line.verdict in records.FAILING for line in lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread: the blocks are small, and sums must not depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@undisturbed()
def subject_for(
    loss: Any,
    like: str | Contract | None,
    *,
    init: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    output: str = "",
    reductions: Mapping[str, Any] | None = None,
    name: str = "",
    expression: str = "",
    setup: str = "import torch",
) -> Subject:
    """The Subject that ``loss`` is or becomes. Raises UsageError where no Contract fits."""
    known = registry.subject_of(loss) if not isinstance(like, Contract) else None
    label = label_of(loss, name)
    try:
        if like is None:
            contract = known.contract if known is not None else registry.contract(label)
        else:
            contract = like if isinstance(like, Contract) else registry.contract(like)
    except registry.UnknownNameError as error:
        hint = f"; write validate({label}, like=NAME) or --like NAME, or declare its inputs, as {EXAMPLE}"
        raise UsageError(f"{error}{hint if like is None else ''}") from None
    itself = known if known is not None and known.contract is contract else None
    options, given = _plain(init or {}), _plain(parameters or {})
    if itself is not None and not (options or given or output or reductions):
        return itself if itself.twin is None else replace(itself, twin=None)
    if itself is not None:
        expression, setup = itself.expression, itself.setup
    if ours := [n for n in options if n == "reduction" or n in {a.name for a in contract.args}]:
        raise UsageError(f"init: {ours[0]!r} is varied by lossproof: expected options beside the tensors and reduction")
    names = [p.name for p in contract.parameters]
    checked(list(given), names, f"parameters of {contract.name}")
    partly = fixed_by_partial(loss)
    for n in [n for n in given if n in partly and given[n] != partly[n]]:
        raise UsageError(f"parameters: {n}: expected {partly[n]!r}, at which {label} fixes it, got {given[n]!r}")
    held = {n: v for n, v in {**partly, **options, **given}.items() if n in names}
    try:
        raw, written = loss, expression or label
        loss = fixed_options(loss, options)
        if options:
            expression, setup = with_options(expression or label, options), f"import functools\n{setup}"
        bound = bind(
            loss,
            contract.pinned(held),
            name=label,
            expression=expression or label,
            setup=setup,
            reductions=reductions,
            output=output,
        )
        if itself is not None:
            bound = replace(bound, faults=itself.faults, unsupported=itself.unsupported, origin=itself.origin)
        lines = "\n".join([bound.setup, *bound.reducing.lines(raw, written)])
        bound = offered(replace(bound, held=held, setup=lines), reductions)
    except (BindingError, ValueError) as error:
        raise UsageError(str(error)) from None
    if taken := [n for n in given if n in bound.parameters and n not in partly]:
        raise UsageError(f"parameters: {label} takes {taken[0]!r} itself: make it an option, with init or --init")
    return settled(bound)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of NumPy as Python's."""
    return {n: v.item() if isinstance(v, np.generic) else v for n, v in values.items()}


@undisturbed()
def declared_subject(
    loss: Any, like: str | Contract | None, inputs: Inputs, *, parameters: Mapping[str, Any] | None, **declared: Any
) -> Subject:
    """The Subject of a loss that is declared by its inputs. Raises UsageError in one line."""
    if like is not None:
        raise UsageError("inputs: expected either them or like=NAME, got both")
    if parameters:
        raise UsageError(f"parameters: {', '.join(parameters)}: expected like=NAME beside it, got inputs")
    try:
        return custom(loss, inputs, **declared)
    except (BindingError, InputsError, UnknownLawError, NoReferenceError) as error:
        raise UsageError(str(error)) from None


def baseline_for(baseline: Any, subject: Subject) -> Subject | None:
    """``"torch"`` for the builtin, with what the Subject holds fixed, or any callable for the same Contract."""
    contract = subject.contract
    if baseline is None:
        return None
    if baseline == "torch":
        known = registry.named(contract.name)
        same = known is not None and known.oracle is contract.oracle
        found = registry.functional(known) if known is not None and same else None
        if found is None:
            raise UsageError(f"baseline 'torch': expected a torch builtin for {contract.name}, got none")
        return subject_for(found.loss, None, init=subject.held)
    like = contract if registry.subject_of(baseline) is None else contract.name
    names, open_ended = options_of(baseline)
    taken = {n: v for n, v in subject.held.items() if n in names or open_ended}
    rest = {n: v for n, v in subject.held.items() if n not in taken}
    return subject_for(baseline, like, init=taken, parameters=rest)


def checked(values: Sequence[str] | str | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """``values`` as a tuple of known names; None for all."""
    if values is None:
        return tuple(known)
    chosen = (values,) if isinstance(values, str) else tuple(values)
    for value in chosen:
        if value not in known:
            raise UsageError(f"{what}: expected one of {', '.join(known)}, got {value!r}")
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is settled before the first trial runs."""

    first: tuple[records.Line, ...]
    trials: tuple[Trial, ...]
    budget: Effort
    strict: bool
    baseline: Subject | None

    def judged(self, number: int) -> list[records.Line]:
        """The records of one trial."""
        return run(self.trials[number], self.budget, strict=self.strict, baseline=self.baseline)


def chosen_subject(
    loss: Any,
    like: str | Contract | None,
    inputs: Inputs | None,
    *,
    declared: Mapping[str, Any],
    said: Mapping[str, Any],
    intended: Mapping[str, Any],
) -> Subject:
    """The Subject of a loss, by its Contract or by its inputs; annotations are inputs where nothing else is known.

    ``declared`` are the options of ``validate`` that need inputs, ``said`` those of every loss, ``intended`` what it
    does on purpose. Raises UsageError.
    """
    if (
        inputs is None
        and like is None
        and registry.named(label_of(loss, said.get("name", ""))) is None
        and annotated(loss)
    ):
        inputs = {}
    if inputs is not None:
        return as_intended(declared_subject(loss, like, inputs, **declared, **said), **intended)
    if alone := [n for n, v in declared.items() if v]:
        raise UsageError(f"{', '.join(alone)}: expected inputs={{...}} beside it, got none")
    return as_intended(subject_for(loss, like, **said), **intended)


def as_intended(subject: Subject, stop_gradient: Sequence[str] | str = (), upcast: str = "") -> Subject:
    """The Subject with what its author means; an oracle's gradient in a stopped argument judges nothing.

    Raises UsageError.
    """
    contract = subject.contract
    stopped = checked(stop_gradient, [a.name for a in contract.args if a.differentiable], "stop_gradient")
    if upcast:
        checked(upcast, ("float32", "float64"), "upcast")
    if stopped and not contract.own_gradients:
        args = tuple(replace(a, differentiable=a.differentiable and a.name not in stopped) for a in contract.args)
        contract = replace(contract, args=args)
    return replace(subject, contract=contract, stop_gradient=stopped, upcast=upcast) if stopped or upcast else subject


def prepare(
    subject: Subject,
    *,
    baseline: Any = None,
    strict: bool = False,
    dtype: Sequence[str] | str | None = None,
    device: Sequence[str] | str = "cpu",
    effort: str = "quick",
    seed: int = 0,
    check: Sequence[str] | str | None = None,
) -> Prepared:
    """The trials of a Subject, planned. Options and errors as of ``validate``."""
    checked([effort], list(EFFORTS), "effort")
    dtypes = checked(dtype, list(PRECISIONS), "dtype")
    checks = checked(check, [c.name for c in catalogue()], "check")
    devices = (device,) if isinstance(device, str) else tuple(device)
    budget = replace(EFFORTS[effort], seed=seed)
    other = baseline_for(baseline, subject)
    trials = plan([subject], dtypes=dtypes, devices=devices, checks=checks)
    absent = not_run(devices, judged=[subject] if "witness" in checks else [])
    if not trials:
        why = (
            "; ".join(f"{line.what}: {line.reason}" for line in absent)
            or f"none of the checks {', '.join(checks)} applies"
        )
        raise UsageError(f"{subject.name}: expected something to judge, got nothing: {why}")
    with one_thread():  # as the trials will run
        whole = header(budget, strict=strict, devices=devices, planned=len(trials))
    first: tuple[records.Line, ...] = (whole, *declarations([subject]), *absent)
    return Prepared(first=first, trials=tuple(trials), budget=budget, strict=strict, baseline=other)


def validate(
    loss: Any,
    like: str | Contract | None = None,
    *,
    baseline: Any = None,
    strict: bool = False,
    dtype: Sequence[str] | str | None = None,
    device: Sequence[str] | str = "cpu",
    effort: str = "quick",
    seed: int = 0,
    check: Sequence[str] | str | None = None,
    fail_fast: bool = False,
    progress: Progress | None = None,
    inputs: Inputs | None = None,
    oracle: Values | None = None,
    laws: Sequence[str | Law] = (),
    init: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    output: str = "",
    reductions: Mapping[str, Any] | None = None,
    arrange: Arrange | None = None,
    stop_gradient: Sequence[str] | str = (),
    upcast: str = "",
    name: str = "",
    expression: str = "",
    setup: str = "import torch",
) -> Result:
    """Judge a loss against the float64 oracle of a Contract, or one that is declared by its inputs.

    ``loss`` is a function, a Module class or a ready object; ``like`` a name that ``lossproof list`` shows, a class
    name, or a Contract; without it the Contract of the loss's own name. With a ``baseline`` (``"torch"`` or a callable)
    both are judged on the same cases and only what is worse fails. ``strict`` counts weaknesses as failures;
    ``check`` leaves out all checks but the named ones; ``fail_fast`` stops after the first trial that is not ok.
    ``seed`` draws other random rows; equal seeds give equal records, timings aside. ``init`` are options that hold
    throughout, of a class or a function; the Contract is held to what it has of them. ``parameters`` are those of the
    Contract that the loss does not take, at what its code has in their place: a triplet loss written without ``eps`` is
    judged with ``parameters={"eps": 0.0}``; without it the Contract's default holds. ``output`` is the part of the
    result that is the loss; ``reductions`` are names that the loss has of its own for ``none``, ``sum`` and ``mean``,
    each a value of ``reduction`` or a dict of options.

    A loss without a Contract is declared by ``inputs``, argument -> declaration such as ``logits("N", "C")`` of
    ``lossproof.inputs``, or a dict, list or tuple of them. Arguments that these lack are read from annotations such as
    jaxtyping's ``Float[Tensor, "n c"]``, by the rule of ``harness.annotations``, and named beside every table.
    ``oracle`` takes the inputs as float64 arrays, rows first, and returns values of shape (R,); without it the loss in
    float64 stands in, which finds instability, not a wrong formula. ``laws`` names relations that hold of it
    (``non_negative``, ``shift_invariant(logits)``, ...); ``arrange(args, parameters)`` mends drawn arguments that are
    only legal together.

    ``stop_gradient`` names arguments whose gradient is stopped on purpose, all of it or a part of the formula that is
    held constant: derivatives are not asked of them, and one that turns out to be the derivative is a defect.
    ``upcast`` is the dtype in which results for narrower inputs come back on purpose, ``"float32"`` or ``"float64"``.
    Both are said once, beside the name of the loss.
    Raises UsageError where the loss cannot be bound or a name is unknown.
    """
    subject = chosen_subject(
        loss,
        like,
        inputs,
        declared={"oracle": oracle, "laws": laws, "arrange": arrange},
        said={
            "init": init,
            "parameters": parameters,
            "output": output,
            "reductions": reductions,
            "name": name,
            "expression": expression,
            "setup": setup,
        },
        intended={"stop_gradient": stop_gradient, "upcast": upcast},
    )
    prepared = prepare(
        subject,
        baseline=baseline,
        strict=strict,
        dtype=dtype,
        device=device,
        effort=effort,
        seed=seed,
        check=check,
    )
    trials, lines = prepared.trials, list(prepared.first)
    with one_thread():
        for done, trial in enumerate(trials):
            if progress is not None:
                progress(done, len(trials), trial)
            found = prepared.judged(done)
            lines += found
            if fail_fast and _failed(found):
                left = len(trials) - done - 1
                lines += (
                    [records.NotRun(what=f"{left} trials", reason="fail_fast: an earlier trial failed")] if left else []
                )
                break
    return Result(lines=tuple(lines), strict=strict)


def assert_sound(loss: Any, like: str | Contract | None = None, **options: Any) -> None:
    """``validate`` for a test: raises UnsoundLossError unless the loss is sound.

    That is an AssertionError with reproductions.
    """
    __tracebackhide__ = "pytest" in sys.modules
    validate(loss, like, **options).raise_for_findings()
