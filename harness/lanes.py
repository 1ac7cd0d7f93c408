"""The two lanes of a survey, which never mix: the rows of the sweep, and those of the hunt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

from harness.binding import Subject
from harness.cases import Batch
from harness.effort import Effort
from harness.generate import Plan, choices, expand, plans, sweep
from harness.ulp import FLOAT64, Precision

SINGLE_BLOCKS, FEWEST = 8, 48
"""Blocks whose rows are as many calls as the effort says; of more blocks each has fewer rows, but not fewer than so."""
ENOUGH = 16
"""Rows of a block that say as much as all of it: of the conduct of a loss whose numbers are right by definition, and of
one that is wrong everywhere."""


def hunted(subject: Subject, precision: Precision, effort: Effort, device: str, visit: Callable[[Batch], None]) -> None:
    """Let Hypothesis draw plans from the seed of the effort and hand every expanded batch to ``visit``.

    It is thinned where the Subject must be called once a row.
    """
    options = choices(subject)
    most = effort.plan_whole_batches if subject.contract.coupled else effort.plan_singles

    @seed(effort.seed)
    @settings(
        max_examples=effort.plans,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(plans(subject))
    def hunt(plan: Plan) -> None:
        batch = expand(subject, plan, effort.plan_rows, precision, options, device)
        visit(batch if subject.takes_none else thinned(subject, batch, _enough(subject, batch, most)))

    hunt()


def thinned(subject: Subject, batch: Batch, most: int) -> Batch:
    """The batch, or so many evenly spaced rows of it."""
    if (rows := batch.rows(subject.contract)) <= most:
        return batch
    return batch.take(subject.contract, np.unique(np.linspace(0, rows - 1, most).astype(int)))


def swept(subject: Subject, precision: Precision, effort: Effort, device: str) -> Iterator[Batch]:
    """The sweep; thinned where the Subject must be called once a row, and more so where it has many blocks."""
    blocks = sweep(subject, precision, effort, device)
    if subject.takes_none:
        yield from blocks
        return
    most = effort.whole_batches if subject.contract.coupled else effort.singles
    few = [thinned(subject, batch, _enough(subject, batch, most)) for batch in blocks]
    for batch in few:
        yield thinned(subject, batch, max(FEWEST, most * SINGLE_BLOCKS // len(few)))


def _enough(subject: Subject, batch: Batch, most: int) -> int:
    """How many rows are worth a call each: few where both sides are the same call, and only its conduct is to be seen.

    That is a loss in float64 that is its own reference, unless the reference could do with one call for all rows.
    """
    same = subject.contract.itself and subject.contract.one_by_one and batch.precision is FLOAT64
    return min(most, ENOUGH) if same else most
