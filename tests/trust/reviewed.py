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

_STEEP = "the slope is infinite wherever it is used"
_UNREAD = "the parameter is not read"
_HIDDEN = "the hinge beside an infinite score is 0"
_ONE = "factor and divisor cancel to within an ulp"
_FAR = "numbers of its dtypes are far below 2**1000: a unit of 1 in every row, or an eighth in every row"
_SAME = "both forms hold there to within the bound"
_GAP = "the chord is for what a cosine lacks to 1, which this loss does not take"
_WIDE = "the squares of numbers of float32 are in the range of float64, whatever the scale"
_POWERS = "the same powers of two are taken back, and in the dtypes of this loss none leaves the range"
_EPS = "eps is 0, and only a vector of zeros is low"
_POSITIVE = "eps is not 0"

_DEFAULT = "the default of reduction: every call names the reduction"
_BEYOND = "a difference of finite complex numbers that overflows: no row has one"
_TOGETHER = "a row with an infinite entry beside other rows: it is judged alone"


def _at(place: str, pairs: dict[str, str]) -> dict[str, str]:
    return {f"{place}: {change}": why for change, why in pairs.items()}


def _in(module: str, pairs: dict[str, str]) -> dict[str, str]:
    return {f"{module}.{change}": why for change, why in pairs.items()}


def _ways(what: str, *becomes: str) -> tuple[str, ...]:
    return tuple(f"{what} -> {other}" for other in becomes)


_SIMILARITIES = (
    "cosine_similarity: product of unit vectors, in float64",
    "cosine_similarity: product of unit vectors, halves in float32",
)
_NORMS = (
    "triplet_margin_loss: scaled norms",
    "triplet_margin_with_distance_loss: scaled norms, a distance given",
)
_COSINES = "triplet_margin_with_distance_loss_cosine: half squared chords"
_LARGEST_ONES = "triplet_margin_with_distance_loss_maximum: largest differences"
_CHORDS = "cosine_embedding_loss: half a squared chord"
_OWN = "pairwise_distance: scaled norm"
_IN_FLOAT64 = "pairwise_distance: scaled norm in float64"
_ROOM_OF_LEAST = (
    "torch.stack([v.detach().abs().amax(dim=-1) for v in vectors]).amax"
    " -> torch.stack([v.detach().abs().amax(dim=-1) for v in vectors]).amin"
)
_ROOM_OF_SMALL = (
    "torch.where(largest > 2.0 ** 1000, 0.125, 1.0).to -> torch.where(largest <= 2.0 ** 1000, 0.125, 1.0).to"
)
_CHORD = "(one.unit - other.unit).square().sum(dim=-1, keepdim=True)"
_LACK = "torch.where(one.low | other.low, 1 - c, 0.5 * chord).squeeze"
_LARGEST = "torch.frexp(x.abs().amax(dim=-1, keepdim=True))"
_LOW = "size <= scaled(torch.full_like(size, eps), -exponent)"
_INFINITE = "x.isinf().any(dim=-1, keepdim=True) & ~x.isnan()"
_NO_POWER = "torch.frexp gives infinity the exponent 0, which scales nothing"
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
                (
                    "e.scatter(-1, top, 0.0).sum(dim=-1, keepdim=True)"
                    " -> e.scatter(-1, top, 0.0).sum(dim=1, keepdim=True)"
                ),
                (
                    "torch.where(target == 0, 0.0, 2 * target * log).sum(dim=-1)"
                    " -> torch.where(target == 0, 0.0, 2 * target * log).sum(dim=1)"
                ),
            ),
            _TWO,
        ),
    ),
    **_in(
        "classification",
        {
            "_hinges: rectified(0.5 * margin + (0.5 * high - 0.5 * low))"
            " -> rectified(0.5 / margin + (0.5 * high - 0.5 * low))": "a margin of 1",
            "expected_lead: input.ndim > 2 -> input.ndim >= 2": "of two dimensions, 1 is the last",
            "gathered_likelihood: torch.where(w == 0, 0.0, _chosen(input, index, dim))"
            " -> torch.where(w == 0, 1.0, _chosen(input, index, dim))": "times a weight of 0",
            "pairs_of_labels: torch.where(pairs, input.unsqueeze(-2), 0.0)"
            " -> torch.where(pairs, input.unsqueeze(-2), 1.0)": _HIDDEN,
            "pairs_with_target: torch.where(own, 0.0, input) -> torch.where(own, 1.0, input)": _HIDDEN,
            "pairs_without_target: *input.shape[:-1] -> *input.shape[:-2]": "broadcast to the same shape later",
        },
    ),
    **_at(
        "embedding._room",
        {
            "[v.detach().abs().amax(dim=-1) for v in vectors] -> [v.detach().abs().amax() for v in vectors]": _HALVED,
            "[v.detach().abs().amax(dim=-1) for v in vectors] -> [v.detach().abs().amax(dim=1) for v in vectors]": _TWO,
            "dim=0 -> dim=nothing": _HALVED,
            "vectors[0].dtype -> vectors[1].dtype": "all have one dtype",
            "torch.where(largest > 2.0 ** 1000, 0.125, 1.0).to -> torch.where(largest > 2.0 * 1000, 0.125, 1.0).to": (
                _HALVED
            ),
            **dict.fromkeys(
                _ways(
                    "torch.where(largest > 2.0 ** 1000, 0.125, 1.0).to",
                    "torch.where(largest > 2.0 ** 1000, 0.125, 1.001).to",
                    "torch.where(largest > 2.0 ** 1000, 0.125125, 1.0).to",
                ),
                _ONE,
            ),
            **dict.fromkeys(
                _ways(
                    "torch.where(largest > 2.0 ** 1000, 0.125, 1.0).to",
                    "torch.where(largest > 2.0 ** 1001, 0.125, 1.0).to",
                    "torch.where(largest > 2.002 ** 1000, 0.125, 1.0).to",
                    "torch.where(largest >= 2.0 ** 1000, 0.125, 1.0).to",
                ),
                "no difference of numbers below 2**1002 leaves the range",
            ),
        },
    ),
    **{
        f"{specimen} | embedding._room: {change}": _FAR
        for specimen in (*_NORMS, _LARGEST_ONES)
        for change in (
            "[v.detach().abs().amax(dim=-1) for v in vectors] -> [v.detach().abs().amin(dim=-1) for v in vectors]",
            _ROOM_OF_LEAST,
            _ROOM_OF_SMALL,
        )
    },
    **_in(
        "embedding",
        {
            "_euclidean: unit.unsqueeze(-1) -> unit.unsqueeze(1)": _TWO,
            "_triplet: torch.where(other < far, other, far) -> torch.where(other <= far, other, far)": _KINK,
            "half_squared_chord: near < -0.5 -> near < -0.5005": _SAME,
            "half_squared_chord: near < -0.5 -> near <= -0.5": _SAME,
            "half_squared_chord: rectified(torch.where(target == -1, gap, 0.0))"
            " -> rectified(torch.where(target == -1, gap, 1.0))": _UNUSED,
            "scaled_distance_of_own_dtype: torch.full(x1.shape[:-1], 0.5, dtype=wide, device=x1.device)"
            " -> torch.full(x1.shape[:-1], 0.5, device=x1.device)": _EXACT,
            "scaled_triplet: margin * unit -> margin / unit": _FAR,
            "triplet_of_largest: margin * unit -> margin / unit": _FAR,
            "triplet_of_largest: _triplet(measure, anchor, positive, negative, margin * unit, swap) / unit"
            " -> _triplet(measure, anchor, positive, negative, margin * unit, swap) * unit": _FAR,
            "triplet_of_largest.measure: absolute(u * x - u * y).amax(dim=-1)"
            " -> absolute(u * x - u * y).amax(dim=1)": _TWO,
            "triplet_of_largest.measure: unit.unsqueeze(-1) -> unit.unsqueeze(1)": _TWO,
        },
    ),
    **_in(
        "likelihood",
        {
            "HIGH: 80.0 -> 80.07999999999998": _SAME,
            "_count: x > HIGH -> x >= HIGH": _SAME,
            "_count: root * (root - t / root * factor.clamp(max=10000.0))"
            " -> root * (root - t / root * factor.clamp(max=10009.999999999998))": (
                "beyond 709, which is below either, the exponential is infinite"
            ),
            "_Deviance.forward: d.abs() < 1 -> d.abs() < 2": _SAME,
            "_Deviance.forward: d.abs() < 1 -> d.abs() <= 1": _SAME,
            "_excess: d.abs() < 1 -> d.abs() < 2": _SAME,
            "_excess: d.abs() < 1 -> d.abs() <= 1": _SAME,
            "_excess: range(22, 2, -1) -> range(23, 2, -1)": "one term more of the series",
            "_excess: torch.expm1(d) - d -> torch.expm1(d) + d": _UNUSED,
            "_excess: d.abs() < 1 -> d.abs() >= 1": (
                "what cancels is a rounding of the log-rate, which mixed-stable allows"
            ),
            **{
                f"_log_of_rate: (rate - 1).abs() <= 0.5 -> {other}": (
                    "what the sum loses is a rounding of the rate, which mixed-stable allows"
                )
                for other in (
                    "(rate + 1).abs() <= 0.5",
                    "(rate - 1).abs() < 0.5",
                    "(rate - 1).abs() <= 0.5005",
                    "(rate - 2).abs() <= 0.5",
                )
            },
            "_Line.backward: (torch.where(upstream == 0, 0.0, slope * upstream), None)"
            " -> (torch.where(upstream == 0, 0.0, slope / upstream), None)": _STEEP,
            "counts_by_deviance: log_input=True -> log_input=False": _UNREAD,
            "counts_by_deviance: torch.where(many, 0.0, input) -> torch.where(many, 1.0, input)": _UNUSED,
            "counts_by_deviance: torch.where(many, 0.0, target) -> torch.where(many, 1.0, target)": _UNUSED,
            "counts_by_deviance: torch.where(many, input, 0.0) -> torch.where(many, input, 1.0)": _UNUSED,
            "counts_by_deviance: torch.where(many, target, 2.0) -> torch.where(many, target, 2.002)": _UNUSED,
            **dict.fromkeys(
                _ways(
                    "guarded_divergence: (torch.log(target) + 1 - input).detach()",
                    "(torch.log(target) + 2 - input).detach()",
                    "(torch.log(target) - 1 - input).detach()",
                ),
                _STEEP,
            ),
            "guarded_divergence: log_target=False -> log_target=True": _UNREAD,
            "guarded_divergence: torch.where(absent, 0.0, input) -> torch.where(absent, 1.0, input)": _UNUSED,
            "guarded_divergence: torch.where(absent, 1.0, target) -> torch.where(absent, 1.001, target)": _UNUSED,
            "rate_by_log1p: log_input=False -> log_input=True": _UNREAD,
        },
    ),
    **_at(
        "pieces._Cosine.forward",
        {
            "(one.unit * other.unit).sum(dim=-1, keepdim=True)"
            " -> (one.unit * other.unit).sum(dim=1, keepdim=True)": _TWO,
            f"{_CHORD} -> (one.unit - other.unit).square().sum(dim=1, keepdim=True)": _TWO,
            "-1 -> 1": _TWO,
            "c.squeeze(-1) -> c.squeeze(1)": _TWO,
            f"{_LACK} -> torch.where(one.low | other.low, 1 + c, 0.5 * chord).squeeze": (
                "the cosine with a vector of zeros is 0"
            ),
        },
    ),
    **{
        f"{specimen} | pieces._Cosine.forward: {change}": _GAP
        for specimen in _SIMILARITIES
        for change in (
            *_ways(
                _CHORD,
                "(one.unit + other.unit).square().sum(dim=-1, keepdim=True)",
                "(one.unit - other.unit).square().mean(dim=-1, keepdim=True)",
                "(one.unit - other.unit).square().sum(dim=-1)",
                "(one.unit - other.unit).square().sum(dim=-1, keepdim=False)",
                "(one.unit - other.unit).square().sum(dim=-2, keepdim=True)",
                "(one.unit - other.unit).square().sum(keepdim=True)",
            ),
            *_ways(
                _LACK,
                "torch.where(one.low & other.low, 1 - c, 0.5 * chord).squeeze",
                "torch.where(one.low | other.low, 1 - c, 0.5 / chord).squeeze",
                "torch.where(one.low | other.low, 1 - c, 0.5005 * chord).squeeze",
                "torch.where(one.low | other.low, 2 - c, 0.5 * chord).squeeze",
            ),
            "-1 -> -2",
            "-1.0 if lack else 1.0 -> -1.001 if lack else 1.0",
            "-1.0 if lack else 1.0 -> 1.0 if lack else 1.0",
        )
    },
    **{
        f"{_COSINES} | pieces._Cosine.forward: {change}": ("not reached: it takes what a cosine lacks to 1")
        for change in ("-1.0 if lack else 1.0 -> -1.0 if lack else 1.001", "c.squeeze(-1) -> c.squeeze(-2)")
    },
    **_at(
        "pieces._Length.forward",
        {
            "part / torch.where(size == 0, 1.0, size) -> part / torch.where(size == 0, 1.001, size)": (
                "0 by either number"
            ),
            "part.square().sum(dim=-1, keepdim=True).sqrt() -> part.square().sum(dim=1, keepdim=True).sqrt()": _TWO,
            "scaled(size, exponent).squeeze(-1) -> scaled(size, exponent).squeeze(1)": _TWO,
            f"{_LARGEST} -> torch.frexp(x.abs().amax(dim=1, keepdim=True))": _TWO,
            f"{_INFINITE} -> x.isinf().any(dim=1, keepdim=True) & ~x.isnan()": _TWO,
            f"{_INFINITE} -> x.isinf().all(dim=-1, keepdim=True) & ~x.isnan()": _NO_POWER,
            f"{_INFINITE} -> x.isinf().any(dim=-1, keepdim=True) & x.isnan()": _NO_POWER,
        },
    ),
    **{
        f"{specimen} | pieces._Length.forward: {_LARGEST} -> torch.frexp(x.abs().amin(dim=-1, keepdim=True))": _WIDE
        for specimen in _NORMS
    },
    **{
        f"{specimen} | pieces.scaled: {change}": _POWERS
        for change, specimens in (
            (
                "(third, third, exponent - 2 * third) -> (third, third, exponent + 2 * third)",
                (_SIMILARITIES[0], _CHORDS, *_NORMS, _COSINES),
            ),
            (
                "x * torch.pow(two, part) -> x / torch.pow(two, part)",
                (_SIMILARITIES[0], _CHORDS, *_NORMS, _COSINES),
            ),
            (
                "(third, third, exponent - 2 * third) -> (third, third, exponent - 3 * third)",
                (*_SIMILARITIES, _CHORDS, _IN_FLOAT64, _OWN, *_NORMS, _COSINES),
            ),
            *(
                (change, (*_SIMILARITIES, _CHORDS, _OWN, *_NORMS, _COSINES))
                for change in (
                    "torch.div(exponent, 3, rounding_mode='trunc') -> torch.div(exponent, 3)",
                    *_ways(
                        "torch.tensor(2.0, dtype=x.dtype, device=x.device)",
                        "torch.tensor(2.0, device=x.device)",
                        "torch.tensor(2.002, dtype=x.dtype, device=x.device)",
                    ),
                )
            ),
        )
        for specimen in specimens
    },
    **_at(
        "pieces.side",
        {
            "part.square().sum(dim=-1, keepdim=True).sqrt() -> part.square().sum(dim=1, keepdim=True).sqrt()": _TWO,
            f"{_LARGEST} -> torch.frexp(x.abs().amax(dim=1, keepdim=True))": _TWO,
            f"{_LOW} -> size < scaled(torch.full_like(size, eps), -exponent)": _EDGE,
        },
    ),
    f"{_SIMILARITIES[0]} | pieces.side: {_LARGEST} -> torch.frexp(x.abs().amax(keepdim=True))": _WIDE,
    **{
        f"{specimen} | pieces.side: {_LARGEST} -> torch.frexp(x.abs().amin(dim=-1, keepdim=True))": _WIDE
        for specimen in (_SIMILARITIES[0], _CHORDS, _COSINES)
    },
    **{
        f"{specimen} | pieces.side: {change}": _POSITIVE
        for specimen in (*_SIMILARITIES, _COSINES)
        for change in (
            "torch.where(low, eps or 1.0, size) -> torch.where(low, eps or 1.001, size)",
            "torch.where(low, x / (eps or 1.0), part / size) -> torch.where(low, x / (eps or 1.001), part / size)",
        )
    },
    **{
        f"{_CHORDS} | pieces.side: {change}": _EPS
        for change in (
            f"({_LOW}) | (size == 0) -> ({_LOW}) & (size == 0)",
            f"{_LOW} -> size <= scaled(torch.full_like(size, eps), exponent)",
            "torch.where(low, x / (eps or 1.0), part / size) -> torch.where(low, x * (eps or 1.0), part / size)",
            "torch.where(low, x / (eps or 1.0), part / size) -> torch.where(low, x / (eps or 1.001), part / size)",
            "torch.where(low, eps or 1.0, size) -> torch.where(low, eps or 1.001, size)",
            "torch.where(low, 0, exponent) -> torch.where(low, 1, exponent)",
        )
    },
    "linear_cross_entropy: a linear map, then the others | pieces.softplus: "
    "F.softplus(x, threshold=EXACT) -> F.softplus(x)": (
        "beyond 20 softplus(x) is x to an ulp of the dtypes that it is judged in"
    ),
    **_at(
        "regression.restoring_square",
        dict.fromkeys(
            (
                "torch.manual_seed(0) -> torch.manual_seed(1)",
                "torch.rand(2) -> torch.rand(3)",
                "torch.random.fork_rng(devices=[]) -> torch.random.fork_rng()",
            ),
            "what is drawn is thrown away, and the state is put back",
        ),
    ),
    "HuberLoss: a clamped slope in a module | regression.clamped_huber: delta=1.0 -> delta=1.001": (
        "not reached: the module that calls it names its parameters"
    ),
}
"""No input tells it from the original within the bounds of the grade: why. These do not count."""

BLIND: dict[str, str] = {
    **{
        f"{_IN_FLOAT64} | embedding._room: {change}": "a difference of finite vectors beyond the largest float64"
        for change in (
            "[v.detach().abs().amax(dim=-1) for v in vectors] -> [v.detach().abs().amin(dim=-1) for v in vectors]",
            _ROOM_OF_LEAST,
            _ROOM_OF_SMALL,
        )
    },
    "triplet_margin_with_distance_loss: scaled norms, a distance given | pieces._Length.forward: "
    "part / torch.where(size == 0, 1.0, size) -> part / torch.where(size == 1, 1.0, size)": (
        "a difference of exactly -eps in every entry"
    ),
    "binary._weighed: ~torch.stack([f.isnan() for f in factors]).any(dim=0)"
    " -> ~torch.stack([f.isnan() for f in factors]).any()": "nan in one row beside 0 times infinity in another",
    "*: reduction='mean' -> reduction='sum'": _DEFAULT,
    **_at(
        "regression._Modulus.forward",
        {
            **dict.fromkeys(
                (
                    f"{_OVER} -> (d.isinf() & input.isfinite() & target.isfinite()).all",
                    f"{_HALF} -> torch.where(beyond, 0.5005 * input - 0.5 * target, d)",
                    f"{_HALF} -> torch.where(beyond, 0.5 * input - 0.5005 * target, d)",
                ),
                _BEYOND,
            ),
            "infinite.all(dim=-1, keepdim=True) -> infinite.all(keepdim=True)": _TOGETHER,
        },
    ),
}
"""Another loss, and nothing here notices: what the instrument does not look at. These count as survivors."""


def names(specimen: str, key: str) -> tuple[str, str, str]:
    """The names under which a mutant in a specimen may be reviewed, the narrowest first."""
    return f"{specimen} | {key}", key, f"*: {key.partition(': ')[2]}"


def reason(specimen: str, key: str, table: dict[str, str]) -> str:
    """What a table says of a mutant in a specimen; empty where it says nothing."""
    return next((table[k] for k in names(specimen, key) if k in table), "")
