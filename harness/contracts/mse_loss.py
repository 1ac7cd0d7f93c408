"""Mean squared error."""

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real, Weight
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect, scaled
from harness.special import ErrorInput, Special, table
from reference import reductions
from reference.regression import mse_loss


def _halved(at: Points) -> Moved:
    p, value = at.precision, at.truth.value.exact
    inside = (value >= 2.0 * p.smallest_normal) & (value <= 0.25 * p.largest)
    args = {"input": at["input"], "target": at["target"]}
    applies = everywhere(at) & inside & ("weight" not in at.args)
    return Moved(args=args, parameters={"delta": p.largest}, applies=applies, factor=2.0)


ERRORS = (
    ErrorInput(
        name="shapes that do not broadcast",
        call=lambda torch, loss: loss(torch.ones(3), torch.ones(2)),
        raises=("RuntimeError",),
        match="must match the size",
    ),
    ErrorInput(
        name="weight of another shape",
        call=lambda torch, loss: loss(torch.ones(3), torch.ones(3), weight=torch.ones(2)),
        raises=("ValueError",),
        match="must have the same size",
    ),
    ErrorInput(
        name="integers",
        call=lambda torch, loss: loss(torch.ones(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)),
        raises=("NotImplementedError", "RuntimeError"),
        match="not implemented for 'Long'",
    ),
    ErrorInput(
        name="complex numbers",
        call=lambda torch, loss: loss(torch.ones(3, dtype=torch.complex64), torch.ones(3, dtype=torch.complex64)),
        raises=("NotImplementedError", "RuntimeError"),
        match="not implemented for 'ComplexFloat'",
    ),
    ErrorInput(
        name="reduction of no known name",
        call=lambda torch, loss: loss(torch.ones(3), torch.ones(3), reduction="average"),
        raises=("ValueError",),
        match="not a valid value for reduction",
    ),
)

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
    scales="B_ref = abs(f): a subtraction, then products; B_abs = weight (abs(x) + abs(y))**2; order weight * (d * d)",
    specials=(
        *table("input", {"target": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("weight", {"input": 2.0, "target": 0.5}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        *table("input", {"target": "+largest"}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        Special(condition="input=target=+inf", args={"input": ["+inf"], "target": ["+inf"]}, want="nan"),
        Special(condition="input=+inf, target=-inf", args={"input": ["+inf"], "target": ["-inf"]}, want="+inf"),
        Special(condition="tie: input=target=1.5", args={"input": [1.5], "target": [1.5]}, want="0"),
        Special(
            condition="weight=0 beside a wrong row", args={"input": [2.0], "target": [0.5], "weight": [0.0]}, want="0"
        ),
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
    errors=ERRORS,
)
