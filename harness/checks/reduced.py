"""One reduction of rows against the sum of them that is documented, value and gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from harness.binding import Subject
from harness.bounds import GRADES, UNSTABLE
from harness.cases import Batch
from harness.checks.base import Context, Outcome
from harness.checks.grading import (
    LARGE,
    SHAPED,
    Evidence,
    coefficients_of,
    defect,
    judge_reduced,
    note,
    numbers_in,
    reduced_truth,
    refusal,
    shape_of,
    shaped,
)
from harness.checks.plain import plain_batches, plain_rows
from harness.checks.sampling import (
    first_sizes,
    fitting,
)
from harness.contract import Contract
from harness.domain import Logits
from harness.evaluate import Observation, observe
from harness.findings import called
from harness.judge import Judged
from harness.ulp import Array
from reference.truth import Truth

ROWS = (1, 7, 1000)
SCORES = 64
"""Scores of a class that are repeated for all of many."""
FEW = 7
"""Rows in the lines of what any of them show."""
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
    found = judged(subject, whole, truth, coefficients, seen, evidence, what)
    if numbers_in(whole) > LARGE and _wrong(found):
        _add_fewer(subject, whole, evidence, what)
    evidence.add(whole, found, what)
    return None


def judged(
    subject: Subject, whole: Batch, truth: Truth, coefficients: Array, seen: Observation, evidence: Evidence, what: str
) -> list[Judged]:
    """The outputs of a reduced loss; a result that is no number is a finding of its own."""
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
            found = [] if seen.raised else judged(subject, fewer, truth, coefficients, seen, evidence, what)
            if _wrong(found):
                part, shown = fewer, found
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


def of_rows(context: Context, reduction: str) -> Outcome:
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
