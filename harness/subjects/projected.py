"""What losses with a projection to the classes share: where torch's log_softmax and matrix products lose the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, depth
from harness.deviations import LOST_DIGITS, PARTIAL, Fault, Points, Region, Seen, Witness
from harness.ulp import Array, Precision
from reference.classification import sum_of_others
from reference.numerics import product, softmax
from reference.projection import Computed
from reference.truth import Output

Mask = npt.NDArray[np.bool_]

LOG_SOFTMAX = "https://github.com/pytorch/pytorch/issues/113708"


def roundings(precision: Precision) -> float:
    """Times that the 1 of the largest class is rounded: in the vectorised sum, its logarithm, the difference.

    Of the halves only the sum is rounded to the dtype, from float32.
    """
    return 1.0 if precision.bits == 16 else 4.0


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
    ways: Mapping[str, tuple[Array, Array]]
    """Shared argument -> magnitudes from the gradient in the logits to its first axis, and those of the features."""
    scale: Mapping[str, Array]
    """Output -> largest number that the loss makes of the logits before targets and smoothing shrink it."""
    void: Mask | bool = False
    """Rows that multiply an infinite one by 0."""
    moved: Callable[[], Array] | None = None
    """How far relative errors of the features and of soft targets move the gradient in the features."""
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
        lost, moved = np.zeros((2, *at.truth.outputs()[output].exact.shape))
        for stage in stages(at):
            s, a = softmax(stage.logits.exact), stage.coefficients
            one = roundings(at.precision) * at.precision.u * a.sum(axis=1)
            if output == "value":
                number = product(a, s.gap + s.log_sum[:, None]).sum(axis=1)
                lost[stage.rows] += np.minimum(number, one)
            else:
                top, row = np.argmax(s.probability, axis=1), np.arange(len(a))
                push, pull = product(a, s.complement), product(sum_of_others(a), s.probability)
                # The sum of the shares is taken in the accumulator.
                summed = np.minimum(pull[row, top], 4.0 * accumulator(at.precision).u * a.sum(axis=1))
                amount = (np.minimum(push[row, top], one) + summed)[:, None]
                if output in stage.ways:
                    way, features = stage.ways[output]
                    lost += ((way[top] * amount).T @ features).reshape(lost.shape)
                    continue
                if output != "input":
                    continue
                lost[stage.rows] += amount * stage.carry[top]
                if stage.moved is not None:
                    moved += GRADIENT_CONSTANT * at.precision.u * stage.moved()
        return np.asarray(least_bound(output, at) + moved < lost, np.bool_)

    return region


def without_logits(stage: Stage, at: Points) -> Mask:
    """Rows whose softmax is nan: the largest logit is infinite in the dtype, or a partial sum of one is."""
    top, most = np.max(stage.logits.exact, axis=1), accumulator(at.precision).largest
    above, below = stage.parts
    lost = np.abs(top) > (most if stage.wide else at.precision.largest)
    lost |= (above > most).any(axis=1) | (below > most).all(axis=1)
    if stage.through is not None:
        above, below = stage.through
        lost |= (np.maximum(above, below) > most).any(axis=1)
        lost |= (np.abs(above - below) > at.precision.largest).any(axis=1)
    return np.asarray(lost, np.bool_)


def _without_a_class(stage: Stage, at: Points) -> Mask:
    """Rows with a class that has a share and counts as impossible, since a partial sum of its logit overflows."""
    share = softmax(stage.logits.exact).probability > at.precision.u
    return np.asarray((share & (stage.parts[1] > accumulator(at.precision).largest)).any(axis=1), np.bool_)


def logits_overflow(stages: Stages, output: str) -> Region:
    """Where a logit, or a sum of what the loss makes of the logits, leaves the range of the dtype."""

    def region(at: Points) -> Mask:
        largest, wanted = at.precision.largest, at.truth.outputs()[output]
        mask, beyond = np.zeros((2, *wanted.exact.shape), np.bool_)
        for stage in stages(at):
            spoiled = without_logits(stage, at) | _without_a_class(stage, at)
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


def _overflowed(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    return np.asarray(PARTIAL.holds(got, truth, points, bound) | (np.abs(got) <= truth.absolute), np.bool_)


OVERFLOWED = Seen(
    text="inf, nan, 0, lost digits or, of the loss without the classes that overflow, a number within its scale",
    holds=_overflowed,
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


def _of_half(witness: Witness) -> Witness:
    """The same with numbers whose products leave the range of float16."""

    def smaller(nested: Any) -> Any:
        if isinstance(nested, (list, tuple)):
            return [smaller(v) for v in nested]
        return nested.replace("0x1p+100", "0x1p+15") if isinstance(nested, str) else nested

    return replace(witness, args={k: smaller(v) for k, v in witness.args.items()}, dtype="float16")


def overflow_faults(
    stages: Stages,
    outputs: tuple[str, ...],
    witnesses: Mapping[str, Witness],
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16"),
) -> tuple[Fault, ...]:
    """One Fault an output, since shared tensors and rows have other shapes, of one cause."""
    return tuple(
        Fault(
            name=f"a logit or a sum of its products leaves the range: {output}",
            where="a logit, a sum of products, or -log p before weights shrink it, above the largest number",
            region=logits_overflow(stages, output),
            outputs=(output,),
            dtypes=dtypes,
            seen=OVERFLOWED,
            witnesses=(witnesses[output], *((_of_half(witnesses[output]),) if "float16" in dtypes else ())),
        )
        for output in outputs
    )


def _on(output: str) -> str:
    return "" if output == "input" else f": {output}"


def confident_faults(
    stages: Stages, outputs: tuple[str, ...], witnesses: Callable[[str], tuple[Witness, ...]]
) -> tuple[Fault, ...]:
    """The value and the gradients of confident rows, where torch takes the difference of a rounded number with 1."""
    known = {"value": ("log(1 + tail) instead of log1p(tail)", "loss so small")}
    gradient = ("gradient exp(log p) - 1", "1 - p of the certain class, carried by weights or features, so small")
    return tuple(
        Fault(
            name=f"confident: {known.get(output, gradient)[0]}" + ("" if output == "value" else _on(output)),
            where=f"{known.get(output, gradient)[1]} that the rounding of 1 + (other exponentials) exceeds its bound",
            region=rounding_of_one_shows(stages, output),
            outputs=(output,),
            dtypes=("float64", "float32", "float16"),
            seen=LOST_DIGITS,
            upstream=LOG_SOFTMAX,
            witnesses=witnesses(output),
        )
        for output in outputs
    )
