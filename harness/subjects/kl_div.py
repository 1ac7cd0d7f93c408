"""torch's kl_div."""

from harness.contracts.kl_div import CONTRACT, LOG_TARGET
from harness.subjects.builtin import builtin

SUBJECTS = (*builtin(CONTRACT), *builtin(LOG_TARGET, function="kl_div"))
