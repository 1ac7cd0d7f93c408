"""Logistic loss of a margin."""
from harness.contract import Contract
from harness.domain import Arg, Real, Sign
from reference.binary import soft_margin_loss
CONTRACT = Contract(
    name="soft_margin_loss",
    module="SoftMarginLoss",
    summary="Logistic loss of the margin of a label -1 or 1.",
    formula="log(1 + exp(-target * input))",
    sources=("torch.nn.SoftMarginLoss",),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Sign(), role="target", differentiable=False),
    ),
    oracle=soft_margin_loss,
)
