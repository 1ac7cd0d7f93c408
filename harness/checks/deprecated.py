"""What size_average and reduce ask for, which torch deprecates."""

from __future__ import annotations

import re
from dataclasses import replace

from harness.checks.base import Context, Outcome
from harness.checks.grading import (
    Evidence,
    coefficients_of,
    defect,
    note,
    refusal,
    shape_of,
)
from harness.checks.reduced import judged, plain
from harness.checks.sampling import (
    calm_batches,
)
from harness.evaluate import observe
from harness.findings import called

DEPRECATED = tuple((s, r) for s in (None, True, False) for r in (None, True, False) if (s, r) != (None, None))


def documented(size_average: bool | None, reduce: bool | None) -> str:
    """What the deprecated pair stands for; None is True."""
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def deprecated(context: Context, size_average: bool | None, reduce: bool | None) -> Outcome:
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
        evidence.add(old, judged(subject, old, truth, coefficients, seen, evidence, context.item), context.item)
    if not any(re.search("deprecated", w) for w in seen.warnings):
        said = f"{context.item}: expected a warning that it is deprecated, got none"
        evidence.put(note(subject, "warning", said, batch=old))
    return evidence.outcome()


def pair_text(size_average: bool | None, reduce: bool | None) -> str:
    return f"size_average={size_average}, reduce={reduce} -> {documented(size_average, reduce)}"
