"""Binary cross-entropy on probabilities."""
from harness.contract import Contract
from harness.domain import Arg, Probability, SoftLabel, Weight
from reference.binary import binary_cross_entropy
CONTRACT = Contract(
    name="binary_cross_entropy",
    module="BCELoss",
    summary="Negative log-likelihood of a Bernoulli label under a probability.",
    formula="-weight * [y * log(x) + (1 - y) * log(1 - x)]",
    sources=("torch.nn.BCELoss",),
    args=(
        Arg(name="input", kind=Probability()),
        Arg(name="target", kind=SoftLabel(), role="target"),
        Arg(name="weight", kind=Weight(), role="weight", optional=True, differentiable=False),
    ),
    oracle=binary_cross_entropy,
)
