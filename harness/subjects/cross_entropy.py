"""torch's cross_entropy: nll_loss of log_softmax, which takes the logarithm of a sum that is 1 or more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contracts.cross_entropy import CONTRACT, SOFT, kept
from harness.deviations import (
    ALL_DTYPES,
    LOST_DIGITS,
    NAN,
    PARTIAL,
    Fault,
    Mask,
    Points,
    Seen,
    Witness,
    exactly,
    partial_leaves_range,
)
from harness.subjects.builtin import builtin
from harness.ulp import FLOAT32, round_to
from reference.classification import class_coefficients, sum_of_others
from reference.numerics import product, softmax
from reference.truth import Array

LOG_SOFTMAX = "https://github.com/pytorch/pytorch/issues/113708"
IGNORED = "https://github.com/pytorch/pytorch/issues/11551"


def _coefficients(at: Points) -> Array:
    weight = at.args.get("weight")
    smoothing = at.parameters.get("label_smoothing", 0.0)
    ignored = at.parameters.get("ignore_index", -100)
    return class_coefficients(at["target"], at["input"].shape[1], weight, ignored, smoothing)


def _shows(lost: Array, small: Array, scale: Array, at: Points, constant: float) -> Mask:
    """Entries that lose more to the rounding of 1 + tail than to ``constant`` roundings of the logits and underflow."""
    p, s = at.precision, softmax(at["input"])
    pulled = s.spread + product(np.minimum(s.probability, s.complement), np.abs(at["input"])).sum(axis=1)
    moved = p.u * (small + scale * np.reshape(pulled, (-1,) + (1,) * (scale.ndim - 1)))
    return np.asarray(lost > constant * (moved + p.smallest_subnormal * (1.0 + scale)), np.bool_)


def _small_loss(at: Points) -> Mask:
    p, value, scale = at.precision, at.truth.value, _coefficients(at).sum(axis=1)
    pulled = product(at.truth.gradients["input"].exact, np.abs(at["input"]))
    moved = value.reference + np.abs(pulled).sum(axis=1)
    if np.ndim(at["target"]) == 2:
        soft = np.where(at["target"] == 1.0, 0.0, at["target"])
        moved = moved + product(soft, at.truth.gradients["target"].exact).sum(axis=1)
    lost = np.minimum(value.exact, _sum_of_exponentials(at) * scale)
    return np.asarray(lost > 16.0 * (p.u * moved + p.smallest_subnormal * (1.0 + scale)), np.bool_)


def _sum_of_exponentials(at: Points) -> float:
    """Rounding error of a sum of exponentials, the largest of them 1: one a class, or at the end alone in 16 bits."""
    return at.precision.u * (1.0 if at.precision.bits == 16 else float(at["input"].shape[1]))


def _certain_class(at: Points) -> Mask:
    """Entries of the class of probability near 1 whose gradient, a difference of two numbers near a_j, is small."""
    s, a = softmax(at["input"]), _coefficients(at)
    terms, scale = s.probability * sum_of_others(a) + a * s.complement, a.sum(axis=1, keepdims=True)
    u = FLOAT32.u if at.precision.bits == 16 else at.precision.u
    # log p is rounded to the dtype; p and the difference are not, in 16 bits.
    lost = np.maximum(scale * np.minimum(s.complement, 1.5 * at.precision.u), np.minimum(terms, 1.5 * u * scale))
    return (s.complement < 0.5) & _shows(lost, terms, scale, at, 32.0)


def _small_log_probability(at: Points) -> Mask:
    slope = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"]) * np.ones_like(at["input"])
    exact = at.truth.gradients["target"].exact
    return _shows(np.minimum(exact, _sum_of_exponentials(at) * slope), exact, slope, at, 32.0)


def _log_p_overflows(at: Points) -> Mask:
    """Rows with a finite logit whose log-probability is beyond the range though its product with the target is not."""
    s, a = softmax(at["input"]), _coefficients(at)
    beyond = np.isfinite(at["input"]) & (s.gap + s.log_sum[:, None] > at.precision.largest)
    harmless = (a == 0.0) | (at.truth.value.exact <= at.precision.largest)[:, None]
    return np.asarray((beyond & harmless).any(axis=1), np.bool_)


def _masked_without_weight(at: Points) -> Mask:
    """Rows in which the loss multiplies an infinite log-probability, or one that is nan, by 0 and by nothing else."""
    smoothing, target = at.parameters.get("label_smoothing", 0.0), at["target"]
    masked = np.isneginf(at["input"])
    weightless = np.broadcast_to(np.asarray(at["weight"]) == 0.0, masked.shape)
    if np.ndim(target) == 2:
        free = weightless | (target * (1.0 - smoothing) + smoothing == 0.0)
    else:
        chosen = target[:, None] == np.arange(masked.shape[1])
        free = (chosen & (weightless | (smoothing == 1.0))) | (weightless & (smoothing > 0.0))
    undefined = np.isnan(softmax(at["input"]).log_sum) & (_coefficients(at) == 0.0).all(axis=1)
    return np.asarray(((masked & free).any(axis=1) | undefined) & kept(at), np.bool_)


def _infinite_without_slope(at: Points) -> Mask:
    """Entries of infinite or undefined log-probability to whose probability the loss does not respond."""
    slope = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"])
    undefined = np.isnan(softmax(at["input"]).log_sum)[:, None]
    return np.asarray((np.isneginf(at["input"]) | undefined) & (slope == 0.0), np.bool_)


def _ignored_and_undefined(at: Points) -> Mask:
    """Rows without effect whose softmax, or whose product with a weight that smoothing gives to all classes, is nan."""
    weight = not np.isfinite(at["weight"]).all() and at.parameters.get("label_smoothing", 0.0) > 0.0
    undefined = np.isnan(softmax(at["input"]).log_sum) & (_coefficients(at) == 0.0).all(axis=1)
    return np.asarray(undefined | (~kept(at) & weight), np.bool_)


def _sum_overflows(at: Points) -> Mask:
    """Rows whose sum of exp(x - max(x)) rounds to infinity."""
    return np.isinf(round_to(at.precision, np.exp(-softmax(at["input"]).gap).sum(axis=1)))


NOT_FINITE = Seen(
    text="inf or nan where the truth is finite", holds=lambda got, truth, at, bound: ~np.isfinite(got), exact=True
)


SMALL_LOSS = Fault(
    name="confident: log(1 + tail) instead of log1p(tail)",
    where="loss so far below the weights that u of them is more than 16 roundings of it and of the logits",
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
    where="entry of a class of probability near 1, gradient so far below the weights that u of them is more"
    " than 32 roundings of it and of the logits",
    region=_certain_class,
    outputs=("input",),
    dtypes=("float64", "float32", "float16"),
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
    where="a class of logit -inf whose weight is 0, as target or under label smoothing; the target, where that is 1",
    region=_masked_without_weight,
    outputs=("value",),
    seen=NAN,
    witnesses=(
        Witness(
            args={"input": [[0.0, "-inf"]], "target": [0], "weight": [1.0, 0.0]}, parameters={"label_smoothing": 0.1}
        ),
    ),
)
SUM = Fault(
    name="the sum of exponentials overflows in float16",
    where="65,520 equal scores or as many that sum to it, classes contiguous",
    region=_sum_overflows,
    outputs=("value",),
    dtypes=("float16",),
    seen=NOT_FINITE,
    witnesses=(Witness(args={"input": [[0.0] * 65520], "target": [0]}, dtype="float16"),),
)
SUM_GRADIENT = replace(
    SUM,
    name="the sum of exponentials overflows in float16: probabilities of 0",
    outputs=("input",),
    seen=exactly("minus the weighted target", lambda at, output: -_coefficients(at), "input"),
    witnesses=(Witness(args={"input": [[0.0] * 65520], "target": [0]}, dtype="float16"),),
)

FAULTS = (
    MASKED,
    Fault(
        name="ignored row reaches the gradient",
        where="target ignored or of weight 0; a logit nan or +inf, all logits -inf, or a weight not finite if smoothed",
        region=_ignored_and_undefined,
        outputs=("input",),
        seen=NAN,
        upstream=IGNORED,
        witnesses=(Witness(args={"input": [["-inf", "-inf"]], "target": [-100]}),),
    ),
    SMALL_LOSS,
    CERTAIN_CLASS,
    PARTIAL_VALUE,
    SUM,
    SUM_GRADIENT,
)

SOFT_FAULTS = (
    replace(
        MASKED,
        where="a class of logit -inf whose probability or weight is 0",
        witnesses=(Witness(args={"input": [[0.0, "-inf"]], "target": [[1.0, 0.0]]}),),
    ),
    Fault(
        name="0 * -inf: probability gradient of a masked class",
        where="logit -inf or a row of nan, where the weight is 0 or label_smoothing 1",
        region=_infinite_without_slope,
        outputs=("target",),
        seen=NAN,
        witnesses=(
            Witness(args={"input": [[0.0, "-inf"]], "target": [[1.0, 0.0]]}, parameters={"label_smoothing": 1.0}),
        ),
    ),
    replace(SMALL_LOSS, witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),)),
    replace(
        CERTAIN_CLASS, dtypes=ALL_DTYPES, witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),)
    ),
    Fault(
        name="confident: probability gradient log(1 + tail) instead of log1p(tail)",
        where="-log p so small that u is more than 32 roundings of it and of the logits",
        region=_small_log_probability,
        outputs=("target",),
        dtypes=("float64", "float32", "float16"),
        seen=LOST_DIGITS,
        upstream=LOG_SOFTMAX,
        witnesses=(Witness(args={"input": [[0.0, 16.0]], "target": [[0.0, 1.0]]}),),
    ),
    replace(
        PARTIAL_VALUE,
        name="log p leaves the range",
        where="-log p of a class above the largest number, though its share in the loss is not",
        region=_log_p_overflows,
        witnesses=(
            Witness(args={"input": [["-0x1p+127", "0x1p+127"]], "target": [[0.0, 1.0]]}),
            Witness(args={"input": [["-0x1p+1023", "0x1p+1023"]], "target": [[0.0, 1.0]]}, dtype="float64"),
        ),
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
    replace(
        SUM, witnesses=(Witness(args={"input": [[0.0] * 65520], "target": [[1.0] + [0.0] * 65519]}, dtype="float16"),)
    ),
    replace(
        SUM_GRADIENT,
        witnesses=(Witness(args={"input": [[0.0] * 65520], "target": [[1.0] + [0.0] * 65519]}, dtype="float16"),),
    ),
    replace(
        SUM,
        name="the sum of exponentials overflows in float16: probability gradient",
        outputs=("target",),
        witnesses=(Witness(args={"input": [[0.0] * 65520], "target": [[1.0] + [0.0] * 65519]}, dtype="float16"),),
    ),
)

SUBJECTS = (*builtin(CONTRACT, faults=FAULTS), *builtin(SOFT, function="cross_entropy", faults=SOFT_FAULTS))
