"""Many rows of a loss that takes one at a time in one call by torch.vmap: for a reference, never for a judgement."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.adjoints import gradients, rounding
from harness.binding import Subject
from harness.cases import Batch
from harness.evaluate import observe_rows, rows_first, to_array
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
    try:
        value, leaves = _called(subject, batch)
        found = gradients(value.sum(), leaves)
    except Exception:
        return None
    return Mapped(value=to_array(value), gradients=_rows_first(subject, found))


def mapped_rounding(subject: Subject, batch: Batch) -> dict[str, Array]:
    """``harness.adjoints.rounding`` of every row of a loss that can be mapped."""
    value, leaves = _called(subject, batch)
    return _rows_first(subject, rounding(value.sum, leaves))


def _called(subject: Subject, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The values of all rows, and the leaves of their graph."""
    contract = subject.contract
    tensors = rows_first(subject, batch)
    axes = {n: contract.arg(n).batch_axis for n in tensors}

    def one(row: dict[str, Tensor]) -> Tensor:
        alone = row if contract.coupled else {n: t.unsqueeze(axes[n]) for n, t in row.items()}
        result: Tensor = subject.call(alone, batch.parameters, "none")
        return result.reshape(())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value: Tensor = torch.vmap(one, in_dims=(axes,))(tensors)
    return value, {n: t for n, t in tensors.items() if t.requires_grad}


def _rows_first(subject: Subject, found: Mapping[str, Tensor]) -> dict[str, Array]:
    return {n: np.moveaxis(to_array(g), subject.contract.arg(n).batch_axis, 0) for n, g in found.items()}
