"""One thread, and Hypothesis profiles.

LOSSPROOF_HYPOTHESIS_PROFILE, or --hypothesis-profile, chooses a profile; ``ci`` is the default.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Tests fork, and in a child of a process that has used several threads of OpenMP the next parallel loop never ends.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every machine, however slow: no clock and no memory of earlier runs decides an outcome.
REPRODUCIBLE = settings(
    derandomize=True, deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)

settings.register_profile("ci", REPRODUCIBLE)
settings.register_profile("quick", REPRODUCIBLE, max_examples=20)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000, derandomize=False)
settings.load_profile(os.environ.get("LOSSPROOF_HYPOTHESIS_PROFILE", "ci"))
