"""torch's nll_loss."""

from harness.contracts.nll_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
