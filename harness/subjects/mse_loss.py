"""torch's mse_loss."""

from harness.contracts.mse_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
