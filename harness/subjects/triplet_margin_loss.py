"""torch's triplet_margin_loss."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, JOINT_STEPS, astray
from harness.contracts.triplet_margin_loss import CONTRACT
from harness.deviations import ALL_DTYPES, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.pairwise_distance import ZERO_FOR_NAN, endless, powers_leave, sum_leaves
from harness.subjects.rows import ordinal
from harness.ulp import Array
from reference.distance import pairwise_distance
from reference.truth import Output

PAIRS = (("anchor", "positive"), ("anchor", "negative"), ("positive", "negative"))
OUTPUTS = ("value", "anchor", "positive", "negative")


def measured(points: Points) -> Iterator[tuple[Array, Array]]:
    """Every distance that is taken, with its difference."""
    p, eps = float(points.parameters.get("p", 2.0)), float(points.parameters.get("eps", 1e-6))
    for x, y in PAIRS if points["swap"] else PAIRS[:2]:
        norm = pairwise_distance(points[x], points[y], p=p, eps=eps).value.exact
        yield norm, np.asarray(points[x], np.float64) - points[y] + eps


def infinite(near: Array, far: Array, points: Points) -> Mask:
    """An infinite distance from the positive example gives an infinite loss, two infinite distances give nan."""
    largest = points.precision.largest
    lost = (points.truth.value.exact <= largest) | (far > largest)
    return np.asarray((near + points["margin"] > largest) & lost, np.bool_)


def live(points: Points) -> Mask:
    """The loss is above 0, and above what the conditioning takes from it: JOINT_STEPS ordinals, each at least u x."""
    slopes = [np.abs(points[n] * points.truth.gradients[n].exact).sum(axis=-1) for n in OUTPUTS[1:]]
    least = JOINT_STEPS * points.precision.u * np.nan_to_num(np.sum(slopes, axis=0))
    return np.asarray(points.truth.value.exact > least, np.bool_)


def _may_be_still(points: Points) -> Mask:
    """The hinge ties for all that float64 knows: gradients of 0 are admissible."""
    ends = [g.interval or (g.exact, g.exact) for n, g in points.truth.gradients.items() if n in OUTPUTS]
    return np.asarray(np.all([((low <= 0.0) & (high >= 0.0)).all(axis=-1) for low, high in ends], axis=0), np.bool_)


def halted(near: Array, far: Array, points: Points) -> Mask:
    """The backward of clamp_min takes nan for less than 0, which shows where the loss is above it."""
    shows = live(points) & ~_may_be_still(points)
    return np.asarray((np.minimum(near, far) > points.precision.largest) & shows, np.bool_)


def near_and_far(points: Points) -> tuple[Array, Array]:
    norms = [norm for norm, _ in measured(points)]
    return norms[0], np.min(norms[1:], axis=0)


def sum_of_powers(points: Points) -> Mask:
    """Of the distance from the positive example: one from the negative example that is infinite rightly gives 0."""
    near, _ = next(measured(points))
    return sum_leaves(near, points["anchor"], float(points.parameters.get("p", 2.0)), points.precision) & (near > 1.0)


def without_slope(name: str) -> Region:
    """Where the slope of an infinite norm, which is 0, or that of the difference of two, which is 0 too, shows."""

    def region(points: Points) -> Mask:
        p, eps = float(points.parameters.get("p", 2.0)), float(points.parameters.get("eps", 1e-6))
        near, far = near_and_far(points)
        leaves = [sum_leaves(norm, points["anchor"], p, points.precision) & (norm > 1.0) for norm in (near, far)]
        truth, precision = points.truth.gradients[name], points.precision
        slopes = pairwise_distance(points["anchor"], points["positive"], p=p, eps=eps).gradients
        alone = {"anchor": slopes["x1"].exact, "positive": slopes["x2"].exact}.get(name, 0.0 * truth.exact)
        lost = np.where(leaves[1][:, None], truth.exact, alone)
        least = GRADIENT_CONSTANT * (precision.u * truth.reference + _turn(points, name, leaves[1], p, eps))
        least += astray(truth, precision, GRADIENT_CONSTANT)
        low, high = truth.interval or (truth.exact, truth.exact)
        off = np.maximum(low - truth.exact + lost, truth.exact - lost - high)
        shown = (off > least) & (leaves[0] & live(points))[:, None]
        if points.precision.bits == 64:
            under = [
                sum_leaves(norm, points["anchor"], p, points.precision) & (norm < 1.0) for norm, _ in measured(points)
            ]
            shown |= np.any(under, axis=0)[:, None]
        return np.asarray(shown, np.bool_)

    return region


def _turn(points: Points, name: str, both: Mask, p: float, eps: float) -> Array:
    """How far the conditioning surely turns the slopes that are lost, of euclidean distances."""
    if p != 2.0 or points.precision.bits > 32:
        return np.zeros(np.shape(points[name]))
    near, far, *other = (_turned(points, pair, name, eps) for pair in (PAIRS if points["swap"] else PAIRS[:2]))
    closer = (other[0][0] < far[0])[:, None] if other else np.zeros((len(both), 1), np.bool_)
    swapped = other[0][1] if other else far[1]
    lost = {
        "anchor": near[1] + np.where(both[:, None] & ~closer, far[1], 0.0),
        "positive": near[1] + np.where(both[:, None] & closer, swapped, 0.0),
        "negative": np.where(both[:, None], np.where(closer, swapped, far[1]), 0.0),
    }
    return lost[name]


def _turned(points: Points, pair: tuple[str, str], name: str, eps: float) -> tuple[Array, Array]:
    vectors = [np.asarray(points[name], np.float64) for name in pair]
    truth = pairwise_distance(vectors[0], vectors[1], eps=eps)
    slope = truth.gradients["x1"].exact
    # An ordinal of the other vector turns this slope and no other of the same gradient: nothing cancels.
    steps = ordinal(points.precision, vectors[1] if name == pair[0] else vectors[0])
    hessian = np.abs(np.eye(slope.shape[-1]) - slope[:, :, None] * slope[:, None, :])
    return truth.value.exact, (hessian * steps[:, None, :]).sum(axis=-1) / truth.value.exact[:, None]


def _endless(points: Points) -> Array:
    return endless(points["anchor"], points["positive"], float(points["eps"]), points.precision)


def _tied(points: Points) -> Mask:
    """The largest of the differences that overflow is every one of them; the other distance is a number."""
    several = (_endless(points) != 0.0).sum(axis=-1) > 1
    if float(points["p"]) != np.inf or not several.any():
        return np.zeros(len(several), np.bool_)
    return np.asarray(several & (near_and_far(points)[1] <= points.precision.largest), np.bool_)


def _shared(name: str, sign: float) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        slope = pairwise_distance(points["anchor"], points["positive"], p=np.inf, eps=float(points["eps"]))
        alone = slope.gradients[name].exact
        return np.asarray(np.abs(got - (truth.exact - alone + sign * _endless(points))) <= bound, np.bool_)

    return Seen(text="an equal share for every difference that overflows", holds=holds, exact=False)


def powers_apart(points: Points) -> Mask:
    p = float(points.parameters.get("p", 2.0))
    return np.asarray(np.any([powers_leave(n, d, p, points.precision) for n, d in measured(points)], axis=0), np.bool_)


def _missing(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    if got.ndim == 1:
        return PARTIAL.holds(got, truth, points, bound)
    return np.asarray(~np.isfinite(got) | (np.abs(got) <= 2.0 * (1.0 + 32.0 * points.precision.u)), np.bool_)


MISSING = Seen(
    text="value: inf, nan, 0 or lost digits; gradient: inf, nan, or no more than the slopes of two distances",
    holds=_missing,
    exact=False,
)
OVERFLOW = Fault(
    name="a distance overflows",
    where="the distance from the positive example beyond the largest number, the loss not, or the other distance too",
    region=lambda points: infinite(*near_and_far(points), points),
    outputs=("value",),
    seen=PARTIAL,
    witnesses=tuple(
        Witness(
            args={"anchor": [[1.5 * 2.0**e]], "positive": [[-1.5 * 2.0**e]], "negative": [[-1.5 * 2.0**e]]},
            parameters={"p": 1.0},
            dtype=dtype,
        )
        for dtype, e in (("float16", 15), ("float32", 127), ("float64", 1023))
    ),
)
NOT_DOUBLE = ("float32", "float16", "bfloat16")
"""In float64 the oracle calls the hinge a tie where the loss itself is beyond the range."""
HALTED = replace(
    OVERFLOW,
    name="two infinite distances have no gradient",
    where="both distances beyond the largest number, the loss above what the conditioning may make of 0",
    region=lambda points: halted(*near_and_far(points), points),
    outputs=OUTPUTS[1:],
    dtypes=NOT_DOUBLE,
    seen=MISSING,
    witnesses=tuple(
        Witness(
            args={
                "anchor": [[0.0] * 8],
                "positive": [[1.5 * 2.0**e] * 8],
                "negative": [[1.5 * 2.0**e] * 2 + [0.0] * 6],
            },
            parameters={"p": 1.0},
            dtype=dtype,
        )
        for dtype, e in (("float16", 15), ("float32", 127))
    ),
)
POWERS = Fault(
    name="the sum of powers overflows",
    where="the p-th power of the distance from the positive example beyond the largest number",
    region=sum_of_powers,
    outputs=("value",),
    dtypes=("float64", "float32", "bfloat16"),
    upstream="https://github.com/pytorch/pytorch/issues/193006",
    seen=PARTIAL,
    witnesses=(
        Witness(args={"anchor": [[3e19, 4e19]], "positive": [[0.0, 0.0]], "negative": [[0.0, 0.0]]}),
        Witness(args={"anchor": [[3e199, 4e199]], "positive": [[0.0, 0.0]], "negative": [[0.0, 0.0]]}, dtype="float64"),
    ),
)
NAN_LOSS = replace(
    HALTED,
    name="a nan loss has gradient 0",
    where="a loss that is nan, such as the difference of two infinite distances",
    region=lambda points: np.isnan(points.truth.value.exact),
    dtypes=ALL_DTYPES,
    seen=ZERO_FOR_NAN,
    witnesses=(
        Witness(
            args={"anchor": [[1.0, 2.0]], "positive": [[0.0, 0.0]], "negative": [["nan", 1.0]]}, parameters={"p": 1.0}
        ),
    ),
)
SLOPES = tuple(
    replace(
        POWERS,
        name=f"the sum of powers leaves the range: gradient of {name}",
        where="as for the loss, where the slope of a distance shows; in float64 also sums below the smallest normal",
        region=without_slope(name),
        outputs=(name,),
        seen=MISSING,
        witnesses=tuple(
            Witness(
                args={"anchor": [[1.5 * 2.0**e, 2.0**e]], "positive": [[0.0, 0.0]], "negative": [[2.0**e, 0.0]]},
                dtype=dtype,
            )
            for dtype, e in (("float32", 66), ("float64", 600))
        ),
    )
    for name in OUTPUTS[1:]
)
APART = Fault(
    name="the backward takes powers of the norm apart",
    where="a distance beyond the largest number; for p = 3 its square or the reciprocal of that",
    region=powers_apart,
    outputs=OUTPUTS[1:],
    seen=MISSING,
    witnesses=(
        Witness(args={"anchor": [[6e4, 6e4]], "positive": [[0.0, 0.0]], "negative": [[3e4, 3e4]]}, dtype="float16"),
        Witness(args={"anchor": [[0.0]], "positive": [[0.0]], "negative": [[2.0**75]]}, parameters={"p": 3.0}),
        Witness(
            args={"anchor": [[0.0]], "positive": [[0.0]], "negative": [[2.0**700]]},
            parameters={"p": 3.0},
            dtype="float64",
        ),
    ),
)

TIED = tuple(
    Fault(
        name=f"differences that overflow tie for the largest: {name}",
        where="p = inf, and more than one difference from the positive example beyond the largest number",
        region=_tied,
        outputs=(name,),
        dtypes=NOT_DOUBLE,
        seen=_shared(argument, sign),
        witnesses=tuple(
            Witness(
                args={
                    "anchor": [[1.875 * 2.0**e, 0.25 * 2.0**e]],
                    "positive": [[-1.875 * 2.0**e] * 2],
                    "negative": [[0.875 * 2.0**e, 0.25 * 2.0**e]],
                },
                parameters={"p": np.inf},
                dtype=dtype,
            )
            for dtype, e in (("float32", 127), ("bfloat16", 127), ("float16", 15))
        ),
    )
    for name, argument, sign in (("anchor", "x1", 1.0), ("positive", "x2", -1.0))
)

SUBJECTS = builtin(CONTRACT, faults=(OVERFLOW, HALTED, NAN_LOSS, POWERS, *SLOPES, *TIED, APART))
