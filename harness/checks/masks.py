"""What a mask, a length or an ignored class leaves out changes nothing: laws of every declared loss that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from harness.binding import Subject
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.grading import Evidence, Mask, defect, in_rows, refusal
from harness.checks.relation import finished, judge_relation, own_gradients, side
from harness.checks.sampling import calm_batches
from harness.contract import Contract
from harness.domain import Arg, Choice, ClassIndex, Length, Simplex
from harness.evaluate import Observation, observe, observe_rows
from harness.findings import reproduction, show
from harness.predictions import class_axis
from harness.records import Finding

ROWS = 24
FEW_ROWS = 7
"""Rows of a whole call, of which every third is ignored."""
ROUNDINGS = 64.0
"""Units of roundoff within which a value counts as the same."""
FAR = 1e-3
"""Relative difference of two means that is no rounding."""
HELD = (np.nan, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Elements that do not count."""

    says: str
    args: tuple[Arg, ...]
    """The arguments of which some elements do not."""
    where: Callable[[Batch, Arg], Mask]
    """(batch, one of these) -> where it has such elements, in a shape that broadcasts to its own."""

    def filled(self, batch: Batch, values: dict[str, Any]) -> Batch:
        """The batch with other numbers there."""
        changed = {
            a.name: np.where(self.where(batch, a), values[a.name], batch.args[a.name])
            for a in self.args
            if a.name in values
        }
        return replace(batch, args={**batch.args, **changed})


def masks(subject: Subject) -> dict[str, Callable[[Context], Outcome]]:
    """A law for all that leaves something out; what has to be arranged is not replaced."""
    contract = subject.contract
    if not contract.own_gradients or contract.arrange is not None:
        return {}
    found: dict[str, Callable[[Context], Outcome]] = {}
    for left in (*_by_masks(contract), *_by_lengths(contract)):
        found[f"{left.says} does not matter"] = partial(_masked, left=left)
    if (left_ := _by_index(contract)) is not None:
        found[f"{left_.says} does not matter"] = partial(_ignored, left=left_)
    return found


def _by_masks(contract: Contract) -> Iterator[LeftOut]:
    for mask in contract.args:
        under = masked_by(contract, mask)
        if isinstance(mask.kind, Choice) and mask.role == "weight" and under:
            yield LeftOut(says=f"what {mask.name} leaves out", args=tuple(under), where=partial(_under, mask.name))


def masked_by(contract: Contract, mask: Arg) -> list[Arg]:
    """The arguments of which a mask tells the elements that count: all but weights that begin with its dimensions."""
    size = len(mask.dims)
    return [a for a in contract.args if a.role != "weight" and not a.shared and a.dims[:size] == mask.dims]


def _under(mask: str, batch: Batch, arg: Arg) -> Mask:
    out: Mask = batch.args[mask] == 0.0
    return out.reshape(out.shape + (1,) * (batch.args[arg.name].ndim - out.ndim))


def _by_lengths(contract: Contract) -> Iterator[LeftOut]:
    """Of a dimension that has one length alone: of two nobody can tell which is meant."""
    lengths = [(a, a.kind.of) for a in contract.args if isinstance(a.kind, Length)]
    for length, of in lengths:
        if [other for _, other in lengths].count(of) > 1:
            continue
        size = len(length.dims)
        beyond = tuple(
            a
            for a in contract.args
            if a.role != "weight"
            and not (a.shared or isinstance(a.kind, Length))
            and of in a.dims[size:]
            and a.dims[:size] == length.dims
            and not (isinstance(a.kind, Simplex) and a.dims[-1] == of)
        )
        if beyond:
            yield LeftOut(says=f"what lies beyond {length.name}", args=beyond, where=partial(_beyond, length.name, of))


def _beyond(length: str, of: str, batch: Batch, arg: Arg) -> Mask:
    axis, lengths, shape = 1 + arg.dims.index(of), batch.args[length], batch.args[arg.name].shape
    places = np.arange(shape[axis]).reshape((-1,) + (1,) * (len(shape) - axis - 1))
    return np.asarray(places >= lengths.reshape(lengths.shape + (1,) * (len(shape) - lengths.ndim)))


def _by_index(contract: Contract) -> LeftOut | None:
    """What belongs to elements of the ignored class."""
    targets = [a for a in contract.args if isinstance(a.kind, ClassIndex) and not a.shared]
    if contract.ignores is None or len(targets) != 1:
        return None
    (target,) = targets
    under = tuple(
        a
        for a in contract.args
        if a.role == "input" and not a.shared and (class_axis(a, target) or a.dims[: len(target.dims)] == target.dims)
    )
    if not under:
        return None
    says = f"what ignore_index={contract.ignores} leaves out"
    return LeftOut(says=says, args=under, where=partial(_of_class, target, contract.ignores))


def _of_class(target: Arg, index: int, batch: Batch, arg: Arg) -> Mask:
    out: Mask = batch.args[target.name] == index
    axis = class_axis(arg, target)
    return np.expand_dims(out, axis) if axis else out.reshape(out.shape + (1,) * (len(arg.dims) + 1 - out.ndim))


def _masked(context: Context, left: LeftOut) -> Outcome:
    """Other members of the kind change nothing; nan and inf change nothing, which is a weakness where they do."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    drawn = (calm_batches(subject, context.precision, context.device, ROWS, salt) for salt in ("masked", "replaced"))
    for batch, other in zip(*drawn, strict=True):
        before = side(subject, batch)
        after = side(subject, left.filled(batch, dict(other.args)))
        stopped = refusal(context, before.seen) or refusal(context, after.seen)
        if stopped is not None:
            return stopped
        everywhere = np.ones(batch.rows(contract), np.bool_)
        judge_relation(evidence, context.item, before, after, everywhere, outputs=own_gradients(contract.args))
        for value in HELD:
            dirty = left.filled(batch, {a.name: value for a in left.args if not a.kind.integral})
            seen = observe_rows(subject, dirty)
            for finding in _reached(subject, before.seen, seen, dirty, f"{value} in {left.says}"):
                evidence.put(msgspec.structs.replace(finding, severity="weakness"))
    return finished(context, evidence)


def _ignored(context: Context, left: LeftOut) -> Outcome:
    """The same of elements whose class is the ignored one, in whole calls: a mean of ignored rows alone is nan."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    target = next(a for a in contract.args if isinstance(a.kind, ClassIndex))
    drawn = (
        calm_batches(subject, context.precision, context.device, FEW_ROWS, salt) for salt in ("ignored", "replaced")
    )
    for calm, other in zip(*drawn, strict=True):
        index = calm.args[target.name].copy()
        index.reshape(-1)[::3] = contract.ignores
        batch = replace(calm, args={**calm.args, target.name: index})
        for reduction in subject.reductions or ("none",):
            whole = replace(batch, reduction=reduction)
            replaced = left.filled(whole, dict(other.args))
            before, after = observe(subject, whole), observe(subject, replaced)
            stopped = refusal(context, before, left.says) or refusal(context, after, left.says)
            if stopped is not None:
                return stopped
            evidence.cases += batch.rows(contract)
            for finding in _reached(subject, before, after, replaced, left.says):
                evidence.put(finding)
            if not (contract.coupled or target.dims) and before.shape == ():
                kept = whole.take(contract, np.flatnonzero(index != contract.ignores))
                for finding in _counted(subject, before, whole, observe(subject, kept), left.says):
                    evidence.put(finding)
            for value in HELD:
                dirty = left.filled(whole, {a.name: value for a in left.args})
                for finding in _reached(subject, before, observe(subject, dirty), dirty, f"{value} in {left.says}"):
                    evidence.put(msgspec.structs.replace(finding, severity="weakness"))
    return finished(context, evidence)


def _counted(subject: Subject, whole: Observation, batch: Batch, kept: Observation, says: str) -> Iterator[Finding]:
    """A weakness where a batch costs something else than the rows of it that count: a mean divides by all of them."""
    if whole.value is None or kept.value is None or kept.shape != whole.shape:
        return
    want, got = float(kept.value[0]), float(whole.value[0])
    if abs(got - want) > FAR * max(abs(got), abs(want)):
        said = (
            f"{says}: counts where the result is divided by the number of rows: expected {show(want)}, "
            f"that of the other rows alone, got {show(got)}"
        )
        yield msgspec.structs.replace(
            defect(subject, "ignored rows", said, batch=batch, output="value"),
            severity="weakness",
            reproduction=reproduction(subject, batch, "value", want),
        )


def _reached(subject: Subject, before: Observation, seen: Observation, dirty: Batch, says: str) -> Iterator[Finding]:
    """A finding for every output that what is left out reaches; a loss may refuse it."""
    for name, got in seen.outputs().items():
        want = before.outputs().get(name)
        if want is None or want.shape != got.shape:
            continue
        with np.errstate(all="ignore"):
            near = (got == want) | (np.abs(got - want) <= ROUNDINGS * dirty.precision.u * np.abs(want))
        wrong: Mask = (~near & np.isfinite(want)).reshape(len(want), -1).any(axis=1)
        if not wrong.any():
            continue
        row = int(np.flatnonzero(wrong)[0])
        entry = int(np.flatnonzero(np.ravel(~near[row]))[0])
        expected, found = (float(np.ravel(array[row])[entry]) for array in (want, got))
        what = "value" if name == "value" else f"gradient with respect to {name}"
        said = f"{says}: {what}: expected {show(expected)}, got {show(found)}"
        if len(wrong) == dirty.rows(subject.contract):
            yield in_rows(subject, dirty, wrong, "ignored", said, name, repr(expected))
        else:
            lines = reproduction(subject, dirty, name, repr(expected))
            yield msgspec.structs.replace(
                defect(subject, "ignored", said, batch=dirty, output=name), reproduction=lines
            )
