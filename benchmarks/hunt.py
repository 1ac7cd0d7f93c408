"""Cases a second of the hunt, beside one Hypothesis example a case, in one run.

Run: ``python benchmarks/hunt.py [seconds per side]``. A case is one loss value with its whole gradient, judged against
the float64 oracle: generation, torch forward and backward, oracle and judging are all inside the clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import hypothesis.extra.numpy as npst
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness import registry
from harness.cases import Batch
from harness.effort import CI
from harness.evaluate import observe
from harness.generate import choices, expand, plans
from harness.judge import judge
from harness.ulp import FLOAT32

NAME = "binary_cross_entropy_with_logits"


def judged(batch: Batch) -> int:
    """Evaluate and judge one batch; the number of its cases."""
    truth = batch.truth(SUBJECT.contract)
    judge(SUBJECT.contract, batch, truth, observe(SUBJECT, batch).outputs(), DEPARTURES)
    return batch.rows(SUBJECT.contract)


def packed(examples: int) -> int:
    """The hunt as it runs: Hypothesis draws plans, NumPy expands each into thousands of rows."""
    cases = 0

    @settings(max_examples=examples, database=None, deadline=None, phases=[Phase.generate], derandomize=True)
    @given(plans(SUBJECT))
    def hunt(plan: object) -> None:
        nonlocal cases
        cases += judged(expand(SUBJECT, plan, CI.plan_rows, FLOAT32, OPTIONS))  # type: ignore[arg-type]

    hunt()
    return cases


def plain(examples: int) -> int:
    """The plain way: Hypothesis draws the numbers of one case an example."""
    cases = 0
    scalars = npst.arrays(np.float32, 1, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
    labels = npst.arrays(np.float32, 1, elements=st.floats(0, 1, width=32))

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(scalars, labels)
    def hunt(x: np.ndarray, y: np.ndarray) -> None:  # type: ignore[type-arg]
        nonlocal cases
        args = {"input": x.astype(np.float64), "target": y.astype(np.float64)}
        cases += judged(Batch(args=args, precision=FLOAT32, origin="hunt"))

    hunt()
    return cases


def rate(side: Callable[[int], int], seconds: float) -> float:
    """Cases a second of processor time, from a run of about ``seconds``."""
    side(5)
    examples = 10
    while True:
        started = time.process_time()
        cases = side(examples)
        spent = time.process_time() - started
        if spent >= seconds / 3:
            return cases / spent
        examples = max(examples + 1, int(examples * seconds / max(spent, 1e-3) / 2))


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = registry.functional(registry.contract(NAME))
    assert found is not None
    SUBJECT, OPTIONS = found, choices(found)
    DEPARTURES = SUBJECT.departures
    budget = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    fast, slow = rate(packed, budget), rate(plain, budget)
    print(f"{NAME} float32, value and gradients, one core (processor time)")
    print(f"  packed plans of {CI.plan_rows} rows  {fast:12,.0f} cases/s")
    print(f"  one case an example      {slow:12,.0f} cases/s")
    print(f"  ratio                    {fast / slow:12,.0f}")
