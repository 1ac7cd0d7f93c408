"""Mean squared error."""

from harness.contract import Contract
from harness.domain import Arg, Real, Weight
from harness.laws import exchanged, non_negative, perfect
from harness.special import table
from reference import reductions
from reference.regression import mse_loss

CONTRACT = Contract(
    name="mse_loss",
    module="MSELoss",
    summary="Squared difference of prediction and target.",
    formula="weight * (input - target)**2",
    sources=("torch.nn.MSELoss", "torch.nn.functional.mse_loss (weight)"),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Real()),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    oracle=mse_loss,
    reductions={"sum": reductions.total, "mean": reductions.weighted_mean},
    scales="B_ref = abs(f): one subtraction, then products; B_abs = weight (abs(x) + abs(y))**2; product order weight * (d * d)",
    specials=(
        *table("input", {"target": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
    ),
    laws=(exchanged("input", "target"), perfect("input", "target"), non_negative()),
)
