"""torch's gaussian_nll_loss."""

from harness.contracts.gaussian_nll_loss import CONTRACT
from harness.subjects.builtin import builtin

SUBJECTS = builtin(CONTRACT)
