"""torch's cosine_embedding_loss: x . y / sqrt((x . x + 1e-12) (y . y + 1e-12)) in the place of the cosine."""


import numpy as np

from harness.contracts.cosine_embedding_loss import CONTRACT
from harness.deviations import LOST_DIGITS, NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.ulp import Array, Precision, round_to
from reference.truth import Output

EPSILON = 1e-12
"""Added to each squared norm; float16 rounds it to 0."""
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
    a, b, product = _squares(points)
    return np.asarray(np.fmax(np.fmax(a, b), (a + EPSILON) * (b + EPSILON)) > points.precision.largest, np.bool_)


def _underflows(points: Points) -> Mask:
    a, b, product = _squares(points)
    least = np.minimum(np.minimum(a, b), product)
    return np.asarray((least < points.precision.smallest_normal) & (least > 0.0), np.bool_)


def _zero(points: Points) -> Mask:
    a, b, _ = _squares(points)
    return np.asarray(np.minimum(a, b) == 0.0, np.bool_)


def _quotient(name: str) -> Region:
    """The backward passes through cos / (x . x y . y), which underflows where both vectors are long."""

    def region(points: Points) -> Mask:
        x, y = _vectors(points)
        a, b, product = _squares(points)
        other = (b if name == INPUTS[0] else a)[:, None]
        truth, p = points.truth.gradients[name], points.precision
        cosine = np.abs((x * y).sum(axis=-1)) / np.sqrt(product)
        gone = (0.5 * cosine / product < p.smallest_normal)[:, None]
        lost = p.smallest_subnormal * other * np.abs(np.asarray(points[name]))
        return np.asarray(gone & (lost > 8.0 * p.u * truth.reference) & ~_overflows(points)[:, None], np.bool_)

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
        truth, u = points.truth.outputs()[name], points.precision.u
        moved = np.abs(shortened(points)[name] - truth.exact)
        floor = 2.0 * u if name == "value" else 0.0
        if truth.interval is not None:
            moved = np.where(truth.interval[0] < truth.interval[1], 0.0, moved)
        visible = moved > 8.0 * u * (truth.reference + truth.accumulation) + floor
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


def _rounded_cosine(x: Array, y: Array, p: Precision) -> Array:
    """What torch makes of the cosine of two numbers."""

    def r(values: Array) -> Array:
        return round_to(p, values)

    epsilon = round_to(p, EPSILON)
    squares = [r(r(v * v) + epsilon) for v in (x, y)]
    return r(r(x * y) / r(np.sqrt(r(squares[0] * squares[1]))))


def _cancels(points: Points) -> Mask:
    """1 - cos and cos + 1 lose what the rounding of the cosine to a neighbour of 1 leaves."""
    x, y = _vectors(points)
    small = (points.truth.value.reference < 0.25) & ~_shown("value")(points) & ~_overflows(points)
    if points.precision.name == "float16":
        small &= ~_underflows(points) & ~_zero(points)
    if x.shape[-1] == 1:
        rounded = _rounded_cosine(x[:, 0], y[:, 0], points.precision)
        return np.asarray(small & (np.abs(rounded) != 1.0), np.bool_)
    # The root of a rounded square is the number itself: equal vectors, or one a power of two of the other, are safe.
    size = np.sqrt(_squares(points)[0]), np.sqrt(_squares(points)[1])
    power = np.exp2(np.rint(np.log2(size[1] / size[0])))[:, None]
    multiple = (np.abs(x * power) == np.abs(y)).all(axis=-1) & np.isfinite(power[:, 0])
    return np.asarray(small & ~multiple, np.bool_)


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
            seen=PARTIAL,
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
            seen=PARTIAL,
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
                seen=LOST_DIGITS,
                witnesses=(_witness("float16", [1.0, 0.0], [0.5, 120.0], 1.0),),
            )
            for name in INPUTS
        ),
        Fault(
            name="1 - cos cancels",
            where="vectors nearly parallel (or opposite, at a margin of -1), not one the other times a power of two",
            region=_cancels,
            outputs=("value",),
            seen=LOST_DIGITS,
            witnesses=(_witness("float32", [3.0, 1.0, 0.25], [9.0, 3.0, 0.75], 1.0),),
        ),
    ),
)
