"""torch's poisson_nll_loss."""

from harness.contracts.poisson_nll_loss import CONTRACT, RATE
from harness.subjects.builtin import builtin

SUBJECTS = (*builtin(CONTRACT), *builtin(RATE, function="poisson_nll_loss"))
