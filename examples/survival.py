"""Targets of several dtypes that are only legal together: a log-hazard, whether an event was seen, and when."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossproof import Result, validate
from lossproof.inputs import event, logits, positive


def cox(log_hazard: Tensor, seen: Tensor, time: Tensor) -> Tensor:
    """The negative partial log-likelihood of Cox, with sums of exponentials."""
    at_risk = time >= time.unsqueeze(1)
    risk = torch.log((at_risk * torch.exp(log_hazard)).sum(dim=1))
    return ((risk - log_hazard) * seen).sum() / seen.sum()


def one_is_seen(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Without an event there is no likelihood."""
    seen = np.array(args["seen"])
    seen[:, 0] = np.where(seen.any(axis=1), seen[:, 0], 1)
    return {**args, "seen": seen}


def validated(**options: Any) -> Result:
    """Adding a constant to all hazards changes nothing, until exp overflows."""
    return validate(
        cox,
        inputs={
            "log_hazard": logits("B", largest=100.0),
            "seen": event("B", dtype="bool"),
            "time": positive("B"),
        },
        laws=["shift_invariant(log_hazard)"],
        arrange=one_is_seen,
        **options,
    )


if __name__ == "__main__":
    sys.stdout.write(str(validated(dtype="float32")) + "\n")
