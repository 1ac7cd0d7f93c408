"""Reductions and layouts: the same rows added up, and the same rows in another shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.binding import Subject, accepted
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.deprecated import DEPRECATED, deprecated, pair_text
from harness.checks.fixed import fixed
from harness.checks.grading import (
    Evidence,
    VacuousCheckError,
    defect,
    refusal,
)
from harness.checks.layouts import layout
from harness.checks.reduced import compare, of_rows, plain
from harness.checks.sampling import (
    calm,
    calm_batches,
    empty,
    first_sizes,
    ignored_by,
    ignoring,
    settings_of,
)
from harness.domain import Logits, ignored_index
from harness.evaluate import observe
from harness.generate import seeded

MANY_ROWS = 70_000
"""More elements than the largest number of float16."""
MANY_CLASSES = 10_000
"""Numbers of classes beyond this are dear: they are asked of the defaults alone."""


def _many_elements(context: Context) -> Outcome:
    subject, contract, p = context.subject, context.subject.contract, context.precision
    evidence = Evidence(subject=subject, precision=p)
    choice = settings_of(subject)[0]
    rng = seeded(contract.name, "many", p.name)
    batch = plain(subject, calm(contract, choice, {}, 2000, rng, p, device=context.device), MANY_ROWS)
    return compare(context, batch, "mean", evidence, f"mean of {MANY_ROWS} elements") or evidence.outcome()


def _many_classes(context: Context) -> Outcome:
    """Thousands of classes: spread scores, and equal ones, whose exponentials add up to the number of classes."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    evidence = Evidence(subject=subject, precision=p)
    reduction = next(r for r in ("mean", *contract.reductions) if r in contract.reductions)
    scores = [a.name for a in contract.args if isinstance(a.kind, Logits) and "C" in a.dims]
    settings = settings_of(subject)
    for classes in context.effort.classes:
        for choice in settings[:1] if classes > MANY_CLASSES else (*settings[:1], *settings[1:][-1:]):
            rng = seeded(contract.name, "classes", classes, p.name)
            spread = calm(contract, choice, first_sizes(contract) | {"C": classes}, 3, rng, p, device=context.device)
            tied = replace(spread, args={n: np.zeros_like(a) if n in scores else a for n, a in spread.args.items()})
            for batch, what in ((spread, f"{classes} classes"), (tied, f"{classes} equal scores")):
                stopped = compare(context, batch, reduction, evidence, what)
                if stopped is not None:
                    return stopped
    return evidence.outcome()


def _empty(context: Context, reduction: str) -> Outcome:
    """No rows: a sum is 0, a mean 0 / 0, and every gradient is empty."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    want = 0.0 if reduction == "sum" else np.nan
    for calm_ in calm_batches(subject, context.precision, context.device, 3, "empty"):
        batch = replace(empty(contract, calm_), reduction=reduction)
        seen = observe(subject, batch)
        stopped = refusal(context, seen, "empty batch")
        if stopped is not None:
            return stopped
        evidence.cases += 1
        if seen.value is None or seen.value.shape != (1,) or not np.array_equal(seen.value, [want], equal_nan=True):
            got = None if seen.value is None else seen.value.tolist()
            said = f"{reduction} of no rows: expected {want}, got {got}"
            evidence.put(defect(subject, "reduction", said, batch=batch, output="value"))
    return evidence.outcome()


def _all_ignored(context: Context, reduction: str) -> Outcome:
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    target, name = ignoring(contract), ignored_by(contract)
    assert target is not None
    for batch in calm_batches(subject, context.precision, context.device, 7, "ignored"):
        if name not in batch.parameters:
            continue
        ignored = np.full_like(batch.args[target.name], ignored_index(batch.parameters[name]))
        args = {**batch.args, target.name: ignored}
        stopped = compare(context, replace(batch, args=args), reduction, evidence, f"{reduction} of ignored rows only")
        if stopped is not None:
            return stopped
    if not evidence.cases:
        raise VacuousCheckError(f"{subject.name}: all ignored: the parameter {name} is not offered")
    return evidence.outcome()


def reductions(context: Context) -> Outcome:
    """The reduced loss is the documented sum of the unreduced one, value and gradient."""
    item = context.item
    if item == "fixed reduction":
        return fixed(context)
    if item == "many classes":
        return _many_classes(context)
    if item.startswith("mean of"):
        return _many_elements(context)
    if item.startswith("layout="):
        return layout(context, item.removeprefix("layout="))
    if item.startswith("size_average="):
        return deprecated(context, *next(pair for pair in DEPRECATED if pair_text(*pair) == item))
    reduction, _, rows = item.removeprefix("reduction=").partition(", ")
    if rows == "empty batch":
        return _empty(context, reduction)
    return _all_ignored(context, reduction) if rows == "all ignored" else of_rows(context, reduction)


MANY = f"mean of {MANY_ROWS} elements"


def _items(subject: Subject) -> tuple[str, ...]:
    contract = subject.contract
    if contract.coupled:
        return ()
    if not subject.reductions:
        layouts = tuple(f"layout={x}" for x in contract.layouts if x != "rows") if subject.takes_none else ()
        return ("fixed reduction", *layouts)
    names = [r for r in subject.reductions if r != "none"]
    items = [f"reduction={r}" for r in names]
    if not contract.own_gradients:  # what no rows give is for a formula to say
        items += [f"reduction={r}, empty batch" for r in names]
    if ignored_by(contract) in subject.parameters:
        items += [f"reduction={r}, all ignored" for r in names]
    if contract.scalar and "mean" in names:
        items.append(MANY)
    if "C" in contract.dims:
        items.append("many classes")
    if subject.takes_none:
        items += [f"layout={x}" for x in contract.layouts if x != "rows"]
    signature = subject.options or accepted(subject.loss)[0] if subject.loss is not None else ()
    if {"size_average", "reduce", "reduction"} <= set(signature):
        items += [pair_text(*pair) for pair in DEPRECATED]
    return tuple(items)


def _dtypes(subject: Subject, item: str) -> tuple[str, ...]:
    if item.startswith("size_average=") or "empty" in item:
        return ("float32",)
    if item == MANY:
        return ("float32", "float16", "bfloat16")
    if item == "many classes":
        return ("float32", "float16", "bfloat16")
    return ("float64", "float32", "float16", "bfloat16")


register(Check(name="reductions", run=reductions, items=_items, dtypes=_dtypes))
