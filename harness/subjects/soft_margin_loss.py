"""torch's soft_margin_loss."""
from harness.contracts.soft_margin_loss import CONTRACT
from harness.subjects.builtin import builtin
SUBJECTS = builtin(CONTRACT)
