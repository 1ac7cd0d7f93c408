"""Named budgets. Every output of a run names the effort it was made with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much of a Contract's domain a run visits."""

    name: str
    grid: int
    """Points of the swept argument of a scalar kernel at default parameters, in 32- and 64-bit dtypes."""
    exhaustive: bool
    """Whether 16-bit scalar kernels are swept over all 65,536 patterns."""
    other_grid: int
    """Points of the whole sweep's swept argument at every other setting of the parameters."""
    rows: int
    """Rows of a vector loss for each setting of parameters and sizes."""
    plans: int
    """Hypothesis examples of the hunt."""
    plan_rows: int
    """Rows each of them expands into."""
    singles: int
    """Rows of each block of the sweep that a loss with only a reduced result is called with, one at a time."""
    suspects: int | None
    """Rows of a block of the sweep whose gradients are conditioned, where more need it; None for all of them."""
    plan_singles: int
    """The same of each example of the hunt, of which there are many."""
    whole_batches: int
    """``singles`` where a row is a whole batch of a loss that ties its elements together."""
    plan_whole_batches: int
    """``plan_singles`` of such a loss."""
    defined: int
    """Rows of each block and output of the sweep that float64 is judged at by the definition in mpmath."""
    plan_defined: int
    """The same of each example of the hunt."""
    classes: tuple[int, ...]
    """Numbers of classes, in thousands and more, over which a mean is asked for."""
    seconds: str
    """What it is for, in words."""
    seed: int = 0
    """Of the random rows of the sweep and of the hunt; equal seeds give equal records."""

    @property
    def salt(self) -> tuple[int, ...]:
        """What a seed adds to the names that random rows are drawn by."""
        return (self.seed,) if self.seed else ()


QUICK = Effort(
    name="quick",
    grid=8192,
    exhaustive=False,
    other_grid=512,
    rows=512,
    plans=4,
    plan_rows=2048,
    singles=384,
    suspects=64,
    plan_singles=128,
    whole_batches=96,
    plan_whole_batches=32,
    defined=1,
    plan_defined=1,
    classes=(5_000,),
    seconds="one loss in about 5 s",
)
CI = Effort(
    name="ci",
    grid=16384,
    exhaustive=True,
    other_grid=1024,
    rows=2048,
    plans=8,
    plan_rows=4096,
    singles=512,
    suspects=None,
    plan_singles=256,
    whole_batches=128,
    plan_whole_batches=64,
    defined=2,
    plan_defined=2,
    classes=(5_000, 128_256),
    seconds="the catalogue in minutes",
)
THOROUGH = Effort(
    name="thorough",
    grid=2**18,
    exhaustive=True,
    other_grid=2**14,
    rows=2**15,
    plans=400,
    plan_rows=4096,
    singles=512,
    suspects=None,
    plan_singles=128,
    whole_batches=128,
    plan_whole_batches=32,
    defined=16,
    plan_defined=2,
    classes=(5_000, 128_256),
    seconds="nightly, with a seed of the day",
)
EFFORTS = {e.name: e for e in (QUICK, CI, THOROUGH)}

SECOND_ARGUMENTS = 33
"""Values of the arguments beside the swept one."""
BLOCK = 2**15
"""Cases judged at once: the float64 temporaries of an oracle stay in the second-level cache."""
