"""torch's pairwise_distance."""

from harness.contracts.pairwise_distance import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT, fixed="none")
