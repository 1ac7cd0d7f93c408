"""torch's l1_loss, of real and of complex tensors: abs(input - target), times the weight, in the dtype under test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from harness.binding import bind
from harness.contracts.l1_loss import COMPLEX, CONTRACT
from harness.deviations import FINITE, NAN, PARTIAL, ZERO, Fault, Points, Witness, nowhere
from harness.subjects.builtin import FUNCTIONAL, builtin
from harness.subjects.overflow import difference, part_overflows
from harness.ulp import Array, round_to

Mask = npt.NDArray[np.bool_]
TOP = 2.0**127


def _no_number(at: Points) -> Mask:
    return np.asarray(np.isnan(at["input"] - at["target"]), np.bool_)


def l1_faults(**parameters: float) -> tuple[Fault, ...]:
    """The Faults of the gradient that smooth_l1_loss has too, with these parameters in the witness."""

    def region(at: Points) -> Mask:
        return _no_number(at) & all(at[k] == v for k, v in parameters.items())

    return (
        Fault(
            name="the gradient is 0 where the loss is nan",
            where="input - target is nan, whose sign is taken to be 0",
            region=region,
            outputs=("input", "target"),
            seen=FINITE,
            witnesses=(Witness(args={"input": [math.nan], "target": [0.0]}, parameters=parameters),),
            upstream="https://github.com/pytorch/pytorch/issues/41245",
        ),
    )


OVERFLOW = Fault(
    name="the difference overflows before the weight brings it back",
    where="abs(input - target) is beyond the largest number, weight * abs(input - target) is not",
    region=part_overflows("value", lambda at: (difference(at),)),
    outputs=("value",),
    seen=PARTIAL,
    witnesses=(
        Witness(args={"input": [TOP], "target": [-TOP], "weight": [0.0]}),
        Witness(args={"input": [TOP], "target": [-TOP], "weight": [0.25]}),
    ),
)


# -- complex numbers ---------------------------------------------------------------------------------------------------


def _modulus(at: Points) -> Array:
    d = difference(at)
    return np.asarray(np.hypot(d[:, 0], d[:, 1]), np.float64)


def _infinite_part(at: Points) -> Mask:
    parts = np.isinf(difference(at))
    return np.asarray((parts[:, 0] ^ parts[:, 1]) & ~np.isnan(at["input"] - at["target"]).any(axis=-1), np.bool_)


def _infinite_modulus(at: Points) -> Mask:
    return np.asarray(
        np.isfinite(difference(at)).all(axis=-1) & np.isinf(round_to(at.precision, _modulus(at))), np.bool_
    )


WIDE = ("float64", "float32")
TOPS = {"float64": 2.0**1023, "float32": 2.0**127, "float16": 2.0**15}
COMPLEX_FAULTS = (
    Fault(
        name="the modulus overflows before the weight brings it back",
        where="abs(input - target) is beyond the largest number, weight * abs(input - target) is not",
        region=part_overflows("value", lambda at: (round_to(at.precision, _modulus(at)),)),
        outputs=("value",),
        seen=PARTIAL,
        witnesses=tuple(
            Witness(args={"input": [[top, 0.0]], "target": [[-top, 0.0]], "weight": [0.0]}, dtype=dtype)
            for dtype, top in TOPS.items()
        ),
    ),
    Fault(
        name="the gradient of a tiny difference is nan in the elements that fill no vector register",
        where="0 < abs(input - target) < 1 / the largest number, in the last few elements of a tensor",
        region=nowhere,
        outputs=("input", "target"),
        dtypes=WIDE,
        seen=NAN,
        rows={
            f"special: {name}={sign}subnormal+0i -> formula": ("nan",) for name in ("input", "target") for sign in "+-"
        },
    ),
    Fault(
        name="the gradient is nan where a part of the difference is infinite",
        where="the real or the imaginary part of input - target is infinite in the dtype: inf / inf in place of 1",
        region=_infinite_part,
        outputs=("input", "target"),
        seen=NAN,
        witnesses=tuple(
            Witness(args={"input": [[top, 0.0]], "target": [[-top, 0.0]]}, dtype=dtype) for dtype, top in TOPS.items()
        ),
    ),
    Fault(
        name="the gradient is 0 where the modulus overflows",
        where="both parts of input - target are finite, the modulus is beyond the largest number",
        region=_infinite_modulus,
        outputs=("input", "target"),
        dtypes=WIDE,
        seen=ZERO,
        witnesses=tuple(
            Witness(args={"input": [[1.5 * TOPS[dtype]] * 2], "target": [[0.0, 0.0]]}, dtype=dtype) for dtype in WIDE
        ),
    ),
)


def l1_loss_complex(
    input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None = None, reduction: str = "mean"
) -> torch.Tensor:
    """F.l1_loss of complex tensors that are handed over as real and imaginary part."""
    options: dict[str, Any] = {"weight": weight, "reduction": reduction}
    return F.l1_loss(torch.complex(*input.unbind(-1)), torch.complex(*target.unbind(-1)), **options)


SUBJECTS = (
    *builtin(CONTRACT, faults=(OVERFLOW, *l1_faults())),
    bind(
        l1_loss_complex,
        COMPLEX,
        name="F.l1_loss_complex",
        expression=(
            "lambda input, target, **more: "
            "F.l1_loss(torch.complex(*input.unbind(-1)), torch.complex(*target.unbind(-1)), **more)"
        ),
        setup=FUNCTIONAL,
        faults=COMPLEX_FAULTS,
        origin="torch",
        unsupported={"bfloat16": "Expected both inputs to be Half, Float or Double tensors but got BFloat16"},
    ),
)
