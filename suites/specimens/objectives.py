"""What training minimises beside one loss: the sound forms of the examples, and forms that are wrong in the usual ways.

What changes gradients in place, as ``clip_grad_norm_`` does, is no function of inputs and not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from examples.objectives import ALPHA, OBJECTIVES
from suites.specimens.specimen import Objective


def roots_of_squares(x: Tensor) -> Tensor:
    """An infinite slope times 0 at 0."""
    return x.square().sqrt().sum(dim=1)


def l2_of_biases_too(parameters: Mapping[str, Tensor]) -> Tensor:
    return 0.5 * ALPHA * torch.stack([p.square().sum() for p in parameters.values()]).sum()


def sigma_for_variance(losses: Tensor, log_variances: Tensor) -> Tensor:
    """The logarithm of the standard deviation taken for that of the variance."""
    sigma = torch.exp(log_variances)
    return (losses / (2 * sigma.square()) + torch.log(sigma)).sum(dim=1)


def mean_over_all(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((input - target).square() * mask).mean(dim=1)


def nothing_by_nothing(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    return ((input - target).square() * mask).sum(dim=1) / mask.sum(dim=1)


def kept(name: str, epoch: int | None = None, **declared: Any) -> Objective:
    """The objective of the examples that has this name, or another form of it, with what it shows."""
    of = next(o for o in OBJECTIVES if o.loss.__name__ == name and o.init.get("epoch") == epoch)
    known = {"loss": of.loss, "form": "sound", "source": "examples/objectives.py", "init": of.init}
    return Objective(**{**known, "inputs": of.inputs, "oracle": of.oracle, **declared})


CANCELS = {"value": ("absolute-only",), "gradient": ("absolute-only",), "range": ("vanished",)}
"""Of expm1(s) - s, near s = 0."""

SPECIMENS = (
    kept("l1_norm", grade="few-ulp"),
    kept("l1_penalty", grade="few-ulp"),
    kept("l2_penalty", grade="few-ulp"),
    kept("penalised", grade="few-ulp"),
    kept(
        "weighted_tasks",
        grade="few-ulp",
        gradient="absolute-only",
        shows={"gradient": ("absolute-only",), "range": ("vanished",)},
    ),
    kept("annealed", 0, grade="few-ulp"),
    kept("annealed", 5, grade="absolute-only", shows=CANCELS),
    kept("annealed", 20, grade="absolute-only", shows=CANCELS),
    kept("uncertainty_weighted", grade="mixed-stable"),
    kept("masked_mean", grade="few-ulp"),
    kept(
        "l1_norm",
        loss=roots_of_squares,
        form="wild",
        source="a root of squares for a magnitude",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only", "unstable"),
            "range": ("overflow", "vanished"),
            "edges": ("nan",),
        },
    ),
    kept(
        "l2_penalty",
        loss=l2_of_biases_too,
        form="wild",
        source="a sum over parameters()",
        shows={"value": ("absolute-only", "unstable"), "nonfinite": ("nan", "unstable")},
    ),
    kept(
        "uncertainty_weighted",
        loss=sigma_for_variance,
        form="wild",
        source="log sigma in place of log sigma squared",
        shows={"value": ("absolute-only", "unstable"), "nonfinite": ("unstable",)},
    ),
    kept(
        "masked_mean",
        loss=mean_over_all,
        form="wild",
        source="mean() after the product with a mask",
        shows={"value": ("absolute-only", "unstable"), "laws": ("ignored",), "nonfinite": ("nan", "unstable")},
    ),
    kept(
        "masked_mean",
        loss=nothing_by_nothing,
        form="wild",
        source="a sum divided by that of the mask",
        shows={"range": ("nan",), "edges": ("nan",), "laws": ("ignored",), "nonfinite": ("nan",)},
    ),
)
