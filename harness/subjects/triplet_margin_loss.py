"""torch's triplet_margin_loss."""

from harness.contracts.triplet_margin_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
