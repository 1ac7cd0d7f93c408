"""A Subject follows either the mathematics or the documentation, consistently over the region of a Deviation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.cases import Batch
from harness.deviations import Deviation
from harness.judge import Judged, Limits, Mask, Rows, alternatives
from harness.ulp import Array

MATHEMATICS = 1
"""Bit of the mathematics; the k-th documented alternative has bit ``2 << k``."""

ASKED = 64
"""Rows of a block whose bounds are worked out where they seem to follow the mathematics alone."""


def outputs_held(deviation: Deviation) -> tuple[str, ...]:
    """The outputs that must be consistent: the value where it departs; its gradients then have each a choice of their
    own, since at a clamp the mathematics, 0 and the documented slope are all admissible."""
    return ("value",) if "value" in deviation.outputs else deviation.outputs


@dataclass(slots=True)
class Followed:
    """What one output has followed so far, inside the region of one Deviation."""

    deviation: Deviation
    output: str
    witnesses: dict[int, tuple[Batch, float]] = field(default_factory=dict)
    """Bits that an entry agrees with -> the first row that agrees with just these, and what was got there."""

    def see(self, limits: Limits, j: Judged) -> None:
        """Take in the entries of a batch that are inside the region and that nothing else explains."""
        if limits.whole(j.name):
            return
        points = limits.batch.points(limits.contract, limits.truth)
        covered = self.deviation.covers(j.name, points, j.got.shape)
        rows = np.flatnonzero(covered.reshape(len(covered), -1).any(axis=1))
        if not rows.size:
            return
        part = limits.batch.take(limits.contract, rows)
        here = part.points(limits.contract, limits.truth.rows(rows, limits.shared))
        at = j.rows(rows)
        bits = np.where(at.bad, 0, MATHEMATICS)
        for k, (shown, beyond) in enumerate(alternatives(at, self.deviation, here)):
            doubtful = covered[rows] & ~shown & (bits & MATHEMATICS > 0)
            near = doubtful & self._rounded(limits, j.name, rows, np.where(doubtful, beyond, 0.0))
            bits |= np.where(shown | near, 2 << k, 0)
        inside = covered[rows] & (bits > 0)
        for value in np.unique(bits[inside]):
            if int(value) not in self.witnesses:
                place = inside & (bits == value)
                row = int(np.flatnonzero(place.reshape(len(place), -1).any(axis=1))[0])
                one = part.take(limits.contract, np.array([row]))
                self.witnesses[int(value)] = one, float(at.got[row][place[row]].ravel()[0])

    @staticmethod
    def _rounded(limits: Limits, output: str, rows: Rows, beyond: Array) -> Mask:
        """Whether the distance to the documentation is one that the rounding of the terms explains as well.

        It is asked of the rows that are farthest off; the others follow them.
        """
        far = beyond.reshape(len(beyond), -1).max(axis=1)
        asked = np.argsort(-far, kind="stable")[:ASKED]
        result = np.ones(beyond.shape, np.bool_)
        slack = limits.at(output, rows[asked]).mixed
        result[asked] = beyond[asked] <= np.where(np.isfinite(slack), slack, 0.0)
        return result

    @property
    def common(self) -> int:
        """What every entry agrees with."""
        return int(np.bitwise_and.reduce(np.array(list(self.witnesses) or [0], np.int64)))

    @property
    def text(self) -> str:
        """``mathematics``, ``documentation``, ``both`` where no entry told them apart, or ``neither throughout``."""
        if not self.witnesses:
            return ""
        math, documented = bool(self.common & MATHEMATICS), self.common > MATHEMATICS
        if not self.common:
            return "neither throughout"
        return "both" if math and documented else "mathematics" if math else "documentation"

    @property
    def contradiction(self) -> list[tuple[str, Batch, float]]:
        """Rows that follow different things, as (what, row, got), where nothing is followed throughout."""
        if self.common or not self.witnesses:
            return []
        shown, left = [], -1
        for bits, (row, got) in sorted(self.witnesses.items(), key=lambda item: item[0].bit_count()):
            if left & bits != left:
                shown.append(("the mathematics" if bits & MATHEMATICS else "the documentation", row, got))
                left &= bits
        return shown
