"""torch's cosine_similarity."""

from collections.abc import Callable
from functools import partial

import numpy as np

from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, accumulator
from harness.contracts.cosine_similarity import CONTRACT
from harness.deviations import NAN, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import builtin
from harness.ulp import Array, round_to
from reference.truth import Output

OTHER = {"x1": "x2", "x2": "x1"}
ENDLESS = Seen(text="inf or nan", holds=lambda got, truth, points, bound: ~np.isfinite(got), exact=False)


def _unit(points: Points, name: str) -> tuple[Array, Array, Array]:
    """The vectors divided by max(norm, eps), their norms and the divisors, of shape (R, 1)."""
    x = np.asarray(points[name], np.float64)
    norm = np.hypot.reduce(x, axis=-1)[:, None]
    divisor = np.maximum(norm, points["eps"])
    return x / divisor, norm, divisor


def no_eps(points: Points) -> Mask:
    """clamp_min rounds eps to the dtype."""
    gone = bool(round_to(points.precision, float(points["eps"])) == 0.0)
    norms = [_unit(points, name)[1][:, 0] for name in OTHER]
    return np.asarray((np.minimum(*norms) == 0.0) & gone, np.bool_)


def overflowing(points: Points) -> Mask:
    """The square of a norm, in the dtype that it is summed in; the norm of one entry is the entry."""
    longest = np.max([_unit(points, name)[1][:, 0] for name in OTHER], axis=0)
    squared = np.shape(points["x1"])[-1] > 1
    return np.asarray((longest**2 > accumulator(points.precision).largest) & squared, np.bool_)


def turning(points: Points, name: str) -> Array:
    """What a norm has to do with its gradient although eps divides: the norm is clamped out of sight of autograd."""
    x, norm, divisor = _unit(points, name)
    y, _, _ = _unit(points, OTHER[name])
    # Where the squares underflow, or those of the other vector overflow, there is nothing to differentiate.
    least = 0.5 * accumulator(points.precision).smallest_subnormal
    squares = (np.asarray(points[name]) ** 2).max(axis=-1)[:, None] > least
    direction = np.divide(points[name], norm, out=np.zeros_like(x), where=squares & ~overflowing(points)[:, None])
    return np.asarray((x * y).sum(axis=-1)[:, None] / divisor * direction)


def _norm(points: Points, name: str) -> Array:
    """The norm as it is summed: inf where the squares or the norm overflow, 0 where all squares underflow."""
    x, p = np.asarray(points[name], np.float64), points.precision
    if x.shape[-1] == 1:
        return np.abs(x)
    wide = accumulator(p)
    return round_to(p, np.sqrt(round_to(wide, round_to(wide, x * x).sum(axis=-1)))[:, None])


def _written(points: Points, output: str) -> tuple[Array, Array]:
    """The formula with these norms, clamped out of sight of autograd; and its scale."""
    eps = round_to(points.precision, float(points["eps"]))
    sides = {name: np.maximum(_norm(points, name), eps) for name in OTHER}
    x, y = (np.asarray(points[name], np.float64) / sides[name] for name in OTHER)
    terms = x * y
    if output == "value":
        return terms.sum(axis=-1), np.abs(terms).sum(axis=-1)
    a, b = (x, y) if output == "x1" else (y, x)
    norm, divisor = _norm(points, output), sides[output]
    own = np.divide(np.asarray(points[output], np.float64), norm, out=np.zeros_like(a), where=norm > 0.0)
    slope, size = ((t.sum(axis=-1)[:, None] / divisor) for t in (terms, np.abs(terms)))
    return b / divisor - slope * own, np.abs(b) / divisor + size * np.abs(own)


def _allowed(points: Points, output: str, scale: Array) -> Array:
    """What a sound implementation may round of that scale."""
    p, truth = points.precision, points.truth.outputs()[output]
    constant = VALUE_CONSTANT if output == "value" else GRADIENT_CONSTANT
    return np.asarray(constant * (p.u * scale + p.smallest_subnormal * truth.underflow))


def _where(output: str, cause: Callable[[Points], Mask]) -> Region:
    """Where the formula as torch has it is off by more than what its own roundings leave of the bound."""

    def region(points: Points) -> Mask:
        rows, truth = cause(points), points.truth.outputs()[output]
        formula, scale = _written(points, output)
        low, high = truth.interval or (truth.exact, truth.exact)
        off = np.maximum(low - formula, formula - high)
        # Norm, divisor, two quotients, product, sum and difference: 8 roundings of C, on either scale.
        share = 1.0 - 8.0 / (VALUE_CONSTANT if output == "value" else GRADIENT_CONSTANT)
        least = share * np.minimum(_allowed(points, output, truth.reference), _allowed(points, output, scale))
        return np.asarray(rows.reshape(rows.shape + (1,) * (off.ndim - 1)) & ~(off <= least), np.bool_)

    return region


def _shows(output: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        formula, scale = _written(points, output)
        near = np.abs(got - formula) <= _allowed(points, output, scale)
        # What is beyond the range on the way is inf or nan.
        beyond = ~np.isfinite(got) & (~np.isfinite(formula) | quotients(points).reshape(-1, *[1] * (got.ndim - 1)))
        return np.asarray(near | beyond, np.bool_)

    return Seen(
        text="the formula with norms that overflow, underflow, or are clamped as constants", holds=holds, exact=False
    )


def quotients(points: Points) -> Mask:
    """The backward divides both unit vectors, and their products, by a norm before their difference is taken."""
    p = points.precision
    eps = round_to(p, float(points["eps"]))
    steepest, sides = np.zeros(len(points["x1"])), [np.maximum(_norm(points, name), eps) for name in OTHER]
    x, y = (np.asarray(points[name], np.float64) / side for name, side in zip(OTHER, sides, strict=True))
    for side in sides:
        least = np.maximum(side - 2.0 * p.smallest_subnormal, 0.25 * p.smallest_subnormal)
        parts = (np.abs(part).max(axis=-1) for part in (x, y, x * y, (x * y).sum(axis=-1, keepdims=True)))
        steepest = np.fmax(steepest, np.fmax.reduce(list(parts)) / least[:, 0])
    return np.asarray((steepest * (1.0 + 8.0 * p.u) > p.largest) & ~no_eps(points), np.bool_)


def _long(points: Points) -> Mask:
    return np.asarray(np.any([np.isinf(_norm(points, n)).any(axis=-1) for n in OTHER], axis=0), np.bool_)


def _vanishing(points: Points) -> Mask:
    """All squares of a vector longer than eps underflow."""
    gone = [(_norm(points, n) == 0.0) & (_unit(points, n)[1] > points["eps"]) for n in OTHER]
    return np.asarray(np.any(gone, axis=0)[:, 0] & ~no_eps(points), np.bool_)


def _below(points: Points, name: str) -> Mask:
    return np.asarray((_unit(points, name)[1] < points["eps"])[:, 0] & ~_vanishing(points) & ~_long(points), np.bool_)


SUBJECTS = builtin(
    CONTRACT,
    fixed="none",
    faults=(
        *(
            Fault(
                name=f"squared norms overflow: {output}",
                where="a squared norm beyond the largest number; in float16 a norm",
                region=_where(output, _long),
                outputs=(output,),
                upstream="https://github.com/pytorch/pytorch/issues/193006",
                seen=_shows(output),
                witnesses=(
                    Witness(args={"x1": [[3e19, 4e19]], "x2": [[1.0, 2.0]]}),
                    Witness(args={"x1": [[3e199, 4e199]], "x2": [[1.0, 2.0]]}, dtype="float64"),
                    Witness(args={"x1": [[6e4, 3e4]], "x2": [[0.25, 0.5]]}, dtype="float16"),
                ),
            )
            for output in ("value", *OTHER)
        ),
        *(
            Fault(
                name=f"squared norms underflow: {output}",
                where="every square of a vector longer than eps below half the smallest subnormal of float32",
                region=_where(output, _vanishing),
                outputs=(output,),
                dtypes=("float32", "bfloat16"),
                upstream="https://github.com/pytorch/pytorch/issues/193006",
                seen=_shows(output),
                witnesses=(Witness(args={"x1": [[0.0, 2.0**-77]], "x2": [[1.0, -1.0]]}, parameters={"eps": 1e-30}),),
            )
            for output in ("value", *OTHER)
        ),
        Fault(
            name="eps is 0 in float16",
            where="a zero vector and an eps that float16 rounds to 0",
            region=no_eps,
            outputs=("value", "x1", "x2"),
            dtypes=("float16",),
            seen=NAN,
            witnesses=(Witness(args={"x1": [[0.0, 0.0]], "x2": [[1.0, 2.0]]}, dtype="float16"),),
        ),
        Fault(
            name="the backward's quotients by a norm overflow",
            where="an entry of a unit vector, divided by a norm, beyond the largest number",
            region=quotients,
            outputs=("x1", "x2"),
            dtypes=("float32", "float16", "bfloat16"),
            seen=ENDLESS,
            witnesses=(
                Witness(args={"x1": [[-(2.0**-16), 0.0]], "x2": [[0.5, 0.5]]}, dtype="float16"),
                Witness(args={"x1": [[2.0**-77, 0.0]], "x2": [[2.0**-77, 0.0]]}, parameters={"eps": 1e-30}),
            ),
        ),
        *(
            Fault(
                name=f"the gradient of {name} does not know of eps",
                where=f"norm({name}) below eps, by so much that the derivative of the norm shows",
                region=_where(name, partial(_below, name=name)),
                outputs=(name,),
                seen=_shows(name),
                witnesses=(Witness(args={name: [[0.25, 0.0]], OTHER[name]: [[1.0, 1.0]]}, parameters={"eps": 0.5}),),
            )
            for name in OTHER
        ),
    ),
)
