"""torch's cosine_embedding_loss: x . y / sqrt((x . x + 1e-12) (y . y + 1e-12)) in the place of the cosine."""

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, depth
from harness.contracts.cosine_embedding_loss import CONTRACT
from harness.contracts.cosine_embedding_loss import cosine as cosine_of
from harness.deviations import LOST_DIGITS, NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.rows import ordinal
from harness.ulp import Array, Precision, round_to
from reference.truth import Output

EPSILON = float(np.float32(1e-12))
"""Added to each squared norm, in single precision even to float64; float16 rounds it to 0."""
INPUTS = ("input1", "input2")
OUTPUTS = ("value", *INPUTS)
BOTH = ("float64", "float32", "bfloat16")


def _vectors(points: Points) -> tuple[Array, Array]:
    x, y = (np.asarray(points[name], np.float64) for name in INPUTS)
    return x, y


def _squares(points: Points) -> tuple[Array, Array, Array]:
    """Squared norms and their product."""
    a, b = ((x * x).sum(axis=-1) for x in _vectors(points))
    return a, b, a * b


def _overflows(points: Points) -> Mask:
    a, b, _ = _squares(points)
    return np.asarray(np.fmax(np.fmax(a, b), (a + EPSILON) * (b + EPSILON)) > points.precision.largest, np.bool_)


def _underflows(points: Points) -> Mask:
    a, b, product = _squares(points)
    least = np.minimum(np.minimum(a, b), product)
    return np.asarray((least < points.precision.smallest_normal) & (least > 0.0), np.bool_)


def _zero(points: Points) -> Mask:
    a, b, _ = _squares(points)
    return np.asarray(np.minimum(a, b) == 0.0, np.bool_)


def _mixed(points: Points, name: str) -> Array:
    """Nine tenths of the mixed-stable bound away from kinks, the Hessian in closed form.

    In float64, where the bound takes it from steps as small as the rounding of the oracle, two thirds.
    """
    share = 2.0 / 3.0 if points.dtype == "float64" else 0.9
    truth, u = points.truth.outputs()[name], points.precision.u
    u_sum = accumulator(points.precision).u * depth(np.shape(points[INPUTS[0]])[-1])
    sums = u * truth.reference + u_sum * truth.accumulation
    if name == "value":
        slopes = [np.abs(points[n] * points.truth.gradients[n].exact).sum(axis=-1) for n in INPUTS]
        return np.asarray(share * VALUE_CONSTANT * (sums + u * np.nan_to_num(np.sum(slopes, axis=0))))
    x, y = _vectors(points) if name == INPUTS[0] else _vectors(points)[::-1]
    steps = [np.divide(ordinal(points.precision, v), v, out=np.zeros_like(v), where=v != 0.0) for v in (x, y)]
    norm = np.hypot.reduce(x, axis=-1)[:, None]
    x, y = x / norm, y / np.hypot.reduce(y, axis=-1)[:, None]
    c = (x * y).sum(axis=-1)[:, None, None]
    xi, xj, yi, yj, same = x[:, :, None], x[:, None, :], y[:, :, None], y[:, None, :], np.eye(x.shape[-1])
    own = -(xj**2) * yi - xi * xj * yj + 3.0 * c * xi * xj**2 - c * same * xi
    other = yi * (same - yj**2) - xi * (xj * yj - c * yj**2)
    hessians = [np.abs(h * by[:, None, :]).sum(axis=-1) for h, by in zip((own, other), steps, strict=True)]
    moved = (hessians[0] + hessians[1]) / norm
    live = truth.exact != 0.0
    return np.asarray(share * GRADIENT_CONSTANT * (sums + np.nan_to_num(np.where(live, moved, 0.0))))


def _no_cosine(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    shown = PARTIAL.holds(got, truth, points, bound)
    if got.ndim == 1:
        shown |= got == np.where(points["target"] == 1.0, 1.0, max(0.0, -points["margin"]))
    return shown


NO_COSINE = Seen(text="inf, nan, 0, lost digits or the loss of a cosine of 0", holds=_no_cosine, exact=False)


def _coarse(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    shown = PARTIAL.holds(got, truth, points, bound)
    if got.ndim == 1:
        a, b, product = _squares(points)
        terms = np.shape(points[INPUTS[0]])[-1]
        relative = points.precision.smallest_subnormal * (terms / a + terms / b + 1.0 / product)
        lost = np.where(relative < 0.5, 2.0 * relative, np.inf)
        shown |= np.abs(got - truth.exact) <= bound + lost
    return shown


COARSE = Seen(
    text="inf, nan, 0, lost digits, or a cosine as coarse as the subnormal numbers that it is made of",
    holds=_coarse,
    exact=False,
)


def _rounding(values: Array, p: Precision) -> Array:
    """What a subnormal number loses, and what the roundings before it may add."""
    return np.minimum(np.abs(round_to(p, values) - values) + 8.0 * p.u * values, 0.5 * p.smallest_subnormal)


def _quotient(name: str) -> Region:
    """The backward passes through cos / (x . x y . y), then times y . y, which underflow where vectors are long."""

    def region(points: Points) -> Mask:
        x, y = _vectors(points)
        a, b, product = _squares(points)
        other = (b if name == INPUTS[0] else a)[:, None]
        p = points.precision
        cosine = np.abs((x * y).sum(axis=-1)) / np.sqrt(product)
        quotient = 0.5 * cosine / product
        first, second = _rounding(quotient, p)[:, None], _rounding(quotient[:, None] * other, p)
        lost = 2.0 * (first * other + second) * np.abs(np.asarray(points[name]))
        gone = (quotient * np.minimum(other[:, 0], 1.0) < p.smallest_normal)[:, None] & (lost > _mixed(points, name))
        return np.asarray(gone & ~_overflows(points)[:, None], np.bool_)

    return region


def shortened(points: Points) -> dict[str, Array]:
    """Value and gradients of the formula with EPSILON."""
    x, y = _vectors(points)
    a, b = (x * x).sum(axis=-1) + EPSILON, (y * y).sum(axis=-1) + EPSILON
    root = np.sqrt(a) * np.sqrt(b)
    cosine = (x * y).sum(axis=-1) / root
    positive = np.asarray(points["target"]) == 1.0
    gap = cosine - points["margin"]
    sign = np.where(positive, -1.0, gap >= 0.0)[:, None]
    return {
        "value": np.where(positive, 1.0 - cosine, np.maximum(gap, 0.0)),
        "input1": sign * (y / root[:, None] - cosine[:, None] * x / a[:, None]),
        "input2": sign * (x / root[:, None] - cosine[:, None] * y / b[:, None]),
        "gap": np.where(positive, np.inf, gap),
    }


def _shown(name: str) -> Region:
    """Where EPSILON moves an output by more than rounding does."""

    def region(points: Points) -> Mask:
        truth = points.truth.outputs()[name]
        formula = shortened(points)[name]
        moved = np.abs(formula - truth.exact)
        # Less than a quarter of the distance from 1 to the number below it is lost in the rounding of the cosine.
        floor = 0.25 * points.precision.u * np.abs(cosine_of(points)) if name == "value" else 0.0
        if truth.interval is not None:
            low, high = truth.interval
            moved = np.where(low < high, np.maximum(np.maximum(low - formula, formula - high), 0.0), moved)
        visible = moved > _mixed(points, name) + floor
        visible |= np.isinf(truth.exact) & np.isfinite(formula)
        return np.asarray(visible & _finite(points, truth), np.bool_)

    return region


def _finite(points: Points, output: Output) -> Mask:
    mask = ~_overflows(points)
    return mask.reshape(mask.shape + (1,) * (output.exact.ndim - 1))


def _moved(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        formula = shortened(points)
        allowed = bound + 32.0 * points.precision.u * np.abs(formula[name])
        near = np.abs(got - formula[name]) <= allowed
        # At the kink of the formula with EPSILON either branch may be taken.
        kink = np.abs(formula["gap"]) <= 64.0 * points.precision.u
        return np.asarray(near | ((got == 0.0) & kink.reshape(kink.shape + (1,) * (got.ndim - 1))), np.bool_)

    return Seen(text="the formula with 1e-12 added to both squared norms", holds=holds, exact=False)


def _rounded_cosines(points: Points) -> list[Array]:
    """What a 16-bit dtype makes of the cosine, whether or not the order of the sums moves their rounding."""
    p = points.precision
    x, y = _vectors(points)

    def r(values: Array) -> Array:
        return round_to(p, values)

    def sums(nudge: float) -> list[Array]:
        return [r(r(a * b).sum(axis=-1) * (1.0 + nudge)) for a, b in ((x, y), (x, x), (y, y))]

    nudges = (0.0, 2.0**-21, -(2.0**-21)) if x.shape[-1] > 1 else (0.0,)
    dots, first, second = zip(*(sums(n) for n in nudges), strict=True)
    epsilon = float(round_to(p, EPSILON))
    return [r(d / r(np.sqrt(r(r(a + epsilon) * r(b + epsilon))))) for d in dots for a in first for b in second]


def _cancels(points: Points) -> Mask:
    """1 - cos keeps of the distance from parallel only what the rounded cosine does."""
    near = (np.asarray(points["target"]) == 1.0) & (cosine_of(points) > 0.9)
    near &= (_mixed(points, "value") < 4.0 * points.precision.u) & ~_shown("value")(points) & ~_overflows(points)
    if points.precision.bits == 16:
        near &= ~_underflows(points) if points.precision.name == "float16" else True
        exact, limit = points.truth.value.exact, _mixed(points, "value")
        near &= np.any([np.abs(1.0 - c - exact) > limit for c in _rounded_cosines(points)], axis=0)
    return np.asarray(near, np.bool_)


def _witness(dtype: str, x: list[float], y: list[float], target: float, **parameters: float) -> Witness:
    return Witness(args={"input1": [x], "input2": [y], "target": [target]}, parameters=parameters, dtype=dtype)


SUBJECTS = builtin(
    CONTRACT,
    faults=(
        Fault(
            name="squared norms or their product overflow",
            where="x . x, y . y or their product beyond the largest number",
            region=_overflows,
            outputs=OUTPUTS,
            seen=NO_COSINE,
            witnesses=(
                _witness("float16", [16.0], [16.0], 1.0),
                _witness("float32", [1e10, 0.0], [1e10, 0.0], 1.0),
                _witness("float64", [1e80, 0.0], [1e80, 0.0], 1.0),
            ),
        ),
        Fault(
            name="squared norms or their product underflow",
            where="x . x, y . y or their product below the smallest normal number of float16, and not 0",
            region=_underflows,
            outputs=OUTPUTS,
            dtypes=("float16",),
            seen=COARSE,
            witnesses=(_witness("float16", [2.0**-7], [2.0**-7], -1.0), _witness("float16", [2.0**-13], [1.0], 1.0)),
        ),
        Fault(
            name="a zero vector divides by 0",
            where="a zero vector in float16, where 1e-12 is 0",
            region=_zero,
            outputs=OUTPUTS,
            dtypes=("float16",),
            seen=NAN,
            witnesses=(_witness("float16", [0.0, 0.0], [1.0, 2.0], 1.0),),
        ),
        *(
            Fault(
                name=f"1e-12 is added to the squared norms: {name}",
                where="short vectors, by what 1e-12 over a squared norm is of the cosine; in float64 nearly all",
                region=_shown(name),
                outputs=(name,),
                dtypes=BOTH,
                seen=_moved(name),
                witnesses=(
                    _witness("float32", [2.0**-20, 2.0**-21], [1.0, 1.0], 1.0),
                    _witness("float64", [1.0, 0.0], [1.0, 1.0], 1.0),
                ),
            )
            for name in OUTPUTS
        ),
        *(
            Fault(
                name=f"the backward divides by the product of the squared norms: {name}",
                where="cos / (x . x y . y) below the smallest normal number, by what that takes from the gradient",
                region=_quotient(name),
                outputs=(name,),
                dtypes=("float16",),
                seen=LOST_DIGITS,
                witnesses=(_witness("float16", [1.0, 0.0], [0.5, 120.0], 1.0),),
            )
            for name in INPUTS
        ),
        Fault(
            name="1 - cos cancels",
            where="vectors nearly parallel; in 16 bits, where the cosine rounds",
            region=_cancels,
            outputs=("value",),
            seen=LOST_DIGITS,
            witnesses=(_witness("float32", [3.0, 1.0], [3.0, 1.0 + 2.0**-10], 1.0),),
        ),
    ),
)
