"""torch's binary_cross_entropy."""
from harness.contracts.binary_cross_entropy import CONTRACT
from harness.subjects.builtin import builtin
SUBJECTS = builtin(CONTRACT)
