"""What losses with a projection to the classes share: where torch's log_softmax and matrix products lose the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, depth
from harness.deviations import PARTIAL, Fault, Points, Region, Seen, Witness
from harness.ulp import Array
from reference.classification import sum_of_others
from reference.numerics import product, softmax
from reference.projection import Computed
from reference.truth import Output

Mask = npt.NDArray[np.bool_]

LOG_SOFTMAX = "https://github.com/pytorch/pytorch/issues/113708"
ROUNDINGS = 4.0
"""Times that the 1 of the largest class is rounded: in the vectorised sum, its logarithm, the difference."""


class Stage(NamedTuple):
    """One softmax of a loss."""

    rows: npt.NDArray[np.intp]
    """Rows of the batch that go through it."""
    logits: Computed
    parts: tuple[Array, Array]
    """Positive and negative terms of every logit, summed apart."""
    coefficients: Array
    """a of loss = sum over c of a_c (logsumexp(z) - z_c); zero in ignored rows."""
    carry: Array
    """Magnitude by which the gradient in a logit reaches that in a feature; (classes, features)."""
    sums: Mapping[str, tuple[Array, Array]]
    """Shared arguments whose gradients come from here -> the sums of positive and of negative terms of every entry."""
    scale: Mapping[str, Array]
    """Output -> largest number that the loss makes of the logits before targets and smoothing shrink it."""
    void: Mask | bool = False
    """Rows that multiply an infinite one by 0."""
    wide: bool = False
    """Whether the logits are held in the accumulator's dtype."""
    through: tuple[Array, Array] | None = None
    """Positive and negative terms of the features that a projection makes on the way."""


Stages = Callable[[Points], list[Stage]]


def least_bound(output: str, at: Points) -> Array:
    """The error that the best algorithm may make, with that of moved inputs as far as it is known here."""
    p, wanted = at.precision, at.truth.outputs()[output]
    constant = VALUE_CONSTANT if output == "value" else GRADIENT_CONSTANT
    rounding = p.u * wanted.reference + p.smallest_subnormal * wanted.underflow
    sums = accumulator(p).u * depth(np.shape(at["input"])[1]) * wanted.accumulation
    moved = 0.0
    if output == "value":
        for name in ("input", "target"):
            if name in at.truth.gradients:
                moved = moved + np.abs(product(at.truth.gradients[name].exact, at[name])).sum(axis=1)
    return np.asarray(constant * (rounding + sums + p.u * moved))


def rounding_of_one_shows(stages: Stages, output: str) -> Region:
    """Where a number that torch takes as a difference with 1 exceeds the bound, and the rounding of that 1 does so too.

    The 1 is exp(0) of the largest class, rounded to the dtype with the sum that it starts, in the halves too.
    """

    def region(at: Points) -> Mask:
        lost = np.zeros(at.truth.outputs()[output].exact.shape)
        for stage in stages(at):
            s, a = softmax(stage.logits.exact), stage.coefficients
            one = ROUNDINGS * at.precision.u * a.sum(axis=1)
            if output == "value":
                number = product(a, s.gap + s.log_sum[:, None]).sum(axis=1)
                lost[stage.rows] += np.minimum(number, one)
            else:
                top, row = np.argmax(s.probability, axis=1), np.arange(len(a))
                number = (product(sum_of_others(a), s.probability) + product(a, s.complement))[row, top]
                lost[stage.rows] += np.minimum(number, one)[:, None] * stage.carry[top]
        return np.asarray(least_bound(output, at) < lost, np.bool_)

    return region


def without_logits(stage: Stage, at: Points) -> Mask:
    """Rows whose softmax is nan: the largest logit is infinite in the dtype, or a partial sum of one is."""
    top, most = np.max(stage.logits.exact, axis=1), accumulator(at.precision).largest
    above, below = stage.parts
    lost = (np.abs(top) > (most if stage.wide else at.precision.largest)) | (above > most).any(axis=1) | (below > most).all(axis=1)
    if stage.through is not None:
        above, below = stage.through
        lost |= (np.maximum(above, below) > most).any(axis=1) | (np.abs(above - below) > at.precision.largest).any(
            axis=1
        )
    return np.asarray(lost, np.bool_)


def logits_overflow(stages: Stages, output: str) -> Region:
    """Where a logit, or a sum of what the loss makes of the logits, leaves the range of the dtype."""

    def region(at: Points) -> Mask:
        largest, wanted = at.precision.largest, at.truth.outputs()[output]
        mask, beyond = np.zeros((2, *wanted.exact.shape), np.bool_)
        for stage in stages(at):
            spoiled = without_logits(stage, at)
            if output == "value":
                counts = stage.coefficients != 0.0
                mask[stage.rows] |= (spoiled & counts.any(axis=1)) | stage.void
                least = -accumulator(at.precision).largest if stage.wide else -largest
                beyond[stage.rows] |= product(counts * 1.0, stage.logits.exact).min(axis=1) < least
            elif output in stage.sums:
                positive, negative = stage.sums[output]
                most = largest if stage.wide else accumulator(at.precision).largest
                mask |= bool(spoiled.any()) | ((positive > most) & (negative > most))
                beyond |= np.maximum(positive, negative) > most
            elif output in ("input", "target"):
                mask[stage.rows] |= spoiled[:, None]
            if output in stage.scale:
                beyond[stage.rows] |= stage.scale[output] > largest
        return np.asarray(mask | (beyond & (np.abs(wanted.exact) <= largest)), np.bool_)

    return region


def class_overflows(stages: Stages, output: str) -> Region:
    """Where a class that has a share counts as impossible, since a negative partial sum of its logit overflows."""

    def region(at: Points) -> Mask:
        mask = np.zeros(at.truth.outputs()[output].exact.shape, np.bool_)
        for stage in stages(at):
            share = softmax(stage.logits.exact).probability > at.precision.u
            lost = (share & (stage.parts[1] > accumulator(at.precision).largest)).any(axis=1)
            mask[stage.rows] |= lost.reshape((-1,) + (1,) * (mask.ndim - 1))
        return mask

    return region


def _within_the_scale(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    return np.asarray(np.abs(got) <= truth.absolute, np.bool_)


WITHOUT_THE_CLASS = Seen(
    text="a number within the scale of the loss, that of the loss without the class",
    holds=_within_the_scale,
    exact=False,
)


def slope_of(logits: Computed, coefficients: Array) -> Array:
    """The gradient in the logits."""
    s = softmax(logits.exact)
    return product(sum_of_others(coefficients), s.probability) - product(coefficients, s.complement)


def signed_sums(first: Array, second: Array) -> tuple[Array, Array]:
    """Positive and negative terms of a matrix product, summed apart."""
    up, down = np.maximum(first, 0.0), np.maximum(-first, 0.0)
    above, below = np.maximum(second, 0.0), np.maximum(-second, 0.0)
    return up @ above + down @ below, up @ below + down @ above


def overflow_faults(
    stages: Stages, outputs: tuple[str, ...], witnesses: Mapping[str, Witness], versions: str = ""
) -> tuple[Fault, ...]:
    """One Fault an output, since shared tensors and rows have other shapes, of one cause."""
    return tuple(
        Fault(
            name=f"a logit or a sum of its products leaves the range: {output}",
            where="a logit, a sum of products, or -log p before weights and smoothing shrink it, above the largest number",
            region=logits_overflow(stages, output),
            outputs=(output,),
            seen=PARTIAL,
            versions=versions,
            witnesses=(witnesses[output],),
        )
        for output in outputs
    )
