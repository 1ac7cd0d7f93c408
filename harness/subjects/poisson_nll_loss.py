"""torch's poisson_nll_loss, composed of tensor operations in the dtype under test.

exp(x) - t * x, or x - t * log(x + eps); full adds (t * log(t) - t + 0.5 * log(2 * pi * t)).masked_fill(t <= 1, 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from harness.bounds import DEFAULT_ORACLE_ULP, GRADIENT_CONSTANT, JOINT_STEPS, VALUE_CONSTANT, accumulator, bounds
from harness.contracts.poisson_nll_loss import CONTRACT, RATE
from harness.deviations import INFINITE, LOST_DIGITS, NAN, PARTIAL, Fault, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import part_overflows
from harness.ulp import FLOAT64, Array, Precision, round_to, step

Mask = npt.NDArray[np.bool_]


def _torch(at: Points, function: Callable[[torch.Tensor], torch.Tensor], x: Array) -> Array:
    """torch's own exp or log in the dtype, whose last bit decides what a difference of them keeps."""
    result: Array = function(torch.from_numpy(x).to(getattr(torch, at.dtype))).double().numpy()
    return result


def _terms(at: Points) -> tuple[Array, Array, Array]:
    """The three parts of the loss, each operation rounded to the dtype: rate, count * log(rate), Stirling's term."""
    x, t = at["input"], at["target"]
    to = partial(round_to, at.precision)
    if at["log_input"]:
        rate, pull = _torch(at, torch.exp, x), to(t * x)
    else:
        rate, pull = x, to(t * _torch(at, torch.log, to(x + at["eps"])))
    above = bool(at["full"]) & (t > 1.0)
    circle = round_to(accumulator(at.precision), 2.0 * np.pi)
    whole = to(to(to(t * _torch(at, torch.log, t)) - t) + to(0.5 * _torch(at, torch.log, to(circle * t))))
    return rate, pull, np.where(above, whole, 0.0)


def _overflows(at: Points) -> Mask:
    """inf - inf, or an overflow that the truth does not share."""
    p = at.precision
    rate, pull, whole = _terms(at)
    got = round_to(p, round_to(p, rate - pull) + whole)
    truth = at.truth.value
    assert truth.partial is not None
    beyond = truth.partial[1] > p.largest
    return np.asarray(beyond & (np.isnan(got) | np.isinf(got) & (np.abs(truth.exact) <= p.largest)), np.bool_)


def _cancels(at: Points) -> Mask:
    """The sum of the rounded terms is off by more than C roundings of the loss and of the inputs may explain."""
    p, truth = at.precision, at.truth.value
    rate, pull, whole = _terms(at)
    off = np.abs(round_to(p, round_to(p, rate - pull) + whole) - truth.exact)
    # C u (B_ref + sum of abs(x df/dx)), the grade mixed-stable.
    felt = truth.reference + sum(np.abs(at[n] * g.exact) for n, g in at.truth.gradients.items())
    return np.asarray((whole != 0.0) & np.isfinite(off) & (off > VALUE_CONSTANT * p.u * felt), np.bool_)


def _relative_step(precision: Precision, x: Array) -> Array:
    """One rounding of x, over x: how far it moves log(x)."""
    return np.asarray(np.abs(x - step(precision, x, -1)) / np.abs(x), np.float64)


def _target_cancels(at: Points) -> Mask:
    """The difference of torch's logarithms is off by more than it and the rounding of its arguments may be."""
    p, x, truth = at.precision, at["input"], at.truth.gradients["target"]
    to = partial(round_to, p)
    t = np.maximum(at["target"], 1.0)
    count = to(to(0.5 / t) + _torch(at, torch.log, t))
    off = np.abs(to(count - _torch(at, torch.log, to(x + at["eps"]))) - truth.exact)
    # C (u B_ref + s_x + s_t), s = abs(dlog), and J (s_x + s_t) for the joint move. A count below 0.5 / u is exact. The
    # oracle in float64 sees a move as the difference of two slopes, each of them rounded.
    moves = _relative_step(p, x), np.where(t >= 0.5 / p.u, _relative_step(p, t), 0.0)
    unseen = 2.0 * FLOAT64.u * np.abs(truth.exact)
    alone, jointly = (np.maximum(move - unseen, 0.0) for move in moves), JOINT_STEPS * sum(moves) - unseen
    allowed = GRADIENT_CONSTANT * (p.u * truth.reference + sum(alone)) + np.maximum(jointly, 0.0)
    return np.asarray(bool(at["full"]) & (at["target"] > 1.0) & np.isfinite(off) & (off > allowed), np.bool_)


def _in_range(at: Points, output: str) -> Mask:
    """Where the truth and its bound stay below the largest number, so that inf is no rounding of it; input near 0."""
    p, t, truth = at.precision, at["target"], at.truth.outputs()[output]
    constant, moved = GRADIENT_CONSTANT, np.zeros_like(truth.exact)
    if output == "value":
        constant, moved = VALUE_CONSTANT, p.u * np.abs(t * at.truth.gradients["target"].exact)
    if output == "input":  # 1 - t / z one step of the input on, and J of them, which count as 1 / C
        z = at["input"] + at["eps"]
        one, many = (t / z - t / (z + steps * p.smallest_subnormal) for steps in (1, JOINT_STEPS))
        moved = one + many / GRADIENT_CONSTANT
    bound = bounds(truth, p, constant, moved, 1, DEFAULT_ORACLE_ULP).mixed
    return np.asarray(np.abs(truth.exact) + bound <= p.largest, np.bool_)


def _no_eps(output: str) -> Region:
    """Where input + eps rounds to 0 and the output is a number of the dtype all the same."""

    def region(at: Points) -> Mask:
        z = at["input"] + at["eps"]
        masked = bool(at["full"]) & (at["target"] == 0.0) & (output == "target")
        return np.asarray((round_to(at.precision, z) == 0.0) & (z > 0.0) & _in_range(at, output) & ~masked, np.bool_)

    return region


def _count_zero(at: Points) -> Mask:
    return np.asarray(bool(at["full"]) & (at["target"] == 0.0), np.bool_)


ZERO_COUNT = Fault(
    name="the gradient of the target is nan at count 0",
    where="full, target = 0: 0 times log(0) in the backward of Stirling's term, which is masked only afterwards",
    region=_count_zero,
    outputs=("target",),
    seen=NAN,
    witnesses=(Witness(args={"input": [0.0], "target": [0.0]}, parameters={"full": True}),),
)
OVERFLOW = Fault(
    name="parts of the loss overflow where the loss does not, or to inf - inf",
    where="rate, target * log(rate) or target * log(target) is beyond the largest number",
    region=_overflows,
    outputs=("value",),
    seen=PARTIAL,
    witnesses=(
        Witness(args={"input": [2.0], "target": [2.0**127]}, parameters={"full": True}),
        Witness(args={"input": [256.0], "target": [256.0]}, dtype="float16"),
    ),
)
CANCELS = Fault(
    name="full: Stirling's term cancels the others",
    where="full, target > 1: the roundings of the terms exceed 16 roundings of their sum and of the inputs",
    region=_cancels,
    outputs=("value",),
    seen=LOST_DIGITS,
    witnesses=(Witness(args={"input": [6.907755374908447], "target": [1000.0]}, parameters={"full": True}),),
)
RATE_OVERFLOWS = Fault(
    name="the rate overflows before the count is taken from it",
    where="exp(input) is beyond the largest number, exp(input) - target is not",
    region=part_overflows("input", lambda at: (round_to(at.precision, np.exp(at["input"])),)),
    outputs=("input",),
    dtypes=("float64", "float32", "float16"),  # in bfloat16 every such input is ill-conditioned
    seen=PARTIAL,
    witnesses=(Witness(args={"input": [11.125], "target": [32768.0]}, dtype="float16"),),
)
BEYOND = Seen(
    text="inf, or nan for a count of 0, where the truth is finite",
    holds=lambda got, truth, at, bound: np.where(at["target"] == 0.0, np.isnan(got), np.isinf(got)),
    exact=True,
)
NO_EPS = tuple(
    Fault(
        name=f"eps rounds to 0: {what}",
        where="input + eps is 0 in the dtype, as at input = 0 with the default eps in float16",
        region=_no_eps(output),
        outputs=(output,),
        dtypes=("float16",),  # the default eps is less than half its smallest subnormal; in the others a normal number
        seen=seen,
        witnesses=(
            Witness(args={"input": [0.0], "target": [count]}, parameters={"log_input": False}, dtype="float16"),
        ),
    )
    for output, what, count, seen in (
        ("value", "the loss", 1.0, BEYOND),
        ("input", "the gradient of the rate", 0.0, BEYOND),
        ("target", "the gradient of the count", 1.0, INFINITE),
    )
)
TARGET_CANCELS = Fault(
    name="full: log(target) cancels log(input + eps) in the gradient of the target",
    where="full, target > 1: the roundings of the two logarithms exceed the bound of their difference",
    region=_target_cancels,
    outputs=("target",),
    dtypes=("float64", "float32", "bfloat16"),  # float16: no logarithm beyond 12, and C = 32
    seen=LOST_DIGITS,
    witnesses=(
        Witness(
            args={"input": ["0x1.fc00000000000p+196"], "target": ["0x1.fb3d8f14eefd4p+197"]},
            parameters={"log_input": False, "full": True},
            dtype="float64",
        ),
        Witness(
            args={"input": ["0x1.614378p+120"], "target": ["0x1.8p+120"]},
            parameters={"log_input": False, "full": True, "eps": 0.001},
        ),
    ),
)


NO_RATE = Fault(
    name="0 times inf at a rate of 0 and a count of 0",
    where="input = -inf, target = 0: the loss is 0, target * input is nan",
    region=lambda at: np.isneginf(at["input"]) & (at["target"] == 0.0),
    outputs=("value",),
    seen=NAN,
    witnesses=(Witness(args={"input": [float("-inf")], "target": [0.0]}),),
)


def _at_rate(fault: Fault, *witnesses: Witness) -> Fault:
    return replace(fault, witnesses=witnesses)


RATE_FAULTS = (
    ZERO_COUNT,
    _at_rate(OVERFLOW, Witness(args={"input": [4.0], "target": ["0x1.ff933cp+127"]}, parameters={"full": True})),
    _at_rate(CANCELS, Witness(args={"input": [1000.0], "target": [1000.0]}, parameters={"full": True})),
    *NO_EPS,
    TARGET_CANCELS,
)

SUBJECTS = (
    *builtin(CONTRACT, faults=(ZERO_COUNT, NO_RATE, OVERFLOW, RATE_OVERFLOWS, CANCELS)),
    *builtin(RATE, function="poisson_nll_loss", faults=RATE_FAULTS),
)
