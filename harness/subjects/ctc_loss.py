"""torch's ctc_loss, on log-probabilities and through log_softmax."""

from __future__ import annotations

from typing import Any

import torch

from harness.contracts.ctc_loss import CONTRACT
from harness.subjects.builtin import builtin

Tensor = torch.Tensor
F = torch.nn.functional


def of_logits(
    logits: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """ctc_loss of log_softmax."""
    log_probs = F.log_softmax(logits, dim=-1)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def concatenated(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, **given: Any
) -> Tensor:
    """Targets without padding, one after another."""
    rows = zip(torch.atleast_2d(targets), torch.atleast_1d(target_lengths).tolist(), strict=True)
    joined = torch.cat([row[:length] for row, length in rows])
    return F.ctc_loss(log_probs, joined, input_lengths, target_lengths, **given)


def tuples(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, **given: Any) -> Tensor:
    """Lengths as tuples."""
    lengths = (tuple(torch.atleast_1d(x).tolist()) for x in (input_lengths, target_lengths))
    return F.ctc_loss(log_probs, targets, *lengths, **given)


SUBJECTS = builtin(CONTRACT)
