"""torch's binary_cross_entropy_with_logits.

With p = pos_weight the value is weight * ((1 - y) x - (1 + (p - 1) y) logsigmoid(x)), a difference of two numbers near
x where x < 0. The gradient is sigmoid(x) - y and, with pos_weight, (p y + 1 - y) sigmoid(x) - p y. Each step is rounded
to the dtype under test. The regions below compare what these roundings can cost with what a sound loss may cost.
"""

from dataclasses import replace

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, bounds
from harness.contracts.binary_cross_entropy_with_logits import CONTRACT
from harness.deviations import LOST_DIGITS, PARTIAL, Fault, Mask, Points, Region, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import overflows_alone
from harness.ulp import Array, round_to, step
from reference.binary import binary_cross_entropy_with_logits
from reference.numerics import sigmoid, softplus

BOTH_LABELS = "https://github.com/pytorch/pytorch/issues/195529"
GRADIENT_ONLY = "https://github.com/pytorch/pytorch/issues/195677"


def _among(candidates: Region, test: Region) -> Region:
    """``test`` where the cheap ``candidates`` hold."""

    def region(at: Points) -> Mask:
        mask = np.array(candidates(at), np.bool_)
        index = np.flatnonzero(mask)
        if index.size:
            args = {name: array[index] for name, array in at.args.items()}
            mask[index] = test(replace(at, args=args, truth=at.truth.rows(index)))
        return mask

    return region


def _sound_value(at: Points) -> Array:
    """The error that leaves the value mixed-stable."""
    x, y = at["input"], at["target"]
    slope, label_slope = at.truth.gradients["input"].exact, at.truth.gradients["target"].exact
    soft = (y > 0.0) & (y < 1.0)
    conditioning = at.precision.u * (np.abs(x * slope) + np.where(soft, np.abs(y * label_slope), 0.0))
    return bounds(at.truth.value, at.precision, VALUE_CONSTANT, conditioning, terms=1, oracle_ulp=0.0).mixed


def _sound_gradient(at: Points) -> Array:
    """The error that leaves the gradient mixed-stable; its conditioning is a step of the logit and of a soft label."""
    x, y, p = at["input"], at["target"], at.precision
    wanted = at.truth.gradients["input"]

    def moved(**args: Array) -> Array:
        other = binary_cross_entropy_with_logits(**{**at.args, **args}).gradients["input"].exact
        return np.asarray(np.abs(other - wanted.exact))

    soft = (y > 0.0) & (y < 1.0)
    by_logit = np.maximum(moved(input=step(p, x, 1)), moved(input=step(p, x, -1)))
    up, down = np.where(soft, step(p, y, 1), y), np.where(soft, step(p, y, -1), y)
    by_label = np.maximum(moved(target=up), moved(target=down))
    return bounds(wanted, p, GRADIENT_CONSTANT, by_logit + by_label, terms=1, oracle_ulp=0.0).mixed


def _negative(at: Points) -> Mask:
    return np.asarray((at["input"] < 0.0) & (at["target"] < 1.0))


def _cancels(at: Points) -> Mask:
    """A rounding of both terms and of the factor 1 + (p - 1) y is more than the difference can bear."""
    x, y, p = at["input"], at["target"], at["pos_weight"]
    down = softplus(-x)
    terms = np.abs((1.0 - y) * x) + np.abs(1.0 + (p - 1.0) * y) * down
    factor = (1.0 + np.abs(p - 1.0) * y) * down if "pos_weight" in at.args else 0.0
    return np.asarray(at.precision.u * at["weight"] * (terms + factor) > _sound_value(at))


def _weighted_positive(at: Points) -> Mask:
    return np.asarray((at["target"] == 1.0) & ("pos_weight" in at.args))


def _absorbed(at: Points) -> Mask:
    """Digits of a small p are gone after 1 + (p - 1)."""
    p = at["pos_weight"]
    factor = round_to(at.precision, round_to(at.precision, p - 1.0) + 1.0)
    cost = at["weight"] * np.abs(factor - p) * softplus(-at["input"])
    # Up to 5/16 of the bound is left to the other roundings.
    return np.asarray(cost > 11.0 / 16.0 * _sound_value(at))


def _sigmoid_cost(at: Points) -> Array:
    """Error of the rounded sigmoid; all of 1 - sigmoid(x) where that is too little to leave 1."""
    x, p = at["input"], at.precision
    if p.bits == 16:  # one rounding of a float32
        return np.abs(round_to(p, sigmoid(x)) - sigmoid(x))
    rest = sigmoid(-x)
    return np.where(rest < p.u / 4.0, rest, 1.1 * p.u * np.where(x > 0.0, 1.0, sigmoid(x)))


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded to float64, and what the rounding lost."""
    total = a + b
    kept = total - a
    return total, (a - (total - kept)) + (b - kept)


def _positive(at: Points) -> Mask:
    x, y = at["input"], at["target"]
    return np.asarray((y > 0.0) if "pos_weight" in at.args else (y == 1.0) & (x > 0.0))


def _gradient_costs(at: Points) -> tuple[Array, Array]:
    """Errors of (t + 1 - y) sigmoid(x) - t, t = p y: that of adding 1 - y to t, and those of the steps after it."""
    x, y, p, w = at["input"], at["target"], at.precision, at["weight"]
    if "pos_weight" not in at.args:
        return np.zeros(np.shape(x)), w * _sigmoid_cost(at)
    t = round_to(p, at["pos_weight"] * y)
    factor = round_to(p, round_to(p, t + 1.0) - y)
    whole, lost = _two_sum(t, np.ones_like(t))
    whole, lost_too = _two_sum(whole, -y)
    absorbed = np.abs((factor - whole) - lost - lost_too) * sigmoid(x)
    product = factor * sigmoid(x)
    rounded = np.where(sigmoid(-x) < p.u / 4.0, 0.0, product) + np.abs(product - t)
    return w * absorbed, w * (factor * _sigmoid_cost(at) + p.u * rounded)


def _saturates(at: Points) -> Mask:
    """The rounding of the sigmoid and of the difference, rather than of p y + 1 - y, is too much."""
    (absorbed, rest), sound = _gradient_costs(at), _sound_gradient(at)
    return np.asarray((absorbed + rest > sound) & (absorbed <= 0.5 * sound))


def _unbalanced(at: Points) -> Mask:
    """The rounding of p y + 1 - y is too much, or half of what is too much."""
    (absorbed, rest), sound = _gradient_costs(at), _sound_gradient(at)
    return np.asarray((absorbed + rest > sound) & (absorbed > 0.5 * sound))


def _no_exponential(at: Points) -> Mask:
    return np.isinf(round_to(at.precision, np.exp(-at["input"])))


def _sigmoid_underflows(at: Points) -> Mask:
    """sigmoid(x) is more than the gradient can miss."""
    x, y, p = at["input"], at["target"], at["pos_weight"]
    return np.asarray(at["weight"] * (p * y + 1.0 - y) * sigmoid(x) > _sound_gradient(at))


FAULTS = (
    Fault(
        name="confident negatives lose their loss",
        where="input < 0 and target < 1, where (1 - y) x and the log-sigmoid term all but cancel",
        region=_among(_negative, _cancels),
        outputs=("value",),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(args={"input": [-16.0], "target": [0.0]}),
            Witness(args={"input": [-8.0], "target": [0.0]}),
            Witness(args={"input": [-64.0], "target": [0.0]}, dtype="float64"),
        ),
        upstream=BOTH_LABELS,
    ),
    Fault(
        name="a small pos_weight loses digits in the loss",
        where="target = 1, where (pos_weight - 1) + 1 is rounded to few digits of pos_weight",
        region=_among(_weighted_positive, _absorbed),
        outputs=("value",),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(args={"input": [0.0], "target": [1.0], "pos_weight": ["0x1.3a92a30553261p-12"]}, dtype="float64"),
        ),
    ),
    Fault(
        name="confident positives lose their gradient",
        where="sigmoid(x) - y, with pos_weight (p y + 1 - y) sigmoid(x) - p y, is a small difference",
        region=_among(_positive, _saturates),
        outputs=("input",),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(args={"input": [20.0], "target": [1.0]}),
            Witness(args={"input": [8.0], "target": [1.0]}),
            Witness(args={"input": [20.0], "target": [1.0], "pos_weight": [3.0]}),
            Witness(args={"input": [40.0], "target": [1.0]}, dtype="float64"),
            Witness(args={"input": [6.1875], "target": [1.0], "weight": [0.5], "pos_weight": [3.0]}, dtype="bfloat16"),
        ),
        upstream=GRADIENT_ONLY,
    ),
    Fault(
        name="an unbalanced pos_weight loses digits of the gradient",
        where="with pos_weight: adding 1 - y to pos_weight * y leaves few digits of the smaller of them",
        region=_among(_positive, _unbalanced),
        outputs=("input",),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(args={"input": [8.0], "target": [0.5], "pos_weight": [256.0]}, dtype="bfloat16"),
            Witness(args={"input": [0.0], "target": [1.0], "pos_weight": ["0x1.3a92a30553261p-12"]}, dtype="float64"),
        ),
    ),
    Fault(
        name="the sigmoid underflows early",
        where="exp(-x) overflows: sigmoid(x), and with it the gradient, is 0 where it is a subnormal number",
        region=_among(_no_exponential, _sigmoid_underflows),
        outputs=("input",),
        dtypes=("float64", "float32"),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(args={"input": [-90.0], "target": [0.0]}),
            Witness(args={"input": [-710.0], "target": [0.0]}, dtype="float64"),
        ),
    ),
    Fault(
        name="a term of the loss overflows before the weights bring it back",
        where="(1 + (pos_weight - 1) y) logsigmoid(x), or the loss without its weight, overflows; the loss does not",
        region=overflows_alone("value"),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [-(2.0**127)], "target": [0.5], "pos_weight": [3.0]}),
            Witness(args={"input": [-(2.0**1023)], "target": [0.5], "pos_weight": [3.0]}, dtype="float64"),
            Witness(args={"input": [-(2.0**127)], "target": [1.0], "weight": [0.0], "pos_weight": [2.0]}),
        ),
    ),
    Fault(
        name="the target gradient overflows before the weight brings it back",
        where="with weight: pos_weight * logsigmoid(x) overflows, and the target gradient does not",
        region=overflows_alone("target"),
        outputs=("target",),
        seen=PARTIAL,
        witnesses=(
            Witness(args={"input": [-(2.0**127)], "target": [0.0], "weight": [0.0], "pos_weight": [2.0]}),
            Witness(args={"input": [-(2.0**127)], "target": [0.0], "weight": [0.5], "pos_weight": [2.0]}),
            Witness(
                args={"input": [-(2.0**1023)], "target": [0.0], "weight": [0.0], "pos_weight": [2.0]}, dtype="float64"
            ),
        ),
    ),
)

SUBJECTS = builtin(CONTRACT, faults=FAULTS)
