"""torch's cosine_embedding_loss: x . y / sqrt((x . x + 1e-12) (y . y + 1e-12)) in the place of the cosine."""

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator, astray, depth
from harness.contracts.cosine_embedding_loss import CONTRACT
from harness.deviations import ALL_DTYPES, NAN, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.subjects.cosine_steps import EPSILON, INPUTS, OUTPUTS, losses_of, slope_of, squared_norms, vectors
from harness.subjects.rows import among
from harness.ulp import Array, round_to
from reference.truth import Output

BOTH = ("float64", "float32", "bfloat16")


def _bound(points: Points, name: str) -> Array:
    """The bound of the grade ``reference``; of the value ``mixed-stable``, whose conditioning is a formula."""
    truth, p = points.truth.outputs()[name], points.precision
    u_sum = accumulator(p).u * depth(np.shape(points[INPUTS[0]])[-1])
    sums = p.u * truth.reference + u_sum * truth.accumulation + p.smallest_subnormal * truth.underflow
    if name != "value":
        return np.asarray(GRADIENT_CONSTANT * sums + astray(truth, p, GRADIENT_CONSTANT))
    moved = [np.nan_to_num(np.abs(points[n] * points.truth.gradients[n].exact)).sum(axis=-1) for n in INPUTS]
    return np.asarray(VALUE_CONSTANT * (sums + p.u * np.sum(moved, axis=0)))


def _departs(name: str) -> Region:
    """Where the algorithm of torch itself, rounded as torch rounds it, is beyond the bound."""

    def value(points: Points) -> Mask:
        off = np.abs(losses_of(points) - points.truth.value.exact)
        return np.asarray((~(off <= _bound(points, name))).any(axis=0), np.bool_)

    def gradient(points: Points) -> Mask:
        truth, slope = points.truth.gradients[name], slope_of(points, name)
        low, high = truth.interval or (truth.exact, truth.exact)
        # What the order of two sums and the root move is C u / 2 at most, 4 u where 16 bits round it away.
        share = 0.5 if points.precision.bits > 16 else 1.0 - 4.0 / GRADIENT_CONSTANT
        limit = np.where(np.isfinite(truth.exact), share * _bound(points, name), 0.0)
        off = ~((slope.exact >= low - limit) & (slope.exact <= high + limit)) & slope.live
        stopped = ((low > limit) | (high < -limit)) & slope.still
        return np.asarray(off | stopped | slope.lost, np.bool_)

    return value if name == "value" else gradient


def _written(name: str) -> Seen:
    """What the algorithm gives, and nothing else."""

    def value(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        losses = losses_of(points)
        low, high = np.fmin.reduce(losses), np.fmax.reduce(losses)
        # The sums round to more numbers than the orders tried, by a step of the cosine at most.
        rounding = 2.0 * points.precision.u if points.precision.bits > 16 else 0.0
        within = (got >= low - rounding) & (got <= high + rounding)
        return np.asarray(within | (np.isnan(got) & np.isnan(losses).any(axis=0)), np.bool_)

    def gradient(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        slope = slope_of(points, name)
        near = (np.abs(got - slope.exact) <= slope.allowed) | (got == slope.exact)
        return np.asarray((near & slope.live) | ((got == 0.0) & slope.still) | (np.isnan(got) & slope.lost), np.bool_)

    text = "the formula with 1e-12 added to both squared norms, every step of it rounded"
    return Seen(text=text, holds=value if name == "value" else gradient, exact=False)


def _overflows(points: Points) -> Mask:
    a, b = squared_norms(points)
    largest = np.fmax(np.fmax(a, b), (a + EPSILON) * (b + EPSILON))
    # Every square carries the roundings of its sum, and the product its own.
    return np.asarray(largest * (1.0 + 8.0 * points.precision.u) > points.precision.largest, np.bool_)


def _underflows(points: Points) -> Mask:
    a, b = squared_norms(points)
    least = np.minimum(np.minimum(a, b), a * b)
    return np.asarray((least < points.precision.smallest_normal) & (least > 0.0), np.bool_)


def _zero(points: Points) -> Mask:
    gone = float(round_to(points.precision, EPSILON)) == 0.0
    return np.asarray((np.minimum(*squared_norms(points)) == 0.0) & gone, np.bool_)


def _lengthened(points: Points) -> Mask:
    """Where 1e-12 alone takes the value beyond the bound."""
    x, y = vectors(points)
    a, b = (n + EPSILON for n in squared_norms(points))
    cosine = (x * y).sum(axis=-1) / (np.sqrt(a) * np.sqrt(b))
    formula = np.where(points["target"] == 1.0, 1.0 - cosine, np.maximum(cosine - points["margin"], 0.0))
    # What is less than half a rounding of the cosine is rounded away.
    least = _bound(points, "value") + 0.5 * points.precision.u * np.abs(cosine)
    return np.asarray(np.abs(formula - points.truth.value.exact) > least, np.bool_)


def _short(points: Points) -> Mask:
    """What another entry says of the value: in float16, where 1e-12 is 0, subnormal squares, else 1e-12."""
    return _underflows(points) if points.dtype == "float16" else _lengthened(points)


def _only(name: str, cause: Region, *others: Region) -> Region:
    """Where the algorithm departs, by one cause and not by those that take precedence over it."""

    def region(points: Points) -> Mask:
        rows: Mask = cause(points)
        for other in others:
            rows = rows & ~other(points)
        return rows

    return among(region, _departs(name))

    return region


def _witness(dtype: str, x: list[float], y: list[float], target: float, **parameters: float) -> Witness:
    return Witness(args={"input1": [x], "input2": [y], "target": [target]}, parameters=parameters, dtype=dtype)


def _everywhere(points: Points) -> Mask:
    return np.ones(len(points["target"]), np.bool_)


def _fault(name: str, where: str, output: str, region: Region, dtypes: tuple[str, ...], *witnesses: Witness) -> Fault:
    return Fault(
        name=f"{name}: {output}",
        where=where,
        region=region,
        outputs=(output,),
        dtypes=dtypes,
        seen=_written(output),
        witnesses=witnesses,
    )


SUBJECTS = builtin(
    CONTRACT,
    faults=(
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
            _fault(
                "squared norms or their product overflow",
                "x . x, y . y or their product beyond the largest number",
                output,
                _only(output, _overflows, _zero),
                ALL_DTYPES,
                _witness("float16", [16.0, 16.0], [16.0, 0.0], 1.0),
                _witness("float32", [1e10, 1e10], [1e10, 0.0], 1.0),
                _witness("float64", [1e80, 1e80], [1e80, 0.0], 1.0),
            )
            for output in OUTPUTS
        ),
        *(
            _fault(
                "squared norms or their product underflow",
                "x . x, y . y or their product below the smallest normal number of float16, and not 0",
                output,
                _only(output, _underflows, _zero, _overflows),
                ("float16",),
                _witness("float16", [2.0**-7], [2.0**-7], -1.0),
                _witness("float16", [2.0**-13], [1.0], 1.0),
            )
            for output in OUTPUTS
        ),
        *(
            _fault(
                "1e-12 is added to the squared norms",
                "short vectors, by what 1e-12 over a squared norm is of the cosine; in float64 nearly all",
                output,
                _only(output, _lengthened if output == "value" else _everywhere, _overflows),
                BOTH,
                _witness("float32", [2.0**-20, 2.0**-21], [1.0, 1.0], 1.0),
                _witness("float64", [1.0, 0.0], [1.0, 1.0], 1.0),
            )
            for output in OUTPUTS
        ),
        *(
            _fault(
                "the backward divides by the product of the squared norms",
                "cos / (x . x y . y) below the smallest normal number, by what that takes from the gradient",
                output,
                _only(output, _everywhere, _zero, _overflows, _underflows),
                ("float16",),
                _witness("float16", [1.0, 0.0], [0.5, 120.0], 1.0),
            )
            for output in INPUTS
        ),
        _fault(
            "1 - cos cancels",
            "1 - cos, or cos - margin, so near 0 that the roundings of the cosine are beyond the bound",
            "value",
            _only("value", _everywhere, _zero, _overflows, _short),
            ALL_DTYPES,
            _witness("float32", [0.4065428674221039], [0.2276127189397812], 1.0),
            _witness("float32", [1.9830039739608765], [-1.7187252044677734], -1.0, margin=-1.0),
        ),
    ),
)
