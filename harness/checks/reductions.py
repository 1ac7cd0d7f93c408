"""Reductions and layouts: the same rows added up, and the same rows in another shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import msgspec
import numpy as np

from harness.binding import Subject, accepted
from harness.bounds import GRADES, UNSTABLE
from harness.cases import Batch
from harness.checks.base import Check, Context, Outcome, register
from harness.checks.company import order_matters
from harness.checks.grading import (
    LARGE,
    SHAPED,
    Evidence,
    VacuousCheckError,
    coefficients_of,
    convention,
    covered_rows,
    defect,
    judge_reduced,
    limits_of,
    note,
    numbers_in,
    reduced_truth,
    refusal,
    shape_of,
    shaped,
)
from harness.checks.plain import plain_batches, plain_rows
from harness.checks.sampling import (
    calm,
    calm_batches,
    empty,
    first_sizes,
    fitting,
    ignored_by,
    ignoring,
    mixed_batches,
    settings_of,
)
from harness.contract import Contract
from harness.crossed import crossed
from harness.domain import Logits, ignored_index
from harness.evaluate import Observation, observe
from harness.findings import called
from harness.generate import seeded
from harness.judge import Judged
from harness.means import grows, weighs_rows
from harness.records import Finding
from harness.ulp import FLOAT32, FLOAT64, Array, Precision
from reference.truth import Truth

ROWS = (1, 7, 1000)
SCORES = 64
"""Scores of a class that are repeated for all of many."""
FEW = 7
"""Rows in the lines of what any of them show."""
MANY_ROWS = 70_000
"""More elements than the largest number of float16."""
MANY_CLASSES = 10_000
"""Numbers of classes beyond this are dear: they are asked of the defaults alone."""
DEPRECATED = tuple((s, r) for s in (None, True, False) for r in (None, True, False) if (s, r) != (None, None))
WARNS_MEAN = "batchmean"


def compare(context: Context, batch: Batch, reduction: str, evidence: Evidence, what: str) -> Outcome | None:
    """Judge one call with a reduction; the outcome where it raised."""
    subject, contract = context.subject, context.subject.contract
    whole = replace(batch, reduction=reduction)
    seen = observe(subject, whole)
    stopped = refusal(context, seen, what, "reduction")
    if stopped is not None:
        return stopped
    truth, coefficients = batch.truth(contract), coefficients_of(subject, batch, reduction)
    judged = _judged(subject, whole, truth, coefficients, seen, evidence, what)
    if numbers_in(whole) > LARGE and _wrong(judged):
        _add_fewer(subject, whole, evidence, what)
    evidence.add(whole, judged, what)
    return None


def _judged(
    subject: Subject, whole: Batch, truth: Truth, coefficients: Array, seen: Observation, evidence: Evidence, what: str
) -> list[Judged]:
    expected = reduced_truth(subject.contract, whole, truth, coefficients)
    evidence.cases += 1
    if seen.shape != ():
        few = whole.take(subject.contract, slice(0, FEW))
        lines = called(subject, few, "tuple(loss.shape)")
        said = f"{what}: expected a scalar, got shape {seen.shape}"
        evidence.put(defect(subject, "shape", said, batch=few, lines=lines))
        return []
    # Of what is known to be wrong, one more entry that is says nothing new, and asking it is dear.
    got = {n: a for n, a in shaped(seen, expected).items() if (n, GRADES[UNSTABLE], "defect") not in evidence.findings}
    return judge_reduced(subject, whole, truth, coefficients, expected, got)


def _wrong(judged: Iterable[Judged]) -> bool:
    return any(bool((j.bad & (j.excuse == 0)).any()) for j in judged)


def _simpler(contract: Contract, batch: Batch) -> Iterator[Batch]:
    """Halves of the rows; then the same scores again and again, which are fewer to write."""
    rows = batch.rows(contract)
    if rows > 1:
        yield from (batch.take(contract, half) for half in (slice(0, rows // 2), slice(rows // 2, rows)))
        return
    scores = {a.name for a in contract.args if isinstance(a.kind, Logits) and "C" in a.dims and not a.shared}
    repeated = {n: np.resize(a.ravel()[:SCORES], a.shape) if n in scores else a for n, a in batch.args.items()}
    if any(repeated[n].tobytes() != a.tobytes() for n, a in batch.args.items()):
        yield replace(batch, args=repeated)


def _add_fewer(subject: Subject, whole: Batch, evidence: Evidence, what: str) -> None:
    """The same of as few of the rows as halving finds, where they can be written out."""
    contract, part = subject.contract, whole
    shown: list[Judged] = []
    while numbers_in(part) > LARGE:
        for fewer in _simpler(contract, part):
            seen = observe(subject, fewer)
            truth, coefficients = fewer.truth(contract), coefficients_of(subject, fewer, fewer.reduction)
            judged = [] if seen.raised else _judged(subject, fewer, truth, coefficients, seen, evidence, what)
            if _wrong(judged):
                part, shown = fewer, judged
                break
        else:
            break
    if part is not whole:
        evidence.add(part, shown, f"{what}, {part.rows(contract)} of them alone")


def resized(contract: Contract, batch: Batch, rows: int) -> Batch:
    """``rows`` rows of a batch, repeated where there are not enough of them."""
    return batch.take(contract, np.resize(np.arange(batch.rows(contract)), rows))


def plain(subject: Subject, batch: Batch, rows: int) -> Batch:
    """``rows`` plain rows of a batch."""
    return resized(subject.contract, plain_rows(subject, batch), rows)


def _takes(subject: Subject, laid: Batch) -> bool:
    """Whether the unreduced loss takes a layout: a loss of a user need not, and its own items say whether it does."""
    if subject.origin == "torch":
        return True
    seen = observe(subject, replace(laid, reduction="none"), gradients=False)
    return seen.value is not None and seen.shape == shape_of(laid, laid.rows(subject.contract))


def _reduction(context: Context, reduction: str) -> Outcome:
    subject, contract, p = context.subject, context.subject.contract, context.precision
    evidence = Evidence(subject=subject, precision=p)
    most = fitting(contract, first_sizes(contract), max(ROWS), 16)
    for sound in plain_batches(subject, p, context.device, max(ROWS), "reduction"):
        for rows in ROWS:
            batch = resized(contract, sound, min(rows, most))
            for layout in [x for x in ("rows", *SHAPED) if x in contract.layouts]:
                laid = replace(batch, layout=layout)
                if layout != "rows" and (rows < max(ROWS) or not _takes(subject, laid)):
                    continue
                what = f"{reduction} of {batch.rows(contract)} rows" + (
                    f", layout {layout}" if layout != "rows" else ""
                )
                stopped = compare(context, laid, reduction, evidence, what)
                if stopped is not None:
                    return stopped
    if reduction == "mean" and WARNS_MEAN in contract.reductions and subject.origin == "torch":
        seen = observe(subject, replace(batch, reduction="mean"), gradients=False)
        if not any(WARNS_MEAN in w for w in seen.warnings):
            said = f"mean: expected the warning that names {WARNS_MEAN}, got none"
            evidence.put(
                note(subject, "warning", said, batch=replace(batch, reduction="mean").take(contract, slice(0, FEW)))
            )
    return evidence.outcome()


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


def documented(size_average: bool | None, reduce: bool | None) -> str:
    """What the deprecated pair stands for; None is True."""
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _deprecated(context: Context, size_average: bool | None, reduce: bool | None) -> Outcome:
    """size_average and reduce override ``reduction`` as documented, and say that they are deprecated."""
    subject, contract = context.subject, context.subject.contract
    evidence = Evidence(subject=subject, precision=context.precision)
    want = documented(size_average, reduce)
    batch = plain(subject, next(calm_batches(subject, context.precision, context.device, 64, "deprecated")), 8)
    pair = {"size_average": size_average, "reduce": reduce}
    other = "sum" if want == "mean" else "mean"
    old = replace(batch, reduction=other, parameters={**batch.parameters, **pair})
    seen = observe(subject, old, gradients=False)
    stopped = refusal(context, seen, "deprecated")
    if stopped is not None:
        return stopped
    evidence.cases = 1
    if want == "none":
        ok = seen.shape == shape_of(batch, batch.rows(contract))
        if not ok:
            said = f"{context.item}: expected no reduction, got shape {seen.shape}"
            lines = called(subject, old, "tuple(loss.shape)")
            evidence.put(defect(subject, "reduction", said, batch=old, lines=lines))
    else:
        truth, coefficients = batch.truth(contract), coefficients_of(subject, batch, want)
        evidence.add(old, _judged(subject, old, truth, coefficients, seen, evidence, context.item), context.item)
    if not any(re.search("deprecated", w) for w in seen.warnings):
        said = f"{context.item}: expected a warning that it is deprecated, got none"
        evidence.put(note(subject, "warning", said, batch=old))
    return evidence.outcome()


NEAR = 0.02
"""Relative difference by which a fixed result is recognised as a reduction; how good it is, is judged after."""
NEAR_WITHOUT_FORMULA = 1e-4
"""The same for a loss that no formula says a mean of: of weights or masks there are means near that of the rows."""


def _live(subject: Subject, batch: Batch) -> Batch:
    """The rows whose loss is not 0; all, where that leaves none."""
    live = np.flatnonzero(batch.truth(subject.contract).value.exact != 0.0)
    return batch.take(subject.contract, live) if live.size else batch


def fixed_reduction(subject: Subject, p: Precision = FLOAT32) -> str:
    """The reduction that a callable without the keyword applies: ``none``, one of the Contract's, or empty."""
    contract = subject.contract
    calm_ = next(calm_batches(subject, p, "cpu", 64, "fixed"))
    if contract.own_gradients:  # nothing says which rows count: of many some do not
        batch, near = calm_, NEAR_WITHOUT_FORMULA
    else:  # of rows that are all 0 a sum and a mean are the same
        batch, near = plain(replace(subject, fixed="none"), _live(subject, calm_), 7), NEAR
    seen = observe(subject, batch, gradients=False)
    if seen.value is None:
        return ""
    if seen.shape == (batch.rows(contract),):
        return "none"
    truth = batch.truth(contract)
    distances = {}
    for name in contract.reductions:
        want = float(reduced_truth(contract, batch, truth, coefficients_of(subject, batch, name)).value.exact[0])
        distances[name] = abs(float(seen.value.ravel()[0]) - want) / max(abs(want), 1e-300)
    close = [n for n in sorted(distances, key=lambda n: distances[n]) if distances[n] <= near]
    if seen.shape != () or not close:
        return ""
    return subject.reducing.held if subject.reducing.held in close else close[0]


def _fixed(context: Context) -> Outcome:
    subject = context.subject
    calm_ = next(calm_batches(subject, context.precision, context.device, 7, "fixed"))
    seen = observe(subject, calm_)
    stopped = refusal(context, seen, "reduction")
    if stopped is not None:
        return stopped
    # A loss that is its own reference may refuse in float64 what is only exact in float32.
    exact = context.precision is FLOAT64 and subject.contract.own_gradients
    reduction = fixed_reduction(subject, FLOAT64 if exact else FLOAT32)
    if reduction == "none":
        return Outcome(cases=1)
    if not reduction and seen.shape == () and weighs_rows(subject, calm_):
        said = "a mean of the rows with weights of their own, as those of classes"
        return Outcome(findings=(note(subject, "reduction", said, batch=calm_),), cases=1)
    if not reduction:
        wanted = " or ".join(("none", *subject.contract.reductions))
        message = f"expected a result that is {wanted} of the unreduced loss, got shape {seen.shape} and another number"
        cross = crossed(subject, calm_)
        order = "" if cross is not None else order_matters(subject, calm_)
        if cross is not None:
            message += f"; {cross.says}"
        elif order:
            message += f"; {order}"
        else:
            message += f"; {growing}" if (growing := grows(subject, calm_)) else ""
        if subject.contract.own_gradients and not (cross or order):
            message += "; where the loss ties its examples together, call the batch B and not N in the declarations"
        return Outcome(findings=(defect(subject, "reduction", message, batch=calm_, output="value"),), cases=1)
    outcome = _reduction(context, reduction)
    return replace(outcome, findings=(*_meant(subject, calm_, reduction), *outcome.findings))


GROWS = "the result is the sum of the examples, which grows with their number"


def _meant(subject: Subject, batch: Batch, reduction: str) -> Iterator[Finding]:
    """A fixed result that is not what the loss says it is, or, where it says nothing, what its Contract does.

    Nothing but its name promises the second.
    """
    held, contract = subject.reducing.held, subject.contract
    if held and held != reduction:
        grows_ = ", which grows with the number of examples" if reduction == "sum" else ""
        said = f"it is made with reduction={held!r} and gives the {reduction}{grows_}"
        yield defect(subject, "mistake", said, batch=batch, output="value")
    elif not held and reduction == "sum" and "mean" in contract.reductions and not contract.own_gradients:
        said = (
            f"{GROWS}: expected their mean, which {contract.name} is where nothing else is asked for; "
            "if the sum is meant, declare it: reductions={'sum': {}}"
        )
        found = defect(subject, "mistake", said, batch=batch, output="value")
        yield msgspec.structs.replace(found, severity="weakness")


def _layout(context: Context, layout: str) -> Outcome:
    """The rows in another shape or not contiguous: the same bits, or both within the bounds."""
    subject, contract, p = context.subject, context.subject.contract, context.precision
    evidence = Evidence(subject=subject, precision=p)
    for batch in _laid_out(context, layout):
        flat, laid = observe(subject, replace(batch, layout="rows")), observe(subject, batch)
        stopped = refusal(context, laid, f"layout {layout}") or refusal(context, flat)
        if stopped is not None:
            return stopped
        truth = batch.truth(contract)
        one, other = shaped(flat, truth), shaped(laid, truth)
        evidence.cases += batch.rows(contract)
        for name in truth.outputs():
            if name not in one:
                continue
            if name not in other:
                said = f"layout {layout}: {name}: got another shape than the rows"
                shape = called(subject, batch, "tuple(loss.shape)") if name == "value" else None
                evidence.put(convention(subject, "shape", said, batch=batch, output=name, lines=shape))
                continue
            if name != "value" and contract.arg(name).shared:
                continue
            differ = ~((one[name] == other[name]) | (np.isnan(one[name]) & np.isnan(other[name])))
            index = np.flatnonzero(
                differ.reshape(len(differ), -1).any(axis=1) & ~covered_rows(subject, batch, truth, [name])
            )
            if not index.size:
                continue
            bounds = limits_of(contract, batch, truth, name, index)
            # A value that refers to itself is known no better than its scale.
            limits = bounds.absolute if contract.itself else bounds.mixed
            with np.errstate(invalid="ignore"):
                off = differ[index] & ~(np.abs(one[name][index] - other[name][index]) <= 2.0 * limits)
            worse = index[off.reshape(len(off), -1).any(axis=1)]
            if worse.size:
                # Enough rows beside it for every layout to be another shape.
                first = 4 * (int(worse[0]) // 4)
                few = batch.take(contract, slice(first, first + 4))
                want, got = one[name][worse[0]].tolist(), other[name][worse[0]].tolist()
                said = f"layout {layout}: {name}: expected the rows' {want}, got {got}"
                evidence.put(defect(subject, "layout", said, batch=few, output=name))
    return evidence.outcome()


def _laid_out(context: Context, layout: str) -> Iterator[Batch]:
    subject, contract = context.subject, context.subject.contract
    for batch in mixed_batches(subject, context.precision, context.device, 64, f"layout {layout}"):
        if layout == "single":
            for row in range(0, batch.rows(contract), 16):
                yield replace(batch.take(contract, slice(row, row + 1)), layout=layout)
        else:
            even = batch.rows(contract) // 2 * 2
            yield replace(batch.take(contract, slice(0, even)), layout=layout)


def reductions(context: Context) -> Outcome:
    """The reduced loss is the documented sum of the unreduced one, value and gradient."""
    item = context.item
    if item == "fixed reduction":
        return _fixed(context)
    if item == "many classes":
        return _many_classes(context)
    if item.startswith("mean of"):
        return _many_elements(context)
    if item.startswith("layout="):
        return _layout(context, item.removeprefix("layout="))
    if item.startswith("size_average="):
        return _deprecated(context, *next(pair for pair in DEPRECATED if _pair(*pair) == item))
    reduction, _, rows = item.removeprefix("reduction=").partition(", ")
    if rows == "empty batch":
        return _empty(context, reduction)
    return _all_ignored(context, reduction) if rows == "all ignored" else _reduction(context, reduction)


def _pair(size_average: bool | None, reduce: bool | None) -> str:
    return f"size_average={size_average}, reduce={reduce} -> {documented(size_average, reduce)}"


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
        items += [_pair(*pair) for pair in DEPRECATED]
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
