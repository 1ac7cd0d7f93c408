"""An argument of fewer elements than the input counts as if it were repeated, in the value and in its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from harness.binding import Subject
from harness.bounds import GRADIENT_CONSTANT, accumulator, depth
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.grading import Evidence, covered_rows, defect, limits_of, refusal
from harness.checks.relation import finished
from harness.checks.sampling import calm_batches
from harness.evaluate import observe
from harness.findings import reproduction, show
from harness.records import Finding
from harness.ulp import Array, to_hex

N, C = 3, 4
"""Sizes of the input: neither divides the other, so that no shape is taken for another one."""

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The argument ``name`` given as ``form``: its shape, and the element of it that each of the N * C rows takes."""

    name: str
    form: str

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = {"N": N, "C": C, "1": 1}
        return tuple(sizes[s] for s in self.form if s in sizes)

    @property
    def places(self) -> Places:
        aligned = (N, 1) if self.form == "(N,)" else self.shape
        elements = np.arange(int(np.prod(self.shape))).reshape(aligned)
        return np.broadcast_to(elements, (N, C)).ravel()

    def chosen(self, rows: Array) -> Array:
        """An element for each place: that of the first row that takes it."""
        _, first = np.unique(self.places, return_index=True)
        return rows[first]


def _with_any_shapes(subject: Subject, given: Given) -> Subject:
    """The Subject, called with tensors as they are; a float is handed over as one."""

    def call(tensors: Mapping[str, Any], parameters: Mapping[str, Any], reduction: str) -> Any:
        number = {given.name: tensors[given.name].item()} if tensors[given.name].ndim == 0 else {}
        return subject.call({**tensors, **number}, parameters, reduction)

    args = tuple(replace(a, shared=True, broadcasts=()) for a in subject.contract.args)
    return replace(subject, contract=replace(subject.contract, args=args), call=call)


def repeated(context: Context, given: Given) -> Outcome:
    """The loss with the argument as given is the loss with it repeated to the shape of the input."""
    subject = context.subject
    evidence = Evidence(subject=subject, precision=context.precision)
    for calm in calm_batches(subject, context.precision, context.device, N * C, "broadcast"):
        if given.name not in calm.args:
            continue
        elements = given.chosen(calm.args[given.name])
        rows = replace(calm, args={**calm.args, given.name: elements[given.places]})
        for reduction in subject.reductions or ("none",):
            stopped = _compare(context, evidence, replace(rows, reduction=reduction), given, elements)
            if stopped is not None:
                return stopped
    return finished(context, evidence)


def _compare(context: Context, evidence: Evidence, rows: Batch, given: Given, elements: Array) -> Outcome | None:
    subject = context.subject
    free = _with_any_shapes(subject, given)
    whole = replace(rows, args={n: a.reshape(N, C) for n, a in rows.args.items()})
    part = replace(whole, args={**whole.args, given.name: elements.reshape(given.shape)})
    one, other = observe(free, whole), observe(free, part)
    topic = f"layout: {context.item}"
    stopped = refusal(context, one, topic) or refusal(context, other, topic)
    if stopped is not None:
        return stopped
    if other.shape != one.shape:
        said = f"{context.item}: reduction={rows.reduction}: expected shape {one.shape}, got {other.shape}"
        evidence.put(_shown(defect(subject, "shape", said, output="value"), free, part, given, "value", one.value))
        return None
    for output, expected in one.outputs().items():
        if output == given.name and given.form == "float":
            continue
        got = other.outputs().get(output)
        if got is None:
            said = f"{context.item}: reduction={rows.reduction}: expected a gradient with respect to {output}, got none"
            evidence.put(_shown(defect(subject, "detached", said, output=output), free, part, given, output, expected))
            continue
        places, flat, want = _places(output, given, rows), got.ravel(), expected.ravel()
        if output == given.name:
            want = _added(places, want)
        allowed, covered = _allowed(subject, rows, output, places)
        evidence.cases += int((~covered).sum())
        with np.errstate(all="ignore"):
            off = ~((np.abs(flat - want) <= allowed) | (flat == want) | (np.isnan(flat) & np.isnan(want))) & ~covered
        if off.any():
            evidence.put(_finding(context, free, part, given, output, flat, want.reshape(got.shape), off))
    return None


def _places(output: str, given: Given, rows: Batch) -> Places:
    """The entry of the output to which each row contributes."""
    if output == given.name:
        return given.places
    return np.zeros(N * C, np.intp) if output == "value" and rows.reduction != "none" else np.arange(N * C)


def _added(places: Places, rows: Array) -> Array:
    """The sum of the rows at each place."""
    return np.asarray(np.bincount(places, rows), np.float64)


def _allowed(subject: Subject, rows: Batch, output: str, places: Places) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The bounds of both sides, of every row that an entry is the sum of and of the sum; entries with a Departure."""
    contract, p = subject.contract, rows.precision
    alone = replace(rows, reduction="none")
    truth = alone.truth(contract)
    reduction = contract.reductions.get(rows.reduction)
    share = np.ones(N * C) if reduction is None else np.abs(reduction({**rows.args, **rows.parameters}, (N * C,)))
    limit = limits_of(contract, alone, truth, output, np.arange(N * C)).absolute
    terms = np.bincount(places).max()
    summing = GRADIENT_CONSTANT * accumulator(p).u * depth(terms) * np.abs(truth.outputs()[output].exact)
    allowed = 2.0 * _added(places, share * (limit + (summing if terms > 1 else 0.0)))
    covered = covered_rows(subject, alone, truth, [output])
    return allowed, np.bincount(places, covered) > 0


def _finding(
    context: Context, free: Subject, part: Batch, given: Given, output: str, got: Array, want: Array, off: Any
) -> Finding:
    with np.errstate(all="ignore"):
        worst = int(np.argmax(np.where(off, np.nan_to_num(np.abs(got - want.ravel()), nan=np.inf), -1.0)))
    what = "value" if output == "value" else f"gradient with respect to {output}"
    expected, seen = float(want.ravel()[worst]), float(got[worst])
    said = f"{context.item}: reduction={part.reduction}: {what}: expected {show(expected)}, got {show(seen)}"
    found = _shown(defect(context.subject, "law", said, output=output), free, part, given, output, want)
    return msgspec.structs.replace(
        found, got=to_hex(seen), want=to_hex(expected), count=int(off.sum()), total=int(off.size)
    )


def _shown(found: Finding, free: Subject, part: Batch, given: Given, output: str, want: Array | None) -> Finding:
    """The finding with the lines of the call, in which a float is one."""
    lines = reproduction(free, part, output, [] if want is None else want.tolist())
    if given.form == "float":
        lines = lines.replace("\nloss = ", f"\n{given.name} = {given.name}.item()\nloss = ")
    return msgspec.structs.replace(found, reproduction=lines)


def broadcasts(subject: Subject) -> dict[str, Callable[[Context], Outcome]]:
    """A law for every form in which an argument that the Subject takes may be given."""
    found: dict[str, Callable[[Context], Outcome]] = {}
    if not subject.takes_none:
        return found
    for arg in subject.contract.args:
        for form in arg.broadcasts if arg.name in subject.arguments else ():
            law = f"{arg.name} as a float" if form == "float" else f"{arg.name} of shape {form}"
            found[f"{law} = {arg.name} repeated to (N, C)"] = partial(repeated, given=Given(name=arg.name, form=form))
    return found
