"""torch's hinge_embedding_loss."""

from harness.contracts.hinge_embedding_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
