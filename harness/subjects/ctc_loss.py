"""torch's ctc_loss, on log-probabilities and through log_softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.binding import Subject, bind
from harness.bounds import GRADIENT_CONSTANT, VALUE_CONSTANT, depth
from harness.contracts.ctc_loss import CONTRACT, LOGITS
from harness.deviations import LOST_DIGITS, PARTIAL, ZERO, Fault, Mask, Points, Region, Seen, Witness
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.ulp import Array
from reference.numerics import product, softmax
from reference.truth import Output

Tensor = torch.Tensor
F = torch.nn.functional


def of_logits(
    logits: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """ctc_loss of log_softmax."""
    log_probs = F.log_softmax(logits, dim=-1)
    return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def concatenated(
    log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, **given: Any
) -> Tensor:
    """Targets without padding, one after another."""
    rows = zip(torch.atleast_2d(targets), torch.atleast_1d(target_lengths).tolist(), strict=True)
    joined = torch.cat([row[:length] for row, length in rows])
    return F.ctc_loss(log_probs, joined, input_lengths, target_lengths, **given)


def tuples(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, **given: Any) -> Tensor:
    """Lengths as tuples."""
    lengths: Any = [tuple(torch.atleast_1d(x).tolist()) for x in (input_lengths, target_lengths)]
    return F.ctc_loss(log_probs, targets, *lengths, **given)


def _calling(
    loss: Callable[..., Tensor], tensors: Mapping[str, Tensor], parameters: Mapping[str, Any], reduction: str
) -> Tensor:
    return loss(**tensors, **parameters, reduction=reduction)


def _rounding_of_one_shows(name: str) -> Region:
    """Where the rounding of the 1 that every sum of exponentials starts at exceeds the bound, and so does the loss."""

    def region(at: Points) -> Mask:
        p, wanted = at.precision, at.truth.value
        frames = at["input_lengths"]
        moved = np.abs(product(at.truth.gradients[name].exact, at[name])).sum(axis=(1, 2))
        sums = depth(int(np.prod(at[name].shape[1:]))) * wanted.accumulation
        bound = VALUE_CONSTANT * (p.u * (wanted.reference + sums + moved) + p.smallest_subnormal * wanted.underflow)
        # -log Z = (mean cost of an alignment) - (their entropy): what the sums add to their largest term.
        entropy = wanted.reference - 2.0 * wanted.exact if name == "log_probs" else wanted.reference
        lost = np.minimum(entropy, ROUNDINGS * p.u * frames)
        return np.asarray(bound < lost, np.bool_)

    return region


def _small_loss(name: str, witness: Witness) -> Fault:
    return Fault(
        name="confident: log(1 + tail) instead of log1p(tail)",
        where="loss so small that the rounding of 1 + (sum of the other exponentials), once a frame, exceeds its bound",
        region=_rounding_of_one_shows(name),
        outputs=("value",),
        seen=LOST_DIGITS,
        witnesses=(witness,),
    )


ROUNDINGS = 4.0
"""Times that the 1 is rounded at every frame: in the sum, in its logarithm, and so in log_softmax."""
UNSUPPORTED = {
    "double backward": "derivative for aten::_ctc_loss_backward is not implemented",
    "forward-mode": "Trying to use forward AD with _ctc_loss that does not support it",
    "empty batch": "log_probs tensor must not be empty",
    "float16": "\"ctc_loss_cpu\" not implemented for 'Half'",
    "bfloat16": "\"ctc_loss_cpu\" not implemented for 'BFloat16'",
}


def _costs(at: Points) -> tuple[Array, Mask]:
    """-log p of every class at every frame, and the frames within the input length."""
    s = softmax(at["logits"])
    inside = np.arange(s.gap.shape[1]) < at["input_lengths"][:, None]
    return s.gap + s.log_sum[..., None], inside


def _logs_without_digits(at: Points) -> Mask:
    """Frames of rows whose sums of logarithms round by more than 4, and have more than one term to round away."""
    wanted, (cost, inside) = at.truth.value, _costs(at)
    targets, classes = at["targets"], np.arange(cost.shape[2])
    here = np.arange(targets.shape[1]) < at["target_lengths"][:, None]
    emitted = ((targets[:, :, None] == classes) & here[:, :, None]).any(axis=1) | (classes == at.parameters["blank"])
    held = emitted[:, None, :] & inside[:, :, None] & np.isfinite(cost)
    terms = np.where(held, cost, 0.0).max(axis=2)
    apart = np.where(held, terms[:, :, None] - cost, 0.0).max(axis=2)
    # Beside the frame of the largest: what the others cost, and how far its own classes are apart.
    order = np.argsort(terms, axis=1)
    away = np.take_along_axis(terms, order, axis=1)[:, :-1].sum(axis=1)
    away = away + np.take_along_axis(apart, order[:, -1:], axis=1)[:, 0]
    rounding = np.minimum(at.precision.u * wanted.reference, away)
    large = (rounding > LARGE_ROUNDING) & np.isfinite(wanted.exact)
    return np.asarray((large[:, None] & inside)[..., None], np.bool_)


def _log_overflows(at: Points) -> Mask:
    """Frames with a class whose log-probability is below the smallest number, and so -inf."""
    cost, inside = _costs(at)
    return np.asarray((((cost > at.precision.largest) & np.isfinite(cost)).any(axis=2) & inside)[..., None], np.bool_)


SOME_NAN = Seen(text="nan where the truth is a number", holds=lambda got, *others: np.isnan(got), exact=False)


def _nowhere(name: str, witness: Witness) -> Fault:
    """-inf less -inf in an occupancy, and any nan, at entries that do not need them."""

    def region(at: Points) -> Mask:
        x = at[name]
        inside: Mask = np.arange(x.shape[1]) < at["input_lengths"][:, None]
        broken = np.isnan(np.where(inside[..., None], x, 0.0)).any(axis=(1, 2), keepdims=True)
        impossible = np.isneginf(x) if name == "log_probs" else np.isneginf(x).any(axis=2, keepdims=True)
        # What is nan in the truth is not at fault.
        wanted = np.isfinite(at.truth.gradients[name].exact)
        here = (broken | impossible) & inside[..., None]
        if name == "logits":
            # The backward of log_softmax multiplies by its result, in every frame.
            here |= np.isnan(x).any(axis=2, keepdims=True)
        return np.asarray(here & wanted, np.bool_)

    return Fault(
        name="gradient: nan at classes that no alignment passes",
        where="log-probability -inf, or any nan within the input length",
        region=region,
        outputs=(name,),
        seen=SOME_NAN,
        witnesses=(witness,),
    )


def _anything(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    return np.ones(got.shape, np.bool_)


LARGE_ROUNDING = 4.0
LENGTHS = {"targets": [[1]], "input_lengths": [2], "target_lengths": [1]}
CERTAIN = Witness(args={"log_probs": [[[-16.0, 0.0], [-16.0, 0.0]]], **LENGTHS})
CERTAIN_LOGITS = Witness(args={"logits": [[[0.0, 16.0]]], **LENGTHS, "input_lengths": [1]})

LANES = 8
WIDE_LANES = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether the CPU adds in 16 lanes and not in 8; with these the row of 128,256 classes stays within its bound."""


def _many_in_lanes(at: Points) -> Mask:
    """Rows of so many classes C that a sum in running lanes may err beyond the bound of a gradient.

    The backward of log_softmax subtracts softmax times the sum of the upstream gradient over the classes. A lane adds
    C / LANES terms one after the other (Higham 2002, section 4.2), the bound is that of a pairwise sum; in both the
    sum of abs(terms) is the same.
    """
    classes = np.shape(at["logits"])[-1]
    beyond = classes / LANES > GRADIENT_CONSTANT * (1.0 + depth(classes))
    return np.full(np.shape(at.truth.value.exact), beyond)


def _of_running_sums(got: Array, truth: Output, points: Points, bound: Array) -> Mask:
    """What running lanes explain: softmax (C / LANES) u sum of abs(terms), which is at most 2; and rounding."""
    x, u = np.asarray(points["logits"], np.float64), points.precision.u
    running = 2.0 * x.shape[-1] / LANES * u * softmax(x).probability
    return np.asarray(np.abs(got - truth.exact) <= running + GRADIENT_CONSTANT * u * np.abs(truth.exact), np.bool_)


RUNNING_SUMS = Fault(
    name="gradient: sums over classes in 8 running lanes",
    where="CPUs without AVX-512 (seen with AVX2): more classes than a sum in running lanes keeps to the bound",
    region=_many_in_lanes,
    outputs=("logits",),
    dtypes=("float32",),
    seen=Seen(text="an error of up to C / 8 roundings of the softmax", holds=_of_running_sums, exact=False),
    witnesses=(Witness(args={"logits": [[[0.0] * 64_000]], **LENGTHS, "input_lengths": [1]}),),
)

LARGE_LOGITS = Witness(args={"logits": [[[0.0, 0.0, "0x1p+40"], [0.0, 128.0, 0.0]]], **LENGTHS})
OF_LOGITS = (
    Fault(
        name="occupancy as the exponential of a sum of large logarithms",
        where="loss and log-probabilities so large that their rounding, which the exponential magnifies, exceeds 4",
        region=_logs_without_digits,
        outputs=("logits",),
        seen=Seen(text="no digit left: inf, nan, 0 or any number", holds=_anything, exact=False),
        witnesses=(LARGE_LOGITS,),
    ),
    Fault(
        name="a log-probability leaves the range",
        where="-log p of a class above the largest number",
        region=_log_overflows,
        outputs=("logits",),
        dtypes=("float32",),
        seen=PARTIAL,
        witnesses=(Witness(args={"logits": [[["-0x1p+127", "0x1p+127"]]], **LENGTHS, "input_lengths": [1]}),),
    ),
    Fault(
        name="zero_infinity hides an overflow",
        where="zero_infinity, a loss above the largest number of the dtype",
        region=lambda at: at.truth.value.exact * at.parameters.get("zero_infinity", False) > at.precision.largest,
        outputs=("value",),
        dtypes=("float32",),
        seen=ZERO,
        witnesses=(
            Witness(
                args={"logits": [[["-0x1p+127", "0x1p+126"]] * 2], **LENGTHS, "target_lengths": [0]},
                parameters={"zero_infinity": True},
            ),
        ),
    ),
    *(() if WIDE_LANES else (RUNNING_SUMS,)),
    _small_loss("logits", CERTAIN_LOGITS),
    _nowhere("logits", Witness(args={"logits": [[["-inf", 0.0], [0.0, "-inf"]]], **LENGTHS})),
)

FUNCTION, MODULE = builtin(
    CONTRACT,
    faults=(
        _small_loss("log_probs", CERTAIN),
        _nowhere("log_probs", Witness(args={"log_probs": [[["-inf", 0.0], [0.0, "-inf"]]], **LENGTHS})),
    ),
    unsupported=UNSUPPORTED,
)
SETUP = f"{FUNCTIONAL}\nfrom harness.subjects.ctc_loss import"


def _way(loss: Callable[..., Tensor], name: str) -> Subject:
    """Another way to say the same call, which must agree with the functional form."""
    return replace(
        FUNCTION,
        name=f"F.ctc_loss ({name})",
        loss=loss,
        call=partial(_calling, loss),
        expression=loss.__name__,
        setup=f"{SETUP} {loss.__name__}",
        twin=FUNCTION,
    )


SUBJECTS = (
    FUNCTION,
    MODULE,
    _way(concatenated, "concatenated targets"),
    _way(tuples, "lengths as tuples"),
    bind(
        of_logits,
        LOGITS,
        name="F.ctc_loss of F.log_softmax",
        expression="of_logits",
        setup=f"{SETUP} of_logits",
        faults=OF_LOGITS,
        unsupported=UNSUPPORTED,
        origin="torch",
    ),
)
