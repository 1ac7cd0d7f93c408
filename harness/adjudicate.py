"""float64 is judged by the definition itself where it matters: an oracle in float64 cannot judge its own precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.bounds import ABSOLUTE_ONLY
from harness.certificates import ROUNDED_ULP
from harness.deviations import Departure
from harness.judge import Judged, Limits, judge_within
from harness.ulp import FLOAT64
from reference.definition import defined, refined

Rows = npt.NDArray[np.intp]


def applies(limits: Limits) -> bool:
    """Whether a batch is of float64 and its Contract has a definition in mpmath."""
    return limits.batch.precision is FLOAT64 and limits.contract.definition is not None


def that_matter(limits: Limits, judged: Sequence[Judged], count: int) -> Rows:
    """Rows with the largest errors beside their scale, ``count`` an output, and as many that are found bad."""
    chosen: list[Rows] = [np.array([], np.intp)]
    for j in judged:
        if limits.whole(j.name) or not j.error.size:
            continue
        with np.errstate(all="ignore"):
            ratio = j.error / np.maximum(np.abs(j.truth.exact), j.truth.reference)
        ratio = np.where(np.isfinite(ratio), ratio, 0.0).reshape(len(ratio), -1).max(axis=1)
        chosen.append(np.argsort(-ratio, kind="stable")[:count])
        bad = (j.bad & ((j.excuse == 0) | (j.grade > ABSOLUTE_ONLY))).reshape(len(ratio), -1).any(axis=1)
        chosen.append(np.flatnonzero(bad)[:count])
    return np.unique(np.concatenate(chosen))


def adjudicated(
    limits: Limits, judged: Sequence[Judged], departures: tuple[Departure, ...], count: int
) -> tuple[list[Judged], int]:
    """``judged`` with the rows that matter judged again by the definition; and how many they are."""
    contract, definition = limits.contract, limits.contract.definition
    rows = that_matter(limits, judged, count)
    if definition is None or not rows.size:
        return list(judged), 0
    batch = limits.batch.take(contract, rows)
    ends = defined(definition, batch.args, contract.settled(batch.parameters), limits.shared)
    truth = refined(limits.truth.rows(rows, limits.shared), ends)
    again = Limits(contract, batch, truth, limits.terms, own_ulp=ROUNDED_ULP)
    got = {j.name: j.got[rows] for j in judged if not limits.whole(j.name)}
    better = {j.name: j for j in judge_within(again, got, departures)}
    return [_put(j, better[j.name], rows) if j.name in better else j for j in judged], len(rows)


def _put(j: Judged, part: Judged, rows: Rows) -> Judged:
    """``j`` with some rows replaced."""
    exact, error, grade = j.truth.exact.copy(), j.error.copy(), j.grade.copy()
    range_, excuse = j.range.copy(), j.excuse.copy()
    exact[rows], error[rows], grade[rows] = part.truth.exact, part.error, part.grade
    range_[rows], excuse[rows] = part.range, part.excuse
    return replace(j, truth=replace(j.truth, exact=exact), error=error, grade=grade, range=range_, excuse=excuse)
