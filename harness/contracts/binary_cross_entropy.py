"""Binary cross-entropy on probabilities."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.contract import Contract
from harness.contracts.errors import Tensors, ones, refused, unknown_reduction
from harness.deviations import Deviation, Mask, Points
from harness.domain import Arg, Probability, SoftLabel, Weight
from harness.laws import Law, Moved, Sibling, non_negative
from harness.special import Special, table
from harness.ulp import Array, round_to
from reference.binary import binary_cross_entropy, binary_cross_entropy_clamped
from reference.mp import elementwise

NO_PROBABILITY = ("outside", "not a probability")
OUTSIDE = dict.fromkeys(("+largest", "-largest", "-subnormal", "-normal", "+inf", "-inf", "nan"), NO_PROBABILITY)
CLAMP = -100.0


def _logarithms(at: Points) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        x = at["input"] + 0.0  # -0 is 0
        return np.log(x), np.log1p(-x)


def _clamped(at: Points) -> Mask:
    """A term that counts is clamped, and the output is another number for it; both count in the slope of the label."""
    near_ends = (at["input"] < 1e-43) | (at["input"] > 1.0 - 1e-16)  # the rest is seen without a logarithm
    index = np.flatnonzero(near_ends)
    part = replace(at, args={n: a[index] for n, a in at.args.items()}, truth=at.truth.rows(index))
    y, (log_x, log_rest) = part["target"], _logarithms(part)
    slope = at.output == "target"
    active = ((log_x < CLAMP) & (slope | (y > 0.0))) | ((log_rest < CLAMP) & (slope | (y < 1.0)))
    truth = round_to(at.precision, part.truth.outputs()[at.output].exact)
    with np.errstate(all="ignore"):
        documented = [round_to(at.precision, np.asarray(d)) for d in _documented(part, at.output)]
    near_ends[index] = active & np.any([d != truth for d in documented], axis=0)
    return np.asarray(near_ends)


def _documented(at: Points, output: str) -> tuple[Array, ...]:
    """The clamped loss and its gradient in the target, or 0; in the input that of the terms not clamped, or 0."""
    documented = binary_cross_entropy_clamped(**at.args)
    if output == "value":
        return (documented.value.exact,)
    if output == "target":
        return documented.gradients["target"].exact, np.zeros_like(at["input"])
    x, y = at["input"], at["target"]
    log_x, log_rest = _logarithms(at)
    with np.errstate(all="ignore"):
        falling = np.where((log_x < CLAMP) | (y == 0.0), 0.0, -y / x)
        rising = np.where((log_rest < CLAMP) | (y == 1.0), 0.0, (1.0 - y) / (1.0 - x))
        return at["weight"] * (falling + rising), np.zeros_like(x)


def _mirror(at: Points) -> Moved:
    x, y = 1.0 - at["input"], 1.0 - at["target"]
    exact = (round_to(at.precision, x) == x) & (1.0 - x == at["input"])
    exact &= (round_to(at.precision, y) == y) & (1.0 - y == at["target"])
    args = {**at.args, "input": np.where(exact, x, at["input"]), "target": np.where(exact, y, at["target"])}
    return Moved(args=args, parameters=at.parameters, applies=exact)


def _as_two_classes(at: Points) -> Moved:
    y = at["target"]
    args = {"input": at["input"], "target": np.where(y == 1.0, 1.0, 0.0)}
    applies = ((y == 0.0) | (y == 1.0)) & ("weight" not in at.args)
    return Moved(args=args, parameters={}, applies=np.asarray(applies))


def _pair(input: list[float], target: list[float], dtype: str = "float32") -> Tensors:
    return lambda torch: (torch.tensor(input), torch.tensor(target, dtype=getattr(torch, dtype)))


OUT_OF_RANGE = ("RuntimeError", "all elements of input should be between 0 and 1")
ERRORS = (
    refused("target of another shape", ones((3, 2), 2), "ValueError", "different to the input size"),
    refused("weight that does not broadcast", ones(3, 3, 2), "RuntimeError", "broadcast"),
    refused("input above 1", _pair([0.5, 1.25], [1.0, 1.0]), *OUT_OF_RANGE),
    refused("input below 0", _pair([0.5, -0.25], [1.0, 1.0]), *OUT_OF_RANGE),
    refused("input nan", _pair([0.5, math.nan], [1.0, 1.0]), *OUT_OF_RANGE),
    refused(
        "target above 1",
        _pair([0.5, 0.25], [1.0, 2.0]),
        "RuntimeError",
        "all elements of target should be between 0 and 1",
    ),
    refused(
        "target of another dtype",
        _pair([0.5], [1.0], "float64"),
        "RuntimeError",
        "Found dtype Double but expected Float",
    ),
    refused("integer labels", _pair([0.5], [1], "int64"), "RuntimeError", "Found dtype Long but expected Float"),
    unknown_reduction(ones(3, 3)),
)

CONTRACT = Contract(
    name="binary_cross_entropy",
    module="BCELoss",
    summary="Negative log-likelihood of a Bernoulli label under a probability.",
    formula="-weight * [y * log(x) + (1 - y) * log(1 - x)]",
    sources=("torch.nn.BCELoss",),
    args=(
        Arg(name="input", kind=Probability(edges=(1e-12,))),
        Arg(name="target", kind=SoftLabel(), role="target"),
        Arg(
            name="weight",
            kind=Weight(),
            role="weight",
            optional=True,
            differentiable=False,
            broadcasts=("(N, 1)", "(1, C)", "(C,)", "(1,)"),
        ),
    ),
    oracle=binary_cross_entropy,
    definition=elementwise.binary_cross_entropy,
    scales="B_ref = sum of both non-negative terms; B_abs = weight + B_ref, of the gradient y / x + (1 - y) / (1 - x)",
    specials=(
        *table("input", {"target": 1.0}, OUTSIDE | {"+0": "+inf", "-0": "+inf"}),
        *table("input", {"target": 0.0}, OUTSIDE | {"+0": "0", "-0": "0"}),
        *table("target", {"input": 0.25}, OUTSIDE),
        *table("weight", {"input": 0.25, "target": 1.0}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        Special(condition="certain and right: input=1, target=1", args={"input": [1.0], "target": [1.0]}, want="0"),
        Special(condition="certain and wrong: input=1, target=0", args={"input": [1.0], "target": [0.0]}, want="+inf"),
        Special(condition="soft label at input=0", args={"input": [0.0], "target": [0.5]}, want="+inf"),
        Special(
            condition="weight=0 beside a certain and wrong row",
            args={"input": [0.0], "target": [1.0], "weight": [0.0]},
            want="0",
        ),
        Special(condition="even odds: log 2", args={"input": [0.5], "target": [1.0]}, want=0.6931),
        Special(condition="soft label that is met: its entropy", args={"input": [0.25], "target": [0.25]}, want=0.5623),
        Special(
            condition="mean of 0.75 against 1 and 0.75 against 0",
            args={"input": [0.75, 0.75], "target": [1.0, 0.0]},
            want=0.837,
            reduction="mean",
        ),
    ),
    laws=(
        Law(
            name="mirror: x against y as 1 - x against 1 - y",
            move=_mirror,
            gradients={"input": ("input", -1.0), "target": ("target", -1.0)},
        ),
        non_negative(),
        Sibling(
            name="is nll_loss of the logarithms of both probabilities",
            move=_as_two_classes,
            loss=lambda torch: (
                lambda input, target: torch.nn.functional.nll_loss(
                    torch.stack([torch.log1p(-input), torch.log(input)], dim=-1), target.long(), reduction="none"
                )
            ),
            real=("input", "target"),
        ),
    ),
    deviations=(
        Deviation(
            name="logarithms are clamped at -100",
            where="a logarithm that counts is below -100: of input where target > 0, of 1 - input where target < 1",
            region=_clamped,
            outputs=("value", "input", "target"),
            documented=_documented,
            says="BCELoss clamps its log function outputs to be greater than or equal to -100",
            source="torch.nn.BCELoss",
        ),
    ),
    errors=ERRORS,
)
