"""torch's smooth_l1_loss."""

from harness.contracts.smooth_l1_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
