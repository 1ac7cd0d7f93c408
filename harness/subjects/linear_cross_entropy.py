"""torch's linear_cross_entropy: cross_entropy of linear, and the same in chunks of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.binding import Subject
from harness.bounds import accumulator
from harness.contracts.linear_cross_entropy import CONTRACT, SOFT
from harness.deviations import ALL_DTYPES, LOST_DIGITS, NAN, PARTIAL, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.projected import (
    LOG_SOFTMAX,
    Stage,
    Stages,
    confident_faults,
    least_bound,
    overflow_faults,
    roundings,
    signed_sums,
    slope_of,
    without_logits,
)
from harness.ulp import Array
from reference.classification import class_coefficients
from reference.numerics import softmax
from reference.projection import given, linear
from reference.truth import Output


def _ignore_index(at: Points) -> int:
    index = at.parameters.get("ignore_index")
    return -100 if index is None else int(index)


def _stages(at: Points) -> list[Stage]:
    x, matrix, target = at["input"], at["linear_weight"], at["target"]
    smoothing, weight = at.parameters.get("label_smoothing", 0.0), np.asarray(at["weight"], np.float64)
    logits = linear(given(x), matrix, at.args.get("linear_bias"))
    a = class_coefficients(target, len(matrix), at.args.get("weight"), _ignore_index(at), smoothing)
    s = softmax(logits.exact)
    log_p = s.gap + s.log_sum[:, None]
    weighted = log_p * np.maximum(weight, 1.0)
    soft = np.ndim(target) == 2
    scale = {"target": weighted} if soft else {}
    void: Mask | bool = False
    if soft:
        scale["value"] = log_p.max(axis=1)
        void = ((log_p > at.precision.largest) & (a == 0.0)).any(axis=1)
    elif smoothing:
        scale["value"] = weighted.sum(axis=1) * (a != 0.0).any(axis=1)
        void = (smoothing == 1.0) & (scale["value"] > at.precision.largest)
    else:
        scale["value"] = np.where(a == 0.0, 0.0, weighted).max(axis=1)
    slope = slope_of(logits, a)
    bias = at.args.get("linear_bias", np.zeros(len(matrix)))
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return [
        Stage(
            rows=np.arange(len(x)),
            logits=logits,
            parts=signed_sums(ones, np.concatenate([matrix, bias[:, None]], axis=1).T),
            coefficients=a,
            carry=np.abs(matrix),
            sums={
                "linear_weight": signed_sums(slope.T, x),
                "linear_bias": (np.maximum(slope, 0.0).sum(axis=0), np.maximum(-slope, 0.0).sum(axis=0)),
            },
            ways={
                "linear_weight": (np.eye(len(matrix)), np.abs(x)),
                "linear_bias": (np.eye(len(matrix)), np.ones((len(x), 1))),
            },
            scale=scale,
            void=void,
            moved=lambda: _moved(at, s.probability, a, soft),
        )
    ]


def _moved(at: Points, probability: Array, a: Array, soft: bool) -> Array:
    """Sum of abs(x_k d2f / dx dx_k), and over the soft entries c of the targets of abs(t_c d2f / dx dt_c)."""
    matrix, target = at["linear_weight"], at["target"]
    away = matrix - (probability @ matrix)[:, None, :]
    spread = np.matmul(np.swapaxes(probability[:, :, None] * away, 1, 2), away)
    moved = a.sum(axis=1)[:, None] * np.abs(spread * at["input"][:, None, :]).sum(axis=2)
    if soft:
        share = target * np.asarray(at["weight"], np.float64) * (1.0 - at.parameters["label_smoothing"])
        share = np.where((target == 0.0) | (target == 1.0), 0.0, share)
        moved = moved + np.abs(share[:, :, None] * away).sum(axis=1)
    return np.asarray(np.nan_to_num(moved))


def _small_log_probability(at: Points) -> Mask:
    number = at.truth.gradients["target"].exact
    factor = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"], np.float64)
    lost = np.minimum(number, roundings(at.precision) * at.precision.u * factor)
    return np.asarray(least_bound("target", at) < lost, np.bool_)


def _ignored_nan(at: Points) -> Mask:
    """Ignored rows without logits, or without class weights to be multiplied by 0."""
    logits = at["input"] @ at["linear_weight"].T + at.args.get("linear_bias", 0.0)
    nowhere = np.isnan(logits).any(axis=1) | np.isnan(np.sum(at["weight"]))
    return np.asarray(nowhere & (at["target"] == _ignore_index(at)), np.bool_)


def _without_slope(at: Points) -> Mask:
    """Entries of rows without logits to whose probability the loss does not respond."""
    logits = at["input"] @ at["linear_weight"].T + at.args.get("linear_bias", 0.0)
    slope = (1.0 - at.parameters.get("label_smoothing", 0.0)) * np.asarray(at["weight"], np.float64)
    return np.asarray(np.isnan(logits).any(axis=1)[:, None] & (slope == 0.0) & np.ones(at["target"].shape, np.bool_))


def _spoiled_by_ignored(at: Points) -> Mask:
    return np.array(bool(_ignored_nan(at).any()))


OVERFLOW = Witness(args={"input": [["0x1p+100"]], "linear_weight": [["0x1p+100"], [0.0]], "target": [0]})
SOFT_OVERFLOW = replace(OVERFLOW, args={**OVERFLOW.args, "target": [[0.5, 0.5]]})
CONFIDENT = Witness(args={"input": [[16.0]], "linear_weight": [[1.0], [0.0]], "target": [0]})
SOFT_CONFIDENT = replace(CONFIDENT, args={**CONFIDENT.args, "target": [[1.0, 0.0]]})
HALF = Witness(
    args={"input": [[2.5]], "linear_weight": [["0x1.0bcp+2"], ["0x1.808p-13"]], "target": [0]}, dtype="float16"
)
SOFT_HALF = replace(HALF, args={**HALF.args, "target": [[1.0, 0.0]]})
FEATURE_NAN = Witness(args={"input": [["nan"]], "linear_weight": [[1.0], [0.0]], "target": [-100]})


BEYOND_ONE = Witness(
    args={"input": [[1.0]], "linear_weight": [[0.0], [128.0]], "target": [[2.0**-29, 1.0]]}, dtype="bfloat16"
)
"""A target that sums to 1 + 2**-29, which a sum in bfloat16 or float32 does not hold."""


def _confident(outputs: tuple[str, ...], witness: Witness, half: Witness) -> tuple[Fault, ...]:
    def witnesses(output: str) -> tuple[Witness, ...]:
        bias = {"linear_bias": [0.0, 0.0]} if output == "linear_bias" else {}
        return tuple(replace(w, args={**w.args, **bias}) for w in (witness, half))

    return confident_faults(_stages, outputs, witnesses)


HARD_CONFIDENT = _confident(("value", "input", "linear_weight", "linear_bias"), CONFIDENT, HALF)
IGNORED = tuple(
    Fault(
        name=f"ignored row reaches the gradient: {output}",
        where="target ignored, a logit or a class weight nan",
        region=_ignored_nan if output == "input" else _spoiled_by_ignored,
        outputs=(output,),
        seen=NAN,
        upstream="https://github.com/pytorch/pytorch/issues/11551",
        witnesses=(witness,),
    )
    for output, witness in (
        ("input", FEATURE_NAN),
        ("linear_weight", FEATURE_NAN),
        ("linear_bias", replace(FEATURE_NAN, args={**FEATURE_NAN.args, "linear_bias": [0.0, 0.0]})),
    )
)


def _overflow(
    outputs: tuple[str, ...],
    witness: Witness,
    stages: Stages = _stages,
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16"),
) -> tuple[Fault, ...]:
    biased = replace(witness, args={**witness.args, "linear_bias": [0.0, 0.0]})
    return overflow_faults(stages, outputs, {o: biased if o == "linear_bias" else witness for o in outputs}, dtypes)


def _flushed(at: Points) -> Mask:
    """Subnormal entries of the matrix, or a gradient below the normal numbers: so much of it that other roundings
    reach its bound."""
    stage = _stages(at)[0]
    subnormal = np.where(np.abs(at["linear_weight"]) < at.precision.smallest_normal, at["linear_weight"], 0.0)
    least = np.minimum(np.abs(at.truth.gradients["input"].exact), at.precision.smallest_normal)
    lost = np.abs(slope_of(stage.logits, stage.coefficients) @ subnormal) + least
    return np.asarray(lost > 0.5 * least_bound("input", at), np.bool_)


FEATURES, CLASSES, MANY = 16, 10, 32
DOT_PRODUCTS = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
"""Whether the CPU multiplies bfloat16 by VDPBF16PS, which takes subnormal numbers for 0."""


def _subnormal_matrix(target: list[Any]) -> tuple[Fault, ...]:
    """The Fault of matrix products of many rows, where this machine has the instruction."""
    fault = Fault(
        name="subnormal numbers are 0 in bfloat16 matrix products of 32 rows and more",
        where="bfloat16 on CPUs with avx512_bf16: subnormal entries of linear_weight, or a gradient that is subnormal,"
        " beyond half the bound",
        region=_flushed,
        outputs=("input",),
        dtypes=("bfloat16",),
        seen=LOST_DIGITS,
        witnesses=(
            Witness(
                args={
                    "input": [[0.0] * FEATURES] * MANY,
                    "linear_weight": [["0x1.8p-127"] * FEATURES, *([["-0x1.8p-127"] * FEATURES] * (CLASSES - 1))],
                    "target": target * MANY,
                },
                dtype="bfloat16",
            ),
        ),
    )
    return (fault,) if DOT_PRODUCTS else ()


FAULTS = (
    *IGNORED,
    *_subnormal_matrix([0]),
    *HARD_CONFIDENT,
    *_overflow(("value", "input", "linear_weight", "linear_bias"), OVERFLOW),
)
SOFT_FAULTS = (
    *_subnormal_matrix([[1.0, *([0.0] * (CLASSES - 1))]]),
    *(
        replace(fault, dtypes=ALL_DTYPES, witnesses=(*fault.witnesses, BEYOND_ONE))
        if fault.outputs == ("input",)
        else fault
        for fault in _confident(("value", "input", "linear_weight", "linear_bias"), SOFT_CONFIDENT, SOFT_HALF)
    ),
    Fault(
        name="confident: probability gradient log(1 + tail) instead of log1p(tail)",
        where="-log p so small that the rounding of 1 + (sum of the other exponentials) exceeds its bound",
        region=_small_log_probability,
        outputs=("target",),
        dtypes=("float64", "float32", "float16"),
        seen=LOST_DIGITS,
        upstream=LOG_SOFTMAX,
        witnesses=(SOFT_CONFIDENT,),
    ),
    Fault(
        name="probability gradient: 0 times the nan of a log-probability",
        where="label_smoothing 1 or weight 0, logits nan",
        region=_without_slope,
        outputs=("target",),
        seen=NAN,
        witnesses=(Witness(args={**SOFT_CONFIDENT.args, "input": [["nan"]]}, parameters={"label_smoothing": 1.0}),),
    ),
    *_overflow(("value", "input", "target", "linear_weight", "linear_bias"), SOFT_OVERFLOW),
)


def of_module(input: torch.Tensor, linear_weight: torch.Tensor, target: torch.Tensor, **given: Any) -> torch.Tensor:
    """torch.nn.LinearCrossEntropyLoss with the matrix and the bias of the call as its parameters."""
    bias = given.pop("linear_bias", None)
    classes, features = linear_weight.shape
    module = torch.nn.LinearCrossEntropyLoss(
        features, classes, bias=bias is not None, dtype=linear_weight.dtype, **given
    )
    state = {"linear.weight": linear_weight} | ({} if bias is None else {"linear.bias": bias})
    result: torch.Tensor = torch.func.functional_call(module, state, (input, target))
    return result


def _calling(
    loss: Any, tensors: Mapping[str, torch.Tensor], parameters: Mapping[str, Any], reduction: str
) -> torch.Tensor:
    result: torch.Tensor = loss(**tensors, **parameters, reduction=reduction)
    return result


def _module(base: Subject, suffix: str) -> Subject:
    return replace(
        base,
        name=f"nn.LinearCrossEntropyLoss{suffix}",
        loss=torch.nn.LinearCrossEntropyLoss,
        call=partial(_calling, of_module),
        expression="of_module",
        setup="import torch\nfrom harness.subjects.linear_cross_entropy import of_module",
        twin=base,
    )


def _lost_in_difference(output: str) -> Region:
    """Where the gradient is the small difference of two sums, over the softmax and over the targets."""

    def region(at: Points) -> Mask:
        (stage,) = _stages(at)
        a, x = stage.coefficients, np.abs(at["input"])

        def carried(slope: Array) -> Array:
            if output == "input":
                return slope @ stage.carry
            return np.asarray(slope.T @ x if output == "linear_weight" else slope.sum(axis=0))

        p = softmax(stage.logits.exact).probability
        lost = DIFFERENCE * accumulator(at.precision).u * carried(p * a.sum(axis=1, keepdims=True) + a)
        if "weight" not in at.args and output == "input":
            # Where p is 1 to the bit the two sums are the same, and what is lost is the gradient itself.
            lost = np.minimum(lost, carried(np.abs(slope_of(stage.logits, a))))
        return np.asarray(least_bound(output, at) < lost, np.bool_)

    return region


def _chunk_stages(at: Points) -> list[Stage]:
    """Logits in the accumulator's dtype; the gradient of the matrix as two sums in the dtype itself."""
    (stage,) = _stages(at)
    p, a = softmax(stage.logits.exact).probability, stage.coefficients
    above, below = signed_sums((p * a.sum(axis=1, keepdims=True)).T, at["input"])
    more, less = signed_sums(a.T, at["input"])
    # The two sums one after the other: a partial sum has terms of both.
    largest = np.maximum(above + less, below + more)
    wide = {"linear_weight": (largest, largest), "linear_bias": stage.sums["linear_bias"]}
    return [stage._replace(sums=wide, wide=True)]


def _sequential(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    rows = len(points["input"])
    return np.asarray(np.abs(got - truth.exact) <= bound + rows * points.precision.u * truth.absolute, np.bool_)


LOST_IN_ROWS = Seen(
    text="digits lost, error within that of sums over the rows one after another", holds=_sequential, exact=False
)


def _infinite_times_0(at: Points) -> Mask:
    """Rows without a share whose loss is infinite or nan all the same: ignored, or of weight 0."""
    (stage,) = _chunk_stages(at)
    largest = accumulator(at.precision).largest
    target, classes = at["target"], len(at["linear_weight"])
    place = np.where((target == _ignore_index(at)) & ((target < 0) | (target >= classes)), 0, target)
    z = stage.logits.exact
    gap = z.max(axis=1) - z[np.arange(len(z)), place]
    endless = without_logits(stage, at) | ~(gap <= largest)
    return np.asarray(endless & (stage.coefficients == 0.0).all(axis=1), np.bool_)


def _chunk_sum_overflows(at: Points) -> Mask:
    """Where the sum up to some chunk of rows is above the largest number of the dtype, unlike that of all rows."""
    x, (classes, features) = at["input"], at["linear_weight"].shape
    slope = slope_of(_stages(at)[0].logits, _stages(at)[0].coefficients)
    rows = 2 ** int(np.ceil(np.log2(max(-(-len(x) // -(-classes // features)), 1))))
    chunks = (slice(start, start + rows) for start in range(0, len(x), rows))
    sums = np.cumsum([slope[chunk].T @ x[chunk] for chunk in chunks], axis=0)
    reached = np.where(np.abs(sums) > at.precision.largest, np.sign(sums), 0.0)
    # The first infinity stays, or becomes nan beside one of the other sign.
    first = reached[np.argmax(reached != 0.0, axis=0), np.arange(classes)[:, None], np.arange(features)]
    return np.asarray((first != 0.0) & (first != reached[-1]), np.bool_)


OPPOSED = Witness(
    args={
        "input": [[6000.0]] * 80 + [[-6000.0]] * 80,
        "linear_weight": [[0.0], [0.0]],
        "target": [0] * 160,
    },
    dtype="float16",
)
DIFFERENCE = 2.0
"""Roundings of each of the two sums."""
IN_CHUNKS = (
    Fault(
        name="chunks: 0 times an infinite loss",
        where="target ignored or of weight 0, features nan or the gap of its logit above the largest number",
        region=_infinite_times_0,
        outputs=("value",),
        seen=NAN,
        versions=">=2.13",
        witnesses=(replace(OVERFLOW, args={**OVERFLOW.args, "target": [-100]}),),
    ),
    *IGNORED,
    *(
        Fault(
            name=f"chunks: gradient as the difference of two sums: {output}",
            where="(sum of the softmax) - (sum of the targets) so small that the rounding of either exceeds its bound",
            region=_lost_in_difference(output),
            outputs=(output,),
            dtypes=("float64", "float32", "bfloat16") if output == "linear_weight" else ("float64", "float32"),
            seen=LOST_DIGITS if output == "input" else LOST_IN_ROWS,
            versions=">=2.13",
            witnesses=(witness,),
        )
        for output, witness in (
            ("input", CONFIDENT),
            ("linear_weight", CONFIDENT),
            ("linear_bias", replace(CONFIDENT, args={**CONFIDENT.args, "linear_bias": [0.0, 0.0]})),
        )
    ),
    replace(HARD_CONFIDENT[0], dtypes=("float64", "float32"), witnesses=(CONFIDENT,)),
    *_overflow(("value", "input", "linear_weight", "linear_bias"), OVERFLOW, _chunk_stages, ("float32", "bfloat16")),
    Fault(
        name="chunks: sums of chunks in float16",
        where="the sum up to some chunk of rows above the largest number, unlike that of all rows",
        region=_chunk_sum_overflows,
        outputs=("linear_weight",),
        dtypes=("float16",),
        seen=PARTIAL,
        versions=">=2.13",
        witnesses=(OPPOSED,),
    ),
)


ELSEWHERE = {f"on another device: {name}": "got a result on cpu" for name in ("linear_weight",)}
OUT_OF_CHUNKS = {
    "double backward": "don't support automatic differentiation, but one of the arguments requires grad",
    "forward-mode": "You must implement the jvp function for custom autograd.Function",
    **{
        f"on another device: {name}": "got a result on cpu"
        for name in ("linear_weight", "target", "linear_bias", "weight")
    },
}


def _chunked(base: Subject) -> Subject:
    """The chunked path with default options, which admits class indices without smoothing."""
    loss = partial(torch.nn.functional.linear_cross_entropy, options=torch.nn.LinearCrossEntropyOptions())
    return replace(
        base,
        name="F.linear_cross_entropy in chunks",
        loss=loss,
        call=partial(_calling, loss),
        expression="partial(F.linear_cross_entropy, options=torch.nn.LinearCrossEntropyOptions())",
        setup=f"from functools import partial\n{FUNCTIONAL}",
        parameters=("ignore_index",),
        lacks=("label_smoothing",),
        faults=IN_CHUNKS,
        unsupported=OUT_OF_CHUNKS,
    )


HARD = builtin(replace(CONTRACT, module=""), faults=FAULTS, unsupported=ELSEWHERE)[0]
HARD = replace(HARD, contract=CONTRACT)
PROBABILITIES = replace(
    builtin(replace(SOFT, module=""), function="linear_cross_entropy", faults=SOFT_FAULTS, unsupported=ELSEWHERE)[0],
    contract=SOFT,
)
SUBJECTS = (
    HARD,
    _module(HARD, ""),
    _chunked(HARD),
    PROBABILITIES,
    _module(PROBABILITIES, "_soft"),
)
