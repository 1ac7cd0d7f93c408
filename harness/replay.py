"""Recorded findings run again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness import records, registry
from harness.cases import from_record
from harness.evaluate import observe
from harness.ulp import to_hex


@dataclass(frozen=True, slots=True)
class Replayed:
    """One finding beside what its case gives now."""

    finding: records.Finding
    subject: str
    now: str
    same: bool

    def __str__(self) -> str:
        word = "same" if self.same else "different"
        where = f"{self.subject} {self.finding.output} {self.finding.kind}"
        return f"{word}: {where}: recorded {self.finding.got}, now {self.now}"


def replayed(trial: records.Trial) -> Iterator[Replayed]:
    """Every finding of a trial of a registered Subject that carries a case."""
    subject = next((s for s in registry.subjects() if s.name == trial.subject), None)
    if subject is None:
        return
    for finding in trial.findings:
        if finding.case is None or not finding.got:
            continue
        seen = observe(subject, from_record(finding.case)).outputs().get(finding.output)
        texts = [] if seen is None else [to_hex(v) for v in np.ravel(seen)]
        now = finding.got if finding.got in texts else (texts[0] if texts else "nothing")
        yield Replayed(finding, trial.subject, now, finding.got in texts)
