"""torch's pairwise_distance."""

import numpy as np

from harness.contracts.pairwise_distance import CONTRACT
from harness.deviations import PARTIAL, Fault, Mask, Points, Seen, Witness
from harness.subjects.builtin import builtin
from harness.ulp import Array, Precision, round_to
from reference.truth import Output


def sum_leaves(norm: Array, d: Array, p: float, precision: Precision) -> Mask:
    """The norm is the root of the sum of abs(d)**p, not divided by the largest of them first; of one d it is abs(d)."""
    total = norm**p
    # Below the range only float64 shows it: the scale of underflow holds what the other dtypes lose there.
    beyond = (total > precision.largest) | ((total < precision.smallest_normal) & (precision.bits == 64))
    return np.asarray(beyond & (norm > 0.0) & (p != 1.0) & np.isfinite(p) & (d.shape[-1] > 1), np.bool_)


def powers_leave(norm: Array, d: Array, p: float, precision: Precision) -> Mask:
    """The slope is made of d, abs(d)**(p - 2) and norm**(1 - p), each a number of the dtype, as is the norm."""
    beyond = np.zeros(d.shape, np.bool_)
    if p == 1.0 or np.isinf(p):
        return beyond
    beyond |= (norm > precision.largest)[:, None]
    if p != 2.0:
        power = norm ** (p - 1.0)
        steep = np.maximum(power, 1.0 / power) * (1.0 + 16.0 * precision.u) > precision.largest
        beyond |= (steep & (norm > 0.0))[:, None]
    if p < 1.0:
        power = np.abs(d) ** (p - 1.0)
        subnormal = (power < precision.smallest_normal) & (power >= precision.smallest_subnormal)
        beyond |= ((power > precision.largest) & (d != 0.0)) | subnormal
    return beyond


def _sum(points: Points) -> Mask:
    return sum_leaves(points.truth.value.exact, points["x1"], float(points["p"]), points.precision)


def _apart(points: Points) -> Mask:
    d = np.asarray(points["x1"], np.float64) - points["x2"] + points["eps"]
    return powers_leave(points.truth.value.exact, d, float(points["p"]), points.precision)


def _coarse(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    near = np.abs(got - truth.exact) <= bound + 3.0 * np.abs(truth.exact) * (got.ndim > 1)
    return np.asarray(PARTIAL.holds(got, truth, points, bound) | near, np.bool_)


def _nan_sign(points: Points) -> Mask:
    """torch.sgn of nan is 0, and the slope of both norms is the sign."""
    p = float(points["p"])
    nan = np.isnan(np.asarray(points["x1"], np.float64) - points["x2"])
    return np.asarray(nan & (p == 1.0 or np.isinf(p)), np.bool_)


def endless(x: Array, y: Array, eps: float, precision: Precision) -> Array:
    """The share of every difference that overflows in the slope of a maximum: they tie, whatever they were."""
    d = round_to(precision, round_to(precision, x - y) + eps)
    beyond = np.isinf(d)
    return np.asarray(np.sign(d) * beyond / np.maximum(beyond.sum(axis=-1), 1)[:, None])


def _maximum(points: Points) -> Array:
    return endless(points["x1"], points["x2"], float(points["eps"]), points.precision)


def _tied(points: Points) -> Mask:
    several = (_maximum(points) != 0.0).sum(axis=-1) > 1
    return np.asarray(several & (float(points["p"]) == np.inf) & np.isfinite(points.truth.value.exact), np.bool_)


def _shared(sign: float) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        want = sign * _maximum(points)
        return np.asarray(np.abs(got - want) <= 2.0 * points.precision.u * np.abs(want), np.bool_)

    return Seen(text="an equal share for every difference that overflows", holds=holds, exact=False)


ZERO_FOR_NAN = Seen(text="0 where the truth is nan", holds=lambda got, truth, points, bound: got == 0.0, exact=False)
COARSE = Seen(
    text="inf, nan, 0 or lost digits; of the gradient also up to 4 times the truth", holds=_coarse, exact=False
)

SUBJECTS = builtin(
    CONTRACT,
    fixed="none",
    faults=(
        Fault(
            name="the sum of powers leaves the range",
            where="norm**p beyond the largest number; in float64 also below the smallest normal one",
            region=_sum,
            outputs=("value", "x1", "x2"),
            dtypes=("float64", "float32", "bfloat16"),
            upstream="https://github.com/pytorch/pytorch/issues/193006",
            seen=COARSE,
            witnesses=(
                Witness(args={"x1": [[3e19, 4e19]], "x2": [[0.0, 0.0]]}),
                Witness(args={"x1": [[3e199, 4e199]], "x2": [[0.0, 0.0]]}, dtype="float64"),
            ),
        ),
        Fault(
            name="the backward takes powers of the norm apart",
            where="the norm, norm**(p - 1) or its reciprocal beyond the largest number; "
            "for p < 1 abs(d)**(p - 1) beyond it or subnormal",
            region=_apart,
            outputs=("x1", "x2"),
            seen=PARTIAL,
            witnesses=(
                Witness(args={"x1": [[0.0]], "x2": [[0.0]]}, parameters={"p": 3.0}, dtype="float16"),
                Witness(args={"x1": [[300.0, 400.0]], "x2": [[0.0, 0.0]]}, parameters={"p": 3.0}, dtype="float16"),
                Witness(args={"x1": [[1e20]], "x2": [[0.0]]}, parameters={"p": -1.0}),
            ),
        ),
        *(
            Fault(
                name=f"differences that overflow tie for the largest: {name}",
                where="p = inf, and more than one difference beyond the largest number",
                region=_tied,
                outputs=(name,),
                dtypes=("float32", "float16", "bfloat16"),
                seen=_shared(sign),
                witnesses=tuple(
                    Witness(
                        args={"x1": [[1.875 * 2.0**e, 0.25 * 2.0**e]], "x2": [[-1.875 * 2.0**e] * 2]},
                        parameters={"p": np.inf},
                        dtype=dtype,
                    )
                    for dtype, e in (("float32", 127), ("bfloat16", 127), ("float16", 15))
                ),
            )
            for name, sign in (("x1", 1.0), ("x2", -1.0))
        ),
        Fault(
            name="the sign of nan is 0",
            where="an entry of the difference that is nan, for p = 1 or an infinite p",
            region=_nan_sign,
            outputs=("x1", "x2"),
            seen=ZERO_FOR_NAN,
            witnesses=(
                Witness(args={"x1": [["nan", 1.0]], "x2": [[0.0, 0.0]]}, parameters={"p": 1.0}),
                Witness(args={"x1": [["nan", 1.0]], "x2": [[0.0, 0.0]]}, parameters={"p": np.inf}),
            ),
        ),
    ),
)
