"""How long ``lossproof validate`` takes from the command to its verdict, and what its worker processes cost.

Run: ``python benchmarks/validate.py [times]``. Every command is a process of its own, start included, and the best of
so many times counts (default 2). Beside it the same loss is judged by ``validate()`` in one process, which starts too.
The command has two workers where there are two processors: what they cost shows in the processor time of all.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOSSES = """
import torch
from torch.nn import functional as F


def bce(input, target, reduction="mean"):
    return F.binary_cross_entropy_with_logits(input, target, reduction=reduction)


def cross_entropy(input, target, reduction="mean"):
    return F.cross_entropy(input, target, reduction=reduction)


def focal(logits, targets):
    ce = F.cross_entropy(logits, targets, reduction="none")
    return (1 - (-ce).exp()) ** 2 * ce


def supervised_contrastive(embeddings, labels):
    if not (labels[:, None] == labels).fill_diagonal_(False).any():  # torch.vmap does not run it
        return 0.0 * embeddings.sum()
    unit = F.normalize(embeddings, dim=1)
    own = torch.eye(len(labels), dtype=torch.bool)
    scores = (unit @ unit.T / 0.1).masked_fill(own, -torch.inf)
    positive = (labels[:, None] == labels) & ~own
    log_share = scores.log_softmax(1).masked_fill(~positive, 0.0).sum(1)
    has = positive.any(1)
    return -(log_share[has] / positive.sum(1)[has]).mean()


def tversky_of_sigmoids(input, target, alpha=0.5, beta=0.5, smooth=1.0):
    input, target = torch.sigmoid(input).view(-1), target.view(-1)  # wrong everywhere, and in mean alone
    both = (input * target).sum()
    rest = alpha * ((1 - target) * input).sum() + beta * (target * (1 - input)).sum()
    return 1 - (both + smooth) / (both + rest + smooth)


def ctc(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean"):
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction)
"""
FOCAL = {"logits": "logits(N, C)", "targets": "class_index(N, classes=C)"}
TIED = {"embeddings": "embedding(B, D)", "labels": "class_index(B, classes=4)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A loss and what is asked of it."""

    loss: str
    like: str = ""
    """Empty: declared by its inputs."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    effort: str = "quick"
    aim: float
    """Seconds from the command to the verdict."""


CASES = (
    Case(loss="bce", like="binary_cross_entropy_with_logits", aim=10.0),
    Case(loss="cross_entropy", like="cross_entropy", aim=10.0),
    Case(loss="focal", inputs=FOCAL, aim=10.0),
    Case(loss="supervised_contrastive", inputs=TIED, aim=10.0),
    Case(loss="tversky_of_sigmoids", like="tversky_loss", aim=10.0),
    Case(loss="ctc", like="ctc_loss", aim=20.0),
    Case(loss="bce", like="binary_cross_entropy_with_logits", effort="ci", aim=60.0),
    Case(loss="cross_entropy", like="cross_entropy", effort="ci", aim=60.0),
    Case(loss="focal", inputs=FOCAL, effort="ci", aim=60.0),
)

IN_PROCESS = """
import runpy, sys
from lossproof import validate
file, name, like, effort = sys.argv[1:]
options = {{"like": like}} if like else {{"inputs": {inputs!r}}}
validate(runpy.run_path(file)[name], effort=effort, **options)
"""


def processor() -> float:
    """Seconds of processor time of the processes that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run(words: Sequence[str]) -> tuple[float, float]:
    """Seconds that a process takes, of the wall clock and of processors; its exit status is a verdict, or an error."""
    started, before = time.perf_counter(), processor()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)}: exit status {done.returncode}: {done.stderr}")
    return time.perf_counter() - started, processor() - before


def command(case: Case, file: Path) -> list[str]:
    """``lossproof validate``."""
    declared = [w for name, text in case.inputs.items() for w in ("--input", f"{name}: {text}")]
    held = ["--like", case.like] if case.like else declared
    return ["-m", "lossproof", "validate", f"{file}:{case.loss}", "--effort", case.effort, *held]


def in_process(case: Case, file: Path) -> list[str]:
    """``validate()``."""
    return ["-c", IN_PROCESS.format(inputs=dict(case.inputs)), str(file), case.loss, case.like, case.effort]


def best(words: Sequence[str], times: int) -> tuple[float, float]:
    """The least of either clock."""
    wall, processors = zip(*(run(words) for _ in range(times)), strict=True)
    return min(wall), min(processors)


def main(times: int) -> None:
    """Print the table."""
    print("                               seconds of the command   of one process   ratio, aim 1.5")
    print("loss                   effort     aim    wall     cpu     wall     cpu     wall     cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "losses.py"
        file.write_text(LOSSES, encoding="utf-8")
        for case in CASES:
            (wall, cpu), (alone, own) = (best(form(case, file), times) for form in (command, in_process))
            times_of = f"{wall:8.1f}{cpu:8.1f} {alone:8.1f}{own:8.1f} {wall / alone:8.2f}{cpu / own:8.2f}"
            print(f"{case.loss:23}{case.effort:8}{case.aim:6.0f}{times_of}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
