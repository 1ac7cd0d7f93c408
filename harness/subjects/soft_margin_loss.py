"""torch's soft_margin_loss: log1p(z) with z = exp(-y x), backward -y z / (1 + z); z in the dtype under test."""

import numpy as np

from harness.bounds import DEFAULT_ORACLE_ULP, VALUE_CONSTANT, bounds
from harness.contracts.soft_margin_loss import CONTRACT
from harness.deviations import INFINITE, NAN, Fault, Mask, Points, Witness
from harness.subjects.builtin import builtin
from harness.ulp import round_to


def _exponential_overflows(at: Points) -> Mask:
    return np.isinf(round_to(at.precision, np.exp(-at["input"] * at["target"])))


def _finite_loss(at: Points) -> Mask:
    """The exponential overflows, and inf is not within the error that a sound loss may have."""
    value, p = at.truth.value, at.precision
    conditioning = p.u * np.abs(at["input"] * at.truth.gradients["input"].exact)
    allowed = bounds(value, p, VALUE_CONSTANT, conditioning, terms=1, oracle_ulp=DEFAULT_ORACLE_ULP).mixed
    return _exponential_overflows(at) & (value.exact + allowed <= p.largest)


WHERE = "exp(-y x) overflows: y x < -88.7 in float32 and bfloat16, below -709.8 in float64, below -11.1 in float16"

SUBJECTS = builtin(
    CONTRACT,
    faults=(
        Fault(
            name="a confidently wrong prediction costs inf",
            where=WHERE,
            region=_finite_loss,
            outputs=("value",),
            seen=INFINITE,
            witnesses=(
                Witness(args={"input": [-100.0], "target": [1.0]}),
                Witness(args={"input": [16.0], "target": [-1.0]}, dtype="float16"),
                Witness(args={"input": [89.0], "target": [-1.0]}, dtype="bfloat16"),
                Witness(args={"input": [-710.0], "target": [1.0]}, dtype="float64"),
            ),
        ),
        Fault(
            name="a confidently wrong prediction has gradient nan",
            where=WHERE,
            region=_exponential_overflows,
            outputs=("input",),
            seen=NAN,
            witnesses=(
                Witness(args={"input": [-100.0], "target": [1.0]}),
                Witness(args={"input": [16.0], "target": [-1.0]}, dtype="float16"),
                Witness(args={"input": [89.0], "target": [-1.0]}, dtype="bfloat16"),
                Witness(args={"input": [-710.0], "target": [1.0]}, dtype="float64"),
            ),
        ),
    ),
)
