"""What a survey shows of a group of entries that are wrong in the same way."""

from __future__ import annotations

import torch
from torch import Tensor

from lossproof import validate


def zero_for_large(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """0 both where the loss is too small for 1 + exp(-z), a weakness, and where it is large, a defect."""
    z = target * input
    value = torch.where(z < -80, 0.0 * z, torch.log(1 + torch.exp(-z)))
    return value if reduction == "none" else getattr(value, reduction)()


def test_a_defect_is_not_shown_by_a_weakness_that_looks_simpler() -> None:
    result = validate(zero_for_large, like="soft_margin_loss", dtype="float32", check="range")
    (found,) = (f for f in result.findings if f.kind == "vanished" and f.output == "value")
    assert found.severity == "defect"
    assert float.fromhex(found.want) > 80
    assert not result.ok
