"""torch's poisson_nll_loss, composed of tensor operations in the dtype under test.

exp(x) - t * x, or x - t * log(x + eps); full adds (t * log(t) - t + 0.5 * log(2 * pi * t)).masked_fill(t <= 1, 0).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator
from harness.contracts.poisson_nll_loss import CONTRACT, RATE
from harness.deviations import LOST_DIGITS, NAN, PARTIAL, Fault, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.overflow import part_overflows
from harness.ulp import FLOAT64, Array, round_to, step

Mask = npt.NDArray[np.bool_]


def _terms(at: Points) -> tuple[Array, Array, Array]:
    """The three parts of the loss, each operation rounded to the dtype: rate, count * log(rate), Stirling's term."""
    x, t = at["input"], at["target"]
    to = partial(round_to, at.precision)
    if at["log_input"]:
        rate, pull = to(np.exp(x)), to(t * x)
    else:
        rate, pull = x, to(t * to(np.log(to(x + at["eps"]))))
    above = bool(at["full"]) & (t > 1.0)
    whole = to(to(to(t * to(np.log(t))) - t) + to(0.5 * to(np.log(to(2.0 * np.pi * t)))))
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
    """The sum of the rounded terms is off by 16 roundings of the loss, or is if an exp or log is an ulp off.

    What a rounding of the input moves is not lost. In the halves exp and log are those of float32, rounded once.
    """
    p, truth = at.precision, at.truth.value
    rate, pull, whole = _terms(at)
    off = np.abs(round_to(p, round_to(p, rate - pull) + whole) - truth.exact)
    off += accumulator(p).u * rate + accumulator(p).u * np.abs(pull) + accumulator(p).u * np.abs(whole)
    felt = truth.reference + np.abs(at["input"] * at.truth.gradients["input"].exact)
    return np.asarray((whole != 0.0) & np.isfinite(off) & (off > VALUE_CONSTANT * p.u * felt), np.bool_)


def _log(at: Points, x: Array) -> Array:
    """torch's own logarithm, since a result that is an ulp off decides whether the difference keeps its digits."""
    result: Array = torch.from_numpy(x).to(getattr(torch, at.dtype)).log().double().numpy()
    return result


def _target_cancels(at: Points) -> Mask:
    """The difference of torch's logarithms is off by nearly 32 roundings of itself and 40 steps of its arguments.

    In float64 the truth at the next argument is rounded itself, so that the bound is known to a factor of 2 only.
    """
    p, x, truth = at.precision, at["input"], at.truth.gradients["target"]
    to = partial(round_to, p)
    t = np.maximum(at["target"], 1.0)
    count = to(to(0.5 / t) + _log(at, t))
    off = np.abs(to(count - _log(at, to(x + at["eps"]))) - truth.exact)
    steps = np.abs(step(p, x, -1) / x - 1.0) + np.where(t >= 0.5 / p.u, np.abs(step(p, t, -1) / t - 1.0), 0.0)
    nearly = 0.5 if p is FLOAT64 else 0.8
    allowed = nearly * (GRADIENT_CONSTANT * p.u * truth.reference + 40.0 * steps)
    return np.asarray(bool(at["full"]) & (at["target"] > 1.0) & np.isfinite(off) & (off > allowed), np.bool_)


def _no_eps(output: str) -> Region:
    """Where input + eps rounds to 0 and the output is a number of the dtype all the same."""

    def region(at: Points) -> Mask:
        z = at["input"] + at["eps"]
        finite = np.isfinite(round_to(at.precision, at.truth.outputs()[output].exact))
        masked = bool(at["full"]) & (at["target"] == 0.0) & (output == "target")
        return np.asarray((round_to(at.precision, z) == 0.0) & (z > 0.0) & finite & ~masked, np.bool_)

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
    where="full, target > 1: the roundings of the terms exceed 16 roundings of their sum",
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
    holds=lambda got, truth, at, bound: ~np.isfinite(got),
    exact=False,  # where the truth is within its bound of the largest number, inf is right
)
NO_EPS = tuple(
    Fault(
        name=f"eps rounds to 0: {what}",
        where="input + eps is 0 in the dtype, as at input = 0 with the default eps in float16",
        region=_no_eps(output),
        outputs=(output,),
        dtypes=("float16",),  # in the others the default eps is a normal number
        seen=BEYOND,
        witnesses=(
            Witness(args={"input": [0.0], "target": [count]}, parameters={"log_input": False}, dtype="float16"),
        ),
    )
    for output, what, count in (
        ("value", "the loss", 1.0),
        ("input", "the gradient of the rate", 0.0),
        ("target", "the gradient of the count", 1.0),
    )
)
TARGET_CANCELS = Fault(
    name="full: log(target) cancels log(input + eps) in the gradient of the target",
    where="full, target > 1: the roundings of the two logarithms exceed the bound of their difference",
    region=_target_cancels,
    outputs=("target",),
    dtypes=("float64", "float32", "bfloat16"),
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
