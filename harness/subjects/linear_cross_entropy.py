"""torch's linear_cross_entropy."""

from harness.contracts.linear_cross_entropy import CONTRACT, SOFT
from harness.subjects.builtin import builtin
from dataclasses import replace

SUBJECTS = (*builtin(replace(CONTRACT, module="")), *builtin(replace(SOFT, module=""), function="linear_cross_entropy"))
