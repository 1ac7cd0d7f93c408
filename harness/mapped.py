"""Many rows of a loss that takes one at a time in one call, by torch.vmap: for a reference, never for a judgement."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.binding import Subject
from harness.cases import Batch
from harness.evaluate import observe_rows, to_array, to_tensor
from harness.ulp import Array

AGREE = 1e-9
"""Relative difference within which a mapped call must agree with single ones; else it is not taken."""
TRIED = 3
"""Rows that are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What all rows of a batch give."""

    value: Array
    gradients: Mapping[str, Array]


def can_be_mapped(subject: Subject, batch: Batch) -> bool:
    """Whether torch.vmap runs the loss, and to what single calls give at the first rows of a batch."""
    few = batch.take(subject.contract, slice(0, TRIED))
    many, single = mapped(subject, few), observe_rows(subject, few)
    if many is None or single.value is None:
        return False
    pairs = [(many.value, single.value)]
    pairs += [(many.gradients[n], g) for n, g in single.gradients.items() if n in many.gradients]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=AGREE, atol=0.0, equal_nan=True) for a, b in pairs)


def mapped(subject: Subject, batch: Batch) -> Mapped | None:
    """Value and gradients of every row; None for a loss that torch.vmap cannot run."""
    contract = subject.contract
    tensors = _tensors(subject, batch)
    axes = {n: contract.arg(n).batch_axis for n in tensors}

    def one(row: dict[str, Tensor]) -> Tensor:
        alone = row if contract.coupled else {n: t.unsqueeze(axes[n]) for n, t in row.items()}
        result: Tensor = subject.call(alone, batch.parameters, "none")
        return result.reshape(())

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = torch.vmap(one, in_dims=(axes,))(tensors)
            found = _gradients(value.sum(), {n: t for n, t in tensors.items() if t.requires_grad})
    except Exception:
        return None
    return Mapped(value=to_array(value), gradients={n: np.moveaxis(g, axes[n], 0) for n, g in found.items()})


def _gradients(total: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Array]:
    if not leaves or not total.requires_grad:
        return {}
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {n: to_array(g) for n, g in zip(leaves, grads, strict=True) if g is not None}


def _tensors(subject: Subject, batch: Batch) -> dict[str, Tensor]:
    """The rows as they are, on the axis where torch has them, leaves where they are differentiable."""
    contract = subject.contract
    found = {}
    for name, array in batch.args.items():
        arg = contract.arg(name)
        placed = np.moveaxis(array, 0, arg.batch_axis)
        tensor = to_tensor(placed, batch.precision, batch.device)
        found[name] = tensor.requires_grad_() if arg.differentiable else tensor
    return found
