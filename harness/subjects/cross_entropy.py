"""torch's cross_entropy."""

from harness.contracts.cross_entropy import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
