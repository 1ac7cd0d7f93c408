"""torch's cosine_similarity."""

from harness.contracts.cosine_similarity import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT, fixed="none")
