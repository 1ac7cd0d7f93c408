"""Mean absolute error, of real and of complex numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.contracts.differences import DIFFERENCE, NEAR, WEIGHT, WEIGHT_SIZES
from harness.contracts.errors import of_one_shape
from harness.deviations import Points
from harness.domain import Arg, Embedding, Real, Weight
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect, scaled
from harness.special import Special, table
from reference import reductions
from reference.mp import elementwise
from reference.regression import complex_l1_loss, l1_loss


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(at["input"] - at["target"]) < NEAR, np.bool_)


def _unsmoothed(at: Points) -> Moved:
    args = {"input": at["input"], "target": at["target"]}
    return Moved(args=args, parameters={"beta": 0.0}, applies=everywhere(at) & ("weight" not in at.args))


CONTRACT = Contract(
    name="l1_loss",
    module="L1Loss",
    summary="Absolute difference of prediction and target.",
    formula="weight * abs(input - target)",
    sources=("torch.nn.L1Loss", "torch.nn.functional.l1_loss (weight)"),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Real()),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    oracle=l1_loss,
    definition=elementwise.l1_loss,
    reductions={"sum": reductions.total, "mean": reductions.weighted_mean},
    scales="B_ref = abs(f): one subtraction, then a product; B_abs = weight (abs(x) + abs(y)), of the gradient weight",
    specials=(
        *DIFFERENCE,
        *WEIGHT,
        Special(
            condition="mean of abs(1 - 3) and abs(2 + 1)",
            args={"input": [1.0, 2.0], "target": [3.0, -1.0]},
            want=2.5,
            reduction="mean",
        ),
    ),
    laws=(
        exchanged("input", "target"),
        perfect("input", "target"),
        non_negative(),
        scaled(("input", "target"), 3, 1),
        Sibling(
            name="is smooth_l1_loss with beta = 0",
            move=_unsmoothed,
            loss=lambda torch: lambda **k: torch.nn.functional.smooth_l1_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    errors=(*of_one_shape(), *WEIGHT_SIZES),
    near_kink=_near_kink,
)


def _complex_near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(at["input"] - at["target"]).max(axis=-1) < NEAR, np.bool_)


def _infinite(argument: str, other: str) -> tuple[Special, ...]:
    """Special values of the real part of ``argument``; an infinite part makes the modulus infinite, beside nan too."""
    rows = []
    for value in ("+0", "-0", "+subnormal", "-subnormal", "+normal", "-normal", "+largest", "-largest"):
        args = {argument: [[value, 0.0]], other: [[0.0, 0.0]]}
        rows.append(Special(condition=f"{argument}={value}+0i", args=args, want="formula", covers=((argument, value),)))
    for value, want in (("+inf", "+inf"), ("-inf", "+inf"), ("nan", "nan")):
        args = {argument: [[value, 0.0]], other: [[0.0, 0.0]]}
        rows.append(Special(condition=f"{argument}={value}+0i", args=args, want=want, covers=((argument, value),)))
    return tuple(rows)


COMPLEX = replace(
    CONTRACT,
    name="l1_loss_complex",
    module="",
    summary="Modulus of the difference of complex predictions and targets, given as real and imaginary part.",
    formula="weight * abs(input - target), abs the modulus",
    sources=("torch.nn.L1Loss, 'Supports real-valued and complex-valued inputs'",),
    dims={"parts": (2,)},
    args=(
        Arg(name="input", kind=Embedding(), dims=("parts",)),
        Arg(name="target", kind=Embedding(), dims=("parts",)),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    oracle=complex_l1_loss,
    definition=elementwise.complex_l1_loss,
    specials=(
        *_infinite("input", "target"),
        *_infinite("target", "input"),
        *table(
            "weight",
            {"input": [[3.0, 4.0]], "target": [[0.0, 0.0]]},
            {"+inf": "+inf", "-inf": "-inf", "nan": "nan"},
        ),
        Special(condition="tie: 1+2i against itself", args={"input": [[1.0, 2.0]], "target": [[1.0, 2.0]]}, want="0"),
        Special(
            condition="both parts infinite", args={"input": [["+inf", "-inf"]], "target": [[0.0, 0.0]]}, want="+inf"
        ),
        Special(
            condition="a part infinite, the other nan",
            args={"input": [["+inf", "nan"]], "target": [[0.0, 0.0]]},
            want="+inf",
        ),
        Special(
            condition="a modulus beyond the largest number",
            args={"input": [["+largest", "+largest"]], "target": [[0.0, 0.0]]},
            want="formula",
        ),
        Special(
            condition="a difference beyond the largest number",
            args={"input": [["+largest", 0.0]], "target": [["-largest", 0.0]]},
            want="formula",
        ),
        Special(condition="3+4i against 0", args={"input": [[3.0, 4.0]], "target": [[0.0, 0.0]]}, want=5.0),
    ),
    laws=(exchanged("input", "target"), perfect("input", "target"), non_negative(), scaled(("input", "target"), 3, 1)),
    errors=(),
    near_kink=_complex_near_kink,
)
