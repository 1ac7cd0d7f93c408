"""Many rows of a loss that takes one at a time, for a reference and never for a judgement.

In one call by torch.vmap, or in a call each with one backward pass for all.
"""

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
from harness.conduct import calling, own
from harness.evaluate import observe_rows, result_of, to_array, to_tensor
from harness.ulp import Array

AGREE = 1e-9
"""Relative difference within which a mapped call must agree with single ones; else it is not taken."""
TRIED = 3
"""Rows that are compared."""
GRAPHS = 64
"""Rows whose graphs are held at once."""


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


def apart(subject: Subject, batch: Batch) -> Mapped | None:
    """The same of a loss that torch.vmap cannot run; None where a call or the backward pass raises."""
    contract, rows = subject.contract, batch.rows(subject.contract)
    parts = [batch.take(contract, slice(start, start + GRAPHS)) for start in range(0, rows, GRAPHS)]
    found = [_apart(subject, part) for part in parts]
    known = [part for part in found if part is not None]
    if len(known) < len(found) or not known:
        return None
    names = set.intersection(*(set(part.gradients) for part in known))
    return Mapped(
        value=np.concatenate([part.value for part in known]),
        gradients={n: np.concatenate([part.gradients[n] for part in known]) for n in known[0].gradients if n in names},
    )


def _apart(subject: Subject, batch: Batch) -> Mapped | None:
    contract, tensors = subject.contract, _tensors(subject, batch)
    values: list[Tensor] = []
    own_rows = [n for n in tensors if not contract.arg(n).shared]
    leaves: dict[str, list[Tensor]] = {n: [] for n in own_rows if tensors[n].requires_grad}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for r in range(batch.rows(contract)):
                row = {n: _row(subject, n, t, r) if n in own_rows else t for n, t in tensors.items()}
                for n, held in leaves.items():
                    held.append(row[n])
                one = batch.take(contract, slice(r, r + 1))
                with calling(subject, one, gradients=True):
                    values.append(result_of(subject, one, row).reshape(()))
            with calling(subject, batch, gradients=True):
                every = [leaf for held in leaves.values() for leaf in held]
                slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
                    torch.stack(values).sum(), every, allow_unused=True
                )
    except BaseException as error:
        if not own(error):
            raise
        return None
    found: dict[str, Array] = {}
    for place, n in enumerate(leaves):
        reached = [s for s in slopes[place * len(values) : (place + 1) * len(values)] if s is not None]
        if len(reached) == len(values):
            found[n] = to_array(torch.stack(reached))
    return Mapped(value=to_array(torch.stack(values)), gradients=found)


def _row(subject: Subject, name: str, tensor: Tensor, row: int) -> Tensor:
    """A row as the loss takes it, a leaf of its own where it is differentiable."""
    contract = subject.contract
    axis = contract.arg(name).batch_axis
    alone = tensor.select(axis, row) if contract.coupled else tensor.narrow(axis, row, 1)
    return alone.detach().clone().requires_grad_(tensor.requires_grad)


def _called(subject: Subject, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The values of all rows, and the leaves of their graph."""
    contract = subject.contract
    tensors = _tensors(subject, batch)
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
