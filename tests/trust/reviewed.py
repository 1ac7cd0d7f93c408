"""Mutants that survive, read one by one.

A key holds for every specimen unless it begins with one, as ``specimen | key``; with a ``*`` for every place.
"""

from __future__ import annotations

_CPU = "the same on the only device here, the CPU"
_TWO = "rows are two-dimensional: dimension 1 is the last"
_UNUSED = "changes the branch of a where that is not taken, and has no gradient"
_EDGE = "both branches agree there, in the value and in the slope"
_NAN = "what is changed is 1, 0 or nan"
_MEAN = "not reached: the loss takes its mean itself; one that has nothing but a scalar may be a sum or a mean"
_EXACT = "1 is exact in every dtype, and the other operand decides the dtype of the result"
_TENSOR = "the first argument is a tensor of real numbers in any case"
_KINK = "at the kink, where either slope is in the subdifferential"
_SIGN = "labels are 1 or -1: to divide by one is to multiply by it"
_THIRDS = "three other factors with the same product, none of which leaves the range"
_BACK = "the same power of two is taken back at the end"
_HALVED = "more rows are halved first, which is exact but for the last bit of a subnormal"

_DEFAULT = "the default of reduction: every call names the reduction"
_BEYOND = "a difference of finite complex numbers that overflows: no row has one"
_TOGETHER = "a row with an infinite entry beside other rows: it is judged alone"


def _at(place: str, pairs: dict[str, str]) -> dict[str, str]:
    return {f"{place}: {change}": why for change, why in pairs.items()}


def _ways(what: str, *becomes: str) -> tuple[str, ...]:
    return tuple(f"{what} -> {other}" for other in becomes)


_HALF = "torch.where(beyond, 0.5 * input - 0.5 * target, d)"
_OVER = "(d.isinf() & input.isfinite() & target.isfinite()).any"
_ROW = "infinite.any(dim=-1, keepdim=True) & ~d.isnan()"

EQUIVALENT: dict[str, str] = {
    "l1_loss_complex: the modulus at its own scale | pieces.scaled: (third, third, exponent - 2 * third)"
    " -> (third, third, exponent - 3 * third)": _BACK,
    "HuberLoss: a clamped slope in a module | regression.clamped_huber: reduction='mean' -> reduction='sum'": (
        "not reached: the module that calls it names its parameters"
    ),
    **_at(
        "losses.reduced",
        {
            "'none' -> 'sum'": _MEAN,
            "'mean' -> 'sum'": _MEAN,
            "'sum' -> 'mean'": _MEAN,
            "value.mean -> value.sum": _MEAN,
            "value.sum -> value.mean": _MEAN,
        },
    ),
    **_at(
        "losses._CrossEntropy.forward",
        dict.fromkeys(
            (
                "input.argmax(dim=-1, keepdim=True) -> input.argmax(dim=1, keepdim=True)",
                "input.gather(-1, top) - input -> input.gather(1, top) - input",
                *_ways(
                    "e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)",
                    "e.scatter(-1, top, 0.0).sum(dim=1, keepdim=True)",
                    "e.scatter(1, top, 0.0).sum(dim=-1, keepdim=True)",
                ),
                "1 - (e / (1 + tail)).gather(-1, picked) -> 1 - (e / (1 + tail)).gather(1, picked)",
                *_ways(
                    "(gap.gather(-1, picked) + torch.log1p(tail)).squeeze(-1)",
                    "(gap.gather(1, picked) + torch.log1p(tail)).squeeze(-1)",
                    "(gap.gather(-1, picked) + torch.log1p(tail)).squeeze(1)",
                ),
            ),
            _TWO,
        ),
    ),
    "losses._CrossEntropy.backward: probability.scatter(-1, picked, -push) * upstream[:, None]"
    " -> probability.scatter(1, picked, -push) * upstream[:, None]": _TWO,
    "pieces.internally.decorate.cast: isinstance(t, Tensor) and t.is_floating_point()"
    " -> isinstance(t, Tensor) or t.is_floating_point()": _TENSOR,
    **_at(
        "pieces.scaled",
        {
            "torch.div(exponent, 3, rounding_mode='trunc') -> torch.div(exponent, 3, rounding_mode='floor')": _THIRDS,
            "torch.div(exponent, 3, rounding_mode='trunc') -> torch.div(exponent, 4, rounding_mode='trunc')": _THIRDS,
            "torch.tensor(2.0, dtype=x.dtype, device=x.device) -> torch.tensor(2.0, dtype=x.dtype)": _CPU,
        },
    ),
    "pieces.absolute: sign(d) * torch.where(d == 0, 0.0, d) -> sign(d) * torch.where(d == 0, 1.0, d)": (
        "times a sign of 0; neither constant has a gradient"
    ),
    **_at(
        "pieces.rectified",
        {
            "torch.where(gap <= 0, 0.0, gap * live) -> torch.where(gap < 0, 0.0, gap * live)": _KINK,
            "torch.where(gap <= 0, 0.0, gap * live) -> torch.where(gap <= 0, 0.0, gap / live)": _NAN,
        },
    ),
    "pieces.EXACT: 40.0 -> 40.03999999999999": "beyond 37 softplus(x) is x to an ulp of float64",
    "cross_entropy: softplus of the others | pieces.softplus: F.softplus(x, threshold=EXACT) -> F.softplus(x)": (
        "beyond 20 softplus(x) is x to an ulp of float32, in which this loss computes in its quick lane"
    ),
    **_at(
        "regression.guarded_smooth_l1",
        {
            "gap < beta -> gap <= beta": _EDGE,
            "(torch.where(near, d, 0.0), torch.where(near, beta, gap))"
            " -> (torch.where(near, d, 1.0), torch.where(near, beta, gap))": _UNUSED,
        },
    ),
    **_at(
        "regression.guarded_huber",
        {
            "gap < 0.5 * delta -> gap <= 0.5 * delta": _EDGE,
            "torch.where(near, 2 * half, 0.0) -> torch.where(near, 2 * half, 1.0)": _UNUSED,
            "torch.where(near, 0.5 * delta, gap) -> torch.where(near, 0.5 / delta, gap)": _UNUSED,
            "torch.where(near, 0.5 * delta, gap) -> torch.where(near, 0.5005 * delta, gap)": _UNUSED,
        },
    ),
    **_at(
        "regression._Modulus.forward",
        {
            **dict.fromkeys(
                (
                    "torch.frexp(d.abs().amax(dim=-1, keepdim=True)) -> torch.frexp(d.abs().amax(dim=1, keepdim=True))",
                    f"{_ROW} -> infinite.any(dim=1, keepdim=True) & ~d.isnan()",
                    "infinite.all(dim=-1, keepdim=True) -> infinite.all(dim=1, keepdim=True)",
                    "infinite.any(dim=-1, keepdim=True) -> infinite.any(dim=1, keepdim=True)",
                    "-1 -> 1",
                    "-1 -> 1 (2)",
                ),
                _TWO,
            ),
            "dim=-1 -> dim=nothing": _HALVED,
            f"{_OVER} -> (d.isinf() & input.isfinite() | target.isfinite()).any": _HALVED,
            f"{_OVER} -> ((d.isinf() | input.isfinite()) & target.isfinite()).any": _HALVED,
            "part / torch.where(length == 0, 1.0, length) -> part / torch.where(length == 0, 1.001, length)": (
                "0 by either number"
            ),
        },
    ),
    **_at(
        "binary.log1p_form",
        {
            "input > 0 -> input >= 0": _EDGE,
            "input > 0 -> input > 1": "up to 1, log1p(exp(x)) - x loses two bits at most",
            "(torch.where(up, input, 0.0), torch.where(up, 0.0, input))"
            " -> (torch.where(up, input, 1.0), torch.where(up, 0.0, input))": _UNUSED,
            "(torch.where(up, input, 0.0), torch.where(up, 0.0, input))"
            " -> (torch.where(up, input, 0.0), torch.where(up, 1.0, input))": _UNUSED,
        },
    ),
    **_at(
        "binary._Bernoulli.forward",
        {
            "torch.where(input > 0, input, 0.0) + tail -> torch.where(input >= 0, input, 0.0) + tail": _EDGE,
            "torch.where(input < 0, -input, 0.0) + tail -> torch.where(input <= 0, -input, 0.0) + tail": _EDGE,
            "(1 - target) * up + target * down + known -> (1 - target) * up + target * down - known": _NAN,
        },
    ),
    **{
        f"binary.{name}.backward: torch.where({before}, e, 1.0) / (1 + e)"
        f" -> torch.where({after}, e, 1.0) / (1 + e)": _EDGE
        for name in ("_Bernoulli", "_WeightedBernoulli")
        for before, after in (("input < 0", "input <= 0"), ("input > 0", "input >= 0"))
    },
    **_at(
        "binary._WeightedBernoulli.backward",
        dict.fromkeys(
            _ways(
                "weight * (pos_weight * down - up) * g",
                "weight * (pos_weight * down - up) / g",
                "weight / (pos_weight * down - up) * g",
            ),
            "taken only beside an infinite weight, where either is infinite and of one sign",
        ),
    ),
    "binary_cross_entropy: logarithms guarded at 0 and 1 | pieces._Mixed.backward: "
    "torch.where(coefficient == 0, 0.0, upstream * coefficient)"
    " -> torch.where(coefficient == 0, 1.0, upstream * coefficient)": "where its loss made the term a constant",
    "binary.guarded_logarithms: (input + 0.0, input.detach() + 0.0) -> (input + 0.0, input.detach() - 0.0)": (
        "the sign of a 0 whose logarithm has the coefficient 0"
    ),
    **_at(
        "binary._Logistic.forward",
        {
            "input * target -> input / target": _SIGN,
            "torch.where(z > 0, e, 1.0) / (1 + e) * -target -> torch.where(z > 0, e, 1.0) / (1 + e) / -target": _SIGN,
            "torch.where(z > 0, e, 1.0) / (1 + e) * -target -> torch.where(z >= 0, e, 1.0) / (1 + e) * -target": _EDGE,
            "torch.where(z < 0, -z, 0.0) + torch.log1p(e) -> torch.where(z <= 0, -z, 0.0) + torch.log1p(e)": _EDGE,
        },
    ),
    "binary.hinge_by_branches: rectified(margin - torch.where(target == -1, input, 0.0))"
    " -> rectified(margin - torch.where(target == -1, input, 1.0))": _UNUSED,
    **_at(
        "binary._ranked",
        {
            "margin - target * lead <= 0 -> margin - target * lead < 0": _KINK,
            "(margin - target * torch.where(closed, 0.0, lead)) * live"
            " -> (margin - target * torch.where(closed, 0.0, lead)) / live": _NAN,
            "(margin - target * torch.where(closed, 0.0, lead)) * live"
            " -> (margin - target * torch.where(closed, 1.0, lead)) * live": _UNUSED,
        },
    ),
    **_at(
        "classification.gathered_log_softmax",
        {
            "dtype=input.dtype -> dtype=nothing": _EXACT,
            "device=input.device -> device=nothing": _CPU,
            "F.log_softmax(torch.where(counting, input, 0.0), dim=dim)"
            " -> F.log_softmax(torch.where(counting, input, 1.0), dim=dim)": "constant scores of a row of no weight",
        },
    ),
    **_at(
        "classification.softplus_of_others",
        {
            "torch.where(none, 0.0, top) -> torch.where(none, 1.0, top)": _UNUSED,
            "torch.log(torch.where(none, 1.0, total)) -> torch.log(torch.where(none, 1.001, total))": _UNUSED,
        },
    ),
    **_at(
        "classification._Expected.forward",
        dict.fromkeys(
            (
                "input.argmax(dim=-1, keepdim=True) -> input.argmax(dim=1, keepdim=True)",
                "0.5 * input.gather(-1, top) - 0.5 * input -> 0.5 * input.gather(1, top) - 0.5 * input",
                *_ways(
                    "e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)",
                    "e.scatter(1, top, 0.0).sum(dim=-1, keepdim=True)",
                    "e.scatter(-1, top, 0.0).sum(dim=1, keepdim=True)",
                ),
                "(1 - p).scatter(-1, top, tail / (1 + tail)) -> (1 - p).scatter(1, top, tail / (1 + tail))",
                (
                    "torch.where(target == 0, 0.0, 2 * target * log).sum(dim=-1)"
                    " -> torch.where(target == 0, 0.0, 2 * target * log).sum(dim=1)"
                ),
            ),
            _TWO,
        ),
    ),
    **_at(
        "classification._sums_of_others",
        dict.fromkeys(
            (
                *_ways(
                    "torch.cat([none, a[..., :-1].cumsum(dim=-1)], dim=-1)",
                    "torch.cat([none, a[..., :-1].cumsum(dim=1)], dim=-1)",
                    "torch.cat([none, a[..., :-1].cumsum(dim=-1)], dim=1)",
                ),
                *_ways(
                    "[a[..., 1:].flip(-1).cumsum(dim=-1).flip(-1), none]",
                    "[a[..., 1:].flip(1).cumsum(dim=-1).flip(-1), none]",
                    "[a[..., 1:].flip(-1).cumsum(dim=1).flip(-1), none]",
                    "[a[..., 1:].flip(-1).cumsum(dim=-1).flip(1), none]",
                ),
                "-1 -> 1",
            ),
            _TWO,
        ),
    ),
    "HuberLoss: a clamped slope in a module | regression.clamped_huber: delta=1.0 -> delta=1.001": (
        "not reached: the module that calls it names its parameters"
    ),
}
"""No input tells it from the original within the bounds of the grade: why. These do not count."""

BLIND: dict[str, str] = {
    "binary._weighed: ~torch.stack([f.isnan() for f in factors]).any(dim=0)"
    " -> ~torch.stack([f.isnan() for f in factors]).any()": "nan in one row beside 0 times infinity in another",
    "*: reduction='mean' -> reduction='sum'": _DEFAULT,
    **_at(
        "regression._Modulus.forward",
        {
            **dict.fromkeys(
                (
                    f"{_OVER} -> (d.isinf() & input.isfinite() & target.isfinite()).all",
                    f"{_HALF} -> torch.where(beyond, 0.5 * input + 0.5 * target, d)",
                    f"{_HALF} -> torch.where(beyond, 0.5 / input - 0.5 * target, d)",
                    f"{_HALF} -> torch.where(beyond, 0.5005 * input - 0.5 * target, d)",
                    f"{_HALF} -> torch.where(beyond, 0.5 * input - 0.5 / target, d)",
                    f"{_HALF} -> torch.where(beyond, 0.5 * input - 0.5005 * target, d)",
                    "scaled(length, exponent + beyond.int()) -> scaled(length, exponent - beyond.int())",
                ),
                _BEYOND,
            ),
            **dict.fromkeys(
                (
                    f"{_ROW} -> infinite.any(keepdim=True) & ~d.isnan()",
                    f"{_ROW} -> infinite.any(dim=-2, keepdim=True) & ~d.isnan()",
                    "infinite.all(dim=-1, keepdim=True) -> infinite.all(keepdim=True)",
                    "infinite.any(dim=-1, keepdim=True) -> infinite.any(keepdim=True)",
                ),
                _TOGETHER,
            ),
        },
    ),
}
"""Another loss, and nothing here notices: what the instrument does not look at. These count as survivors."""


def reason(specimen: str, key: str, table: dict[str, str]) -> str:
    """What a table says of a mutant in a specimen; empty where it says nothing."""
    keys = f"{specimen} | {key}", key, f"*: {key.partition(': ')[2]}"
    return next((table[k] for k in keys if k in table), "")
