"""What training minimises beside one loss: penalties, sums of several losses, weights that change, masks, clipping."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lossproof import Result, validate
from lossproof.inputs import class_index, logits, mask, positive, real

ALPHA = 0.01
TASKS = (1.0, 0.25)
WARM_UP = 10


def weights_of(parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The parameters that are penalised: all but biases, by the last word of their name in a Module."""
    return [p for name, p in parameters.items() if not name.endswith("bias")]


def l1_norm(x: Tensor) -> Tensor:
    """Sum of magnitudes of every row of (N, D); shape (N,)."""
    return x.abs().sum(dim=1)


def l1_penalty(parameters: Mapping[str, Tensor], alpha: float = ALPHA) -> Tensor:
    """alpha ‖w‖₁ over all weights; a number."""
    return alpha * torch.stack([w.abs().sum() for w in weights_of(parameters)]).sum()


def l2_penalty(parameters: Mapping[str, Tensor], alpha: float = ALPHA) -> Tensor:
    """alpha/2 ‖w‖² over all weights, whose gradient alpha w is the ``weight_decay`` of torch.optim.SGD; a number."""
    return 0.5 * alpha * torch.stack([w.square().sum() for w in weights_of(parameters)]).sum()


def penalised(input: Tensor, target: Tensor, parameters: Mapping[str, Tensor], alpha: float = ALPHA) -> Tensor:
    """Mean squared error of (B,) and the L2 penalty, which does not depend on the size of the batch; a number."""
    return F.mse_loss(input, target) + l2_penalty(parameters, alpha)


def weighted_tasks(
    scores: Tensor, labels: Tensor, output: Tensor, target: Tensor, weights: tuple[float, float] = TASKS
) -> Tensor:
    """Cross-entropy of (B, C) and mean squared error of (B,), each a mean, with fixed weights; a number."""
    classification, regression = weights
    return classification * F.cross_entropy(scores, labels) + regression * F.mse_loss(output, target)


def warmed_up(epoch: int, epochs: int = WARM_UP) -> float:
    """A weight that grows evenly from 0 in epoch 0 to 1 in epoch ``epochs``, and stays there."""
    return min(1.0, epoch / epochs)


def annealed(error: Tensor, mean: Tensor, log_variance: Tensor, epoch: int = 3) -> Tensor:
    """Squared error and a Gaussian Kullback-Leibler divergence of (N, D) that is warmed up; shape (N,)."""
    divergence = 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(dim=1)
    return error.square().sum(dim=1) + warmed_up(epoch) * divergence


def uncertainty_weighted(losses: Tensor, log_variances: Tensor) -> Tensor:
    """Half of Σ e^(-s) L + s over the tasks of (N, T), with s the logarithm of a variance that is learned; shape (N,).

    Kendall, Gal and Cipolla, Multi-task learning using uncertainty to weigh losses, CVPR 2018.
    """
    return 0.5 * (torch.exp(-log_variances) * losses + log_variances).sum(dim=1)


def masked_mean(input: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of the squares that count in every row of (N, D), 0 where none does; shape (N,).

    What is masked is replaced before it is squared: 0 times inf or nan would be nan.
    """
    difference = torch.where(mask, input - target, torch.zeros_like(input))
    return difference.square().sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def clip_scaled_(gradients: Iterable[Tensor], max_norm: float) -> Tensor:
    """``clip_grad_norm_`` in place, whose norm is taken of numbers divided by the largest; returns the norm.

    Finite gradients are clipped to ``max_norm`` though their squares overflow or underflow. Raises ValueError, and
    changes nothing, where one is inf or nan.
    """
    tensors = list(gradients)
    largest = torch.stack([g.abs().max() for g in tensors]).max()
    if not torch.isfinite(largest):
        raise ValueError(f"gradients: expected finite numbers, got {largest.item()} among them; skip this step")
    if largest == 0:
        return largest
    relative = torch.stack([(g / largest).norm() for g in tensors]).norm()
    factor = max_norm / relative
    if factor < largest:
        for g in tensors:
            g.div_(largest).mul_(factor)
    return relative * largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A sound objective, what it takes, and its values in NumPy."""

    loss: Callable[..., Tensor]
    inputs: Mapping[str, Any]
    oracle: Callable[..., Any]
    init: Mapping[str, Any] = field(default_factory=dict)

    def validated(self, loss: Callable[..., Any] | None = None, **options: Any) -> Result:
        """The objective, or another form of it, against the oracle."""
        chosen = self.loss if loss is None else loss
        name = getattr(chosen, "__name__", type(chosen).__name__)
        declared = {"inputs": self.inputs, "oracle": self.oracle, "init": self.init, "name": name}
        return validate(chosen, **{**declared, **options})


def _squares(*arrays: Any) -> Any:
    return sum((a**2).reshape(len(a), -1).sum(axis=1) for a in arrays)


def _magnitudes(*arrays: Any) -> Any:
    return sum(np.abs(a).reshape(len(a), -1).sum(axis=1) for a in arrays)


def _cross_entropy(scores: Any, labels: Any) -> Any:
    own = np.take_along_axis(scores, labels[..., None], axis=-1)
    return np.logaddexp.reduce(scores - own, axis=-1)


def _divergence(mean: Any, log_variance: Any) -> Any:
    return 0.5 * (mean**2 + np.expm1(log_variance) - log_variance).sum(axis=1)


SMALL = {"low": -8.0, "high": 8.0}
PARAMETERS = {
    "hidden_weight": real(3, 4, **SMALL),
    "hidden_bias": real(4, **SMALL),
    "out_weight": real(4, 1, **SMALL),
    "out_bias": real(1, **SMALL),
}
PAIR = {"input": real("B", **SMALL), "target": real("B", **SMALL)}


def _decayed(named: Mapping[str, Any]) -> list[Any]:
    return [named["parameters_hidden_weight"], named["parameters_out_weight"]]


OBJECTIVES = (
    Objective(loss=l1_norm, inputs={"x": real("N", "D", **SMALL)}, oracle=lambda x: np.abs(x).sum(axis=1)),
    Objective(
        loss=l1_penalty,
        inputs={"parameters": PARAMETERS},
        oracle=lambda **named: ALPHA * _magnitudes(*_decayed(named)),
    ),
    Objective(
        loss=l2_penalty,
        inputs={"parameters": PARAMETERS},
        oracle=lambda **named: 0.5 * ALPHA * _squares(*_decayed(named)),
    ),
    Objective(
        loss=penalised,
        inputs={**PAIR, "parameters": PARAMETERS},
        oracle=lambda input, target, **named: (
            ((input - target) ** 2).mean(axis=1) + 0.5 * ALPHA * _squares(*_decayed(named))
        ),
    ),
    Objective(
        loss=weighted_tasks,
        inputs={
            "scores": logits("B", "C", largest=16.0),
            "labels": class_index("B"),
            "output": real("B", **SMALL),
            "target": real("B", **SMALL),
        },
        oracle=lambda scores, labels, output, target: (
            TASKS[0] * _cross_entropy(scores, labels).mean(axis=1) + TASKS[1] * ((output - target) ** 2).mean(axis=1)
        ),
    ),
    *(
        Objective(
            loss=annealed,
            inputs={n: real("N", "D", **SMALL) for n in ("error", "mean", "log_variance")},
            oracle=lambda error, mean, log_variance, weight=weight: (
                (error**2).sum(axis=1) + weight * _divergence(mean, log_variance)
            ),
            init={"epoch": epoch},
        )
        for epoch, weight in ((0, 0.0), (5, 0.5), (20, 1.0))
    ),
    Objective(
        loss=uncertainty_weighted,
        inputs={"losses": positive("N", "T"), "log_variances": real("N", "T", low=-16.0, high=16.0)},
        oracle=lambda losses, log_variances: 0.5 * (np.exp(-log_variances) * losses + log_variances).sum(axis=1),
    ),
    Objective(
        loss=masked_mean,
        inputs={"input": real("N", "D", **SMALL), "target": real("N", "D", **SMALL), "mask": mask("N", "D")},
        oracle=lambda input, target, mask: (
            (np.where(mask, input - target, 0.0) ** 2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        ),
    ),
)

if __name__ == "__main__":
    for objective in OBJECTIVES:
        sys.stdout.write(f"{objective.loss.__name__}: {objective.validated(dtype='float32').verdict}\n")
