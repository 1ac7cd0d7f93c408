"""torch's cosine_embedding_loss."""

from harness.contracts.cosine_embedding_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
