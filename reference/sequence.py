"""Oracles of the losses of sequences. Log-probabilities have shape (R, T, C), padded targets (R, S), lengths (R,)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reference.numerics import product
from reference.truth import Array, Output, Truth, output

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class _Lattice(NamedTuple):
    """The target with a blank before, between and after its labels: 2 S + 1 states."""

    labels: Indices
    """Class that each state emits; (R, 2 S + 1)."""
    skip: Mask
    """The state may follow the one two before it: a label that differs from the previous one; (R, 2 S + 1)."""
    first: Indices
    last: Indices
    """Earliest and latest time at which a path may be in the state; last < first where none may."""


def _lattice(targets: Indices, input_lengths: Indices, target_lengths: Indices, blank: int) -> _Lattice:
    rows, size = targets.shape
    place = np.arange(size)
    valid = place < target_lengths[:, None]
    label = np.where(valid, targets, blank)
    repeat = np.zeros((rows, size), np.int64)
    repeat[:, 1:] = (label[:, 1:] == label[:, :-1]) & valid[:, 1:]
    # A label waits for one step per earlier label and for one more, a blank, per repetition.
    reached = place + np.cumsum(repeat, axis=1)
    needed = (target_lengths + repeat.sum(axis=1))[:, None]
    first, behind = np.zeros((2, rows, 2 * size + 1), np.int64)
    first[:, 1::2], first[:, 2::2] = reached, reached + 1
    behind[:, 1::2] = needed - 1 - reached
    behind[:, 0:-1:2] = needed - reached + repeat
    last = input_lengths[:, None] - 1 - behind
    last[:, 1::2][~valid] = -1
    last[:, 2::2][~valid] = -1
    empty = target_lengths == 0
    last[empty, 0] = input_lengths[empty] - 1
    labels = np.full((rows, 2 * size + 1), blank)
    labels[:, 1::2] = label
    skip = np.zeros((rows, 2 * size + 1), np.bool_)
    skip[:, 3::2] = repeat[:, 1:] == 0
    return _Lattice(labels, skip, first, last)
