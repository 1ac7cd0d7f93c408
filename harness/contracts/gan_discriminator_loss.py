"""Loss of the discriminator of a generative adversarial network, of its logits."""

from __future__ import annotations

from typing import Any

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Law, Moved, Sibling, everywhere, non_negative
from harness.special import Special, table
from reference.generative import gan_discriminator_loss
from reference.mp import generative


def _turned(at: Points) -> Moved:
    args = {"real": -at["fake"], "fake": -at["real"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=everywhere(at))


def _cross_entropies(torch: Any) -> Any:
    def of_labels(real: Any, fake: Any) -> Any:
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        one, zero = torch.ones_like(real), torch.zeros_like(fake)
        return entropy(real, one, reduction="none") + entropy(fake, zero, reduction="none")

    return of_labels


CONTRACT = Contract(
    name="gan_discriminator_loss",
    module="MinimaxDiscriminatorLoss",
    summary="Cross-entropy of a discriminator's logits of a real and of a generated sample.",
    formula="-log(sigmoid(real)) - log(1 - sigmoid(fake))",
    sources=("I. Goodfellow et al., Generative Adversarial Nets (2014), equation 1",),
    args=(Arg(name="real", kind=Real()), Arg(name="fake", kind=Real())),
    oracle=gan_discriminator_loss,
    definition=generative.gan_discriminator_loss,
    scales="B_ref = abs(f), two positive terms; B_abs = 2 + abs(real) + abs(fake), of the gradients 1",
    specials=(
        *table("real", {"fake": 0.5}, {"+inf": "formula", "-inf": "+inf", "nan": "nan"}),
        *table("fake", {"real": 0.5}, {"+inf": "+inf", "-inf": "formula", "nan": "nan"}),
        Special(condition="certain and right of both", args={"real": ["+inf"], "fake": ["-inf"]}, want="0"),
        Special(condition="certain and wrong of both", args={"real": ["-inf"], "fake": ["+inf"]}, want="+inf"),
        Special(condition="undecided at the equilibrium: log 4", args={"real": [0.0], "fake": [0.0]}, want=1.386294),
        Special(condition="wrong by 100 and by 50", args={"real": [-100.0], "fake": [50.0]}, want=150.0),
        Special(
            condition="mean of undecided and of wrong by 1000",
            args={"real": [0.0, -1000.0], "fake": [0.0, 1000.0]},
            want=1000.693147,
            reduction="mean",
        ),
    ),
    laws=(
        non_negative(),
        Law(
            name="real and generated change places with the sign",
            move=_turned,
            gradients={"real": ("fake", -1.0), "fake": ("real", -1.0)},
        ),
        Sibling(
            name="is binary_cross_entropy_with_logits of labels 1 and 0, added",
            move=_same,
            loss=_cross_entropies,
            real=("real", "fake"),
        ),
    ),
)
