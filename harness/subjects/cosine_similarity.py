"""torch's cosine_similarity."""

from collections.abc import Callable

import numpy as np

from harness.bounds import accumulator
from harness.contracts.cosine_similarity import CONTRACT
from harness.deviations import NAN, PARTIAL, Fault, Mask, Points, Seen, Witness
from harness.subjects.builtin import builtin
from harness.ulp import Array, round_to
from reference.truth import Output

OTHER = {"x1": "x2", "x2": "x1"}


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


def quotients(points: Points) -> Mask:
    """The backward divides both unit vectors, and the cosine, by a norm before their difference is taken."""
    (x, _, n), (y, _, m) = (_unit(points, name) for name in OTHER)
    cosine = np.abs((x * y).sum(axis=-1))
    p = points.precision
    least = np.maximum(np.minimum(n, m)[:, 0] - 2.0 * p.smallest_subnormal, 0.25 * p.smallest_subnormal)
    steepest = np.maximum(cosine, np.maximum(np.abs(x), np.abs(y)).max(axis=-1)) / least * (1.0 + 8.0 * p.u)
    return np.asarray((steepest > points.precision.largest) & ~no_eps(points), np.bool_)


def turning(points: Points, name: str) -> Array:
    """What a norm has to do with its gradient although eps divides: the norm is clamped out of sight of autograd."""
    x, norm, divisor = _unit(points, name)
    y, _, _ = _unit(points, OTHER[name])
    # Where the squares underflow, or those of the other vector overflow, there is nothing to differentiate.
    least = 0.5 * accumulator(points.precision).smallest_subnormal
    squares = (np.asarray(points[name]) ** 2).max(axis=-1)[:, None] > least
    direction = np.divide(points[name], norm, out=np.zeros_like(x), where=squares & ~overflowing(points)[:, None])
    return np.asarray((x * y).sum(axis=-1)[:, None] / divisor * direction)


def _clamped(name: str) -> Callable[[Points], Mask]:
    def region(points: Points) -> Mask:
        _, norm, divisor = _unit(points, name)
        size = np.abs(_unit(points, OTHER[name])[0]) / divisor
        visible = np.abs(turning(points, name)) > 32.0 * points.precision.u * size
        return np.asarray(visible & (norm < points["eps"]), np.bool_)

    return region


def _turned(name: str) -> Seen:
    def holds(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
        return np.asarray(np.abs(got - (truth.exact - turning(points, name))) <= bound, np.bool_)

    return Seen(text="the gradient of a norm that divides", holds=holds, exact=False)


SUBJECTS = builtin(
    CONTRACT,
    fixed="none",
    faults=(
        Fault(
            name="squared norms overflow",
            where="a squared norm beyond the largest number",
            region=overflowing,
            outputs=("value", "x1", "x2"),
            dtypes=("float64", "float32", "bfloat16"),
            upstream="https://github.com/pytorch/pytorch/issues/193006",
            seen=PARTIAL,
            witnesses=(
                Witness(args={"x1": [[3e19, 4e19]], "x2": [[1.0, 2.0]]}),
                Witness(args={"x1": [[3e199, 4e199]], "x2": [[1.0, 2.0]]}, dtype="float64"),
            ),
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
            dtypes=("float16",),
            seen=PARTIAL,
            witnesses=(Witness(args={"x1": [[-(2.0**-16), 0.0]], "x2": [[0.5, 0.5]]}, dtype="float16"),),
        ),
        *(
            Fault(
                name=f"the gradient of {name} does not know of eps",
                where=f"norm({name}) below eps, by so much that the derivative of the norm shows",
                region=_clamped(name),
                outputs=(name,),
                seen=_turned(name),
                witnesses=(Witness(args={name: [[0.25, 0.0]], OTHER[name]: [[1.0, 1.0]]}, parameters={"eps": 0.5}),),
            )
            for name in OTHER
        ),
    ),
)
