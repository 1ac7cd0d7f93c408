"""torch's cross_entropy: the mean of nll_loss over log_softmax, whose sum of exponentials starts at 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contracts.cross_entropy import CONTRACT, SOFT, kept
from harness.deviations import LOST_DIGITS, NAN, PARTIAL, Fault, Mask, Points, Witness, partial_leaves_range
from harness.subjects.builtin import builtin
from reference.classification import class_coefficients, sum_of_others
from reference.numerics import softmax
from reference.truth import Array

LOG_SOFTMAX = "https://github.com/pytorch/pytorch/issues/113708"
IGNORED = "https://github.com/pytorch/pytorch/issues/11551"
CONFIDENT = 2.0**-6
"""Share of the weights below which the rounding of 1 + (sum of the other exponentials) shows in the loss."""
MARGIN = 16.0


def _coefficients(at: Points) -> Array:
    weight = at.args.get("weight")
    smoothing = at.parameters.get("label_smoothing", 0.0)
    ignored = at.parameters.get("ignore_index", -100)
    return class_coefficients(at["target"], at["input"].shape[1], weight, ignored, smoothing)


def _shows(small: Array, scale: Array, spread: Array, at: Points) -> Mask:
    """Numbers below CONFIDENT of their scale, yet above what the rounding of the logits and underflow move them by."""
    p = at.precision
    moved = p.u * scale * spread + p.smallest_subnormal * (1.0 + scale)
    return np.asarray((small < CONFIDENT * scale) & (small > MARGIN * moved), np.bool_)


def _small_loss(at: Points) -> Mask:
    return _shows(at.truth.value.exact, _coefficients(at).sum(axis=1), softmax(at["input"]).spread, at)


def _certain_class(at: Points) -> Mask:
    """Entries of the class of probability near 1 whose gradient, a difference of two numbers near a_j, is small."""
    s, a = softmax(at["input"]), _coefficients(at)
    terms = s.probability * sum_of_others(a) + a * s.complement
    return (s.complement < 0.5) & _shows(terms, a.sum(axis=1, keepdims=True), s.spread[:, None], at)


def _small_log_probability(at: Points) -> Mask:
    s = softmax(at["input"])
    slope = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"]) * np.ones_like(s.gap)
    return _shows(at.truth.gradients["target"].exact, slope, s.spread[:, None], at)


def _log_p_overflows(at: Points) -> Mask:
    """Rows with a finite logit whose log-probability is beyond the range though its product with the target is not."""
    s, a = softmax(at["input"]), _coefficients(at)
    beyond = np.isfinite(at["input"]) & (s.gap + s.log_sum[:, None] > at.precision.largest)
    harmless = (a == 0.0) | (at.truth.value.exact <= at.precision.largest)[:, None]
    return np.asarray((beyond & harmless).any(axis=1), np.bool_)


def _masked_without_weight(at: Points) -> Mask:
    """Rows with a class of logit -inf whose weight, or whose probability in the target, is 0."""
    smoothing = at.parameters.get("label_smoothing", 0.0)
    masked = np.isneginf(at["input"])
    free = np.broadcast_to(np.asarray(at["weight"]) == 0.0, masked.shape)
    if np.ndim(at["target"]) == 2:
        free = free | (at["target"] * (1.0 - smoothing) + smoothing == 0.0)
    elif smoothing == 0.0:
        return np.zeros(len(masked), np.bool_)
    return np.asarray((masked & free).any(axis=1) & kept(at), np.bool_)


def _masked_without_slope(at: Points) -> Mask:
    """Entries of logit -inf to whose probability the loss does not respond."""
    slope = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"])
    return np.asarray(np.isneginf(at["input"]) & (slope == 0.0), np.bool_)


def _ignored_and_masked(at: Points) -> Mask:
    return np.asarray(np.isneginf(at["input"]).all(axis=1) & ~kept(at), np.bool_)


SMALL_LOSS = Fault(
    name="confident: log(1 + tail) instead of log1p(tail)",
    where="loss below 2**-6 of the weights, above what rounding the logits moves it by",
    region=_small_loss,
    outputs=("value",),
    seen=LOST_DIGITS,
    upstream=LOG_SOFTMAX,
    witnesses=(
        Witness(args={"input": [[0.0, 16.0]], "target": [1]}),
        Witness(args={"input": [[32.0, 0.0]], "target": [0]}),
    ),
)
CERTAIN_CLASS = Fault(
    name="confident: gradient exp(log p) - 1",
    where="entry of a class of probability near 1, both terms of the gradient below 2**-6 of the weights",
    region=_certain_class,
    outputs=("input",),
    seen=LOST_DIGITS,
    upstream=LOG_SOFTMAX,
    witnesses=(
        Witness(args={"input": [[0.0, 16.0]], "target": [1]}),
        Witness(args={"input": [[32.0, 0.0]], "target": [0]}),
    ),
)
PARTIAL_VALUE = Fault(
    name="log p, or its product with the weight, leaves the range",
    where="-log p, weighted or summed over the classes, above the largest number, though its share in the loss is not",
    region=partial_leaves_range("value"),
    outputs=("value",),
    seen=PARTIAL,
    witnesses=(
        Witness(
            args={"input": [["-0x1p+123", 0.0]], "target": [1], "weight": [512.0, 1.0]},
            parameters={"label_smoothing": 0.1},
        ),
    ),
)
MASKED = Fault(
    name="0 * -inf: masked class without weight",
    where="label smoothing, a class of logit -inf and weight 0",
    region=_masked_without_weight,
    outputs=("value",),
    seen=NAN,
    witnesses=(
        Witness(
            args={"input": [[0.0, "-inf"]], "target": [0], "weight": [1.0, 0.0]}, parameters={"label_smoothing": 0.1}
        ),
    ),
)

FAULTS = (
    MASKED,
    Fault(
        name="ignored row reaches the gradient",
        where="target ignored, all logits -inf",
        region=_ignored_and_masked,
        outputs=("input",),
        seen=NAN,
        upstream=IGNORED,
        witnesses=(Witness(args={"input": [["-inf", "-inf"]], "target": [-100]}),),
    ),
    SMALL_LOSS,
    CERTAIN_CLASS,
    PARTIAL_VALUE,
)

SOFT_FAULTS = (
    replace(
        MASKED,
        where="a class of logit -inf whose probability or weight is 0",
        witnesses=(Witness(args={"input": [[0.0, "-inf"]], "target": [[1.0, 0.0]]}),),
    ),
    Fault(
        name="0 * -inf: probability gradient of a masked class",
        where="a class of logit -inf whose weight is 0, or label_smoothing 1",
        region=_masked_without_slope,
        outputs=("target",),
        seen=NAN,
        witnesses=(
            Witness(args={"input": [[0.0, "-inf"]], "target": [[1.0, 0.0]]}, parameters={"label_smoothing": 1.0}),
        ),
    ),
    replace(SMALL_LOSS, witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),)),
    replace(CERTAIN_CLASS, witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),)),
    Fault(
        name="confident: probability gradient log(1 + tail) instead of log1p(tail)",
        where="-log p below 2**-6, above what rounding the logits moves it by",
        region=_small_log_probability,
        outputs=("target",),
        seen=LOST_DIGITS,
        upstream=LOG_SOFTMAX,
        witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),),
    ),
    replace(
        PARTIAL_VALUE,
        name="log p leaves the range",
        where="-log p of a class above the largest number, though its share in the loss is not",
        region=_log_p_overflows,
        witnesses=(Witness(args={"input": [["-0x1p+127", "0x1p+127"]], "target": [[0.0, 1.0]]}),),
    ),
    replace(
        PARTIAL_VALUE,
        name="log p, or its product with the weight, leaves the range in the gradient",
        where="-log p, weighted, above the largest number, before label smoothing shrinks it",
        region=partial_leaves_range("target"),
        outputs=("target",),
        witnesses=(
            Witness(
                args={"input": [["-0x1p+127", "0x1p+127"]], "target": [[0.0, 1.0]]}, parameters={"label_smoothing": 1.0}
            ),
        ),
    ),
)

SUBJECTS = (*builtin(CONTRACT, faults=FAULTS), *builtin(SOFT, function="cross_entropy", faults=SOFT_FAULTS))
