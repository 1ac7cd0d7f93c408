"""torch's binary_cross_entropy_with_logits."""

from harness.contracts.binary_cross_entropy_with_logits import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
