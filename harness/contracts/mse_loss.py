"""Mean squared error."""

from harness.contract import Contract
from harness.contracts.differences import DIFFERENCE, INTEGERS, WEIGHT, WEIGHT_SIZES
from harness.contracts.errors import of_one_shape, ones, refused
from harness.deviations import Points
from harness.domain import Arg, Real, Weight
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect, scaled
from harness.special import Special
from reference import reductions
from reference.mp import elementwise
from reference.regression import mse_loss


def _halved(at: Points) -> Moved:
    p, value = at.precision, at.truth.value.exact
    inside = (value >= 2.0 * p.smallest_normal) & (value <= 0.25 * p.largest)
    args = {"input": at["input"], "target": at["target"]}
    applies = everywhere(at) & inside & ("weight" not in at.args)
    return Moved(args=args, parameters={"delta": p.largest}, applies=applies, factor=2.0)


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
    definition=elementwise.mse_loss,
    reductions={"sum": reductions.total, "mean": reductions.weighted_mean},
    scales="B_ref = abs(f): a subtraction, then products; B_abs = weight (abs(x) + abs(y))**2; order weight * (d * d)",
    specials=(
        *DIFFERENCE,
        *WEIGHT,
        Special(
            condition="mean of (1 - 3)**2 and (2 + 1)**2",
            args={"input": [1.0, 2.0], "target": [3.0, -1.0]},
            want=6.5,
            reduction="mean",
        ),
        Special(
            condition="mean of (1 - 3)**2 and (2 + 1)**2 with weights 1 and 3",
            args={"input": [1.0, 2.0], "target": [3.0, -1.0], "weight": [1.0, 3.0]},
            want=7.75,
            reduction="mean",
        ),
    ),
    laws=(
        exchanged("input", "target"),
        perfect("input", "target"),
        non_negative(),
        scaled(("input", "target"), 3, 2),
        Sibling(
            name="is twice huber_loss with no linear part",
            move=_halved,
            loss=lambda torch: lambda **k: torch.nn.functional.huber_loss(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
    errors=(
        *of_one_shape(),
        *WEIGHT_SIZES,
        INTEGERS,
        refused(
            "complex numbers",
            ones(3, 3, dtype="complex64"),
            "NotImplementedError",
            "not implemented for 'ComplexFloat'",
        ),
    ),
)
