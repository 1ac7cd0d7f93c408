"""Losses of a Wasserstein adversarial network: of the critic and of the generator; the hinge generator has the same."""

from __future__ import annotations

from dataclasses import replace

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Law, Moved, everywhere, exchanged, perfect, scaled
from harness.special import Special, table
from reference.generative import wasserstein_critic_loss, wasserstein_generator_loss
from reference.mp import generative


def _turned(at: Points) -> Moved:
    return Moved(args={"fake": -at["fake"]}, parameters=at.parameters, applies=everywhere(at), factor=-1.0)


CRITIC = Contract(
    name="wasserstein_critic_loss",
    module="WassersteinDiscriminatorLoss",
    summary="Difference of a critic's scores of a generated and of a real sample.",
    formula="fake - real",
    sources=("M. Arjovsky, S. Chintala and L. Bottou, Wasserstein GAN (2017), algorithm 1, to be minimised",),
    args=(Arg(name="real", kind=Real()), Arg(name="fake", kind=Real())),
    oracle=wasserstein_critic_loss,
    definition=generative.wasserstein_critic_loss,
    scales="B_ref = abs(f): one subtraction; B_abs = abs(real) + abs(fake), of the gradients 1",
    specials=(
        *table("real", {"fake": 0.5}, {"+inf": "-inf", "-inf": "+inf", "nan": "nan"}),
        *table("fake", {"real": 0.5}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
        Special(condition="both infinite", args={"real": ["+inf"], "fake": ["+inf"]}, want="nan"),
        Special(condition="equal scores", args={"real": [-2.5], "fake": [-2.5]}, want="0"),
        Special(condition="a real sample scored higher", args={"real": [3.0], "fake": [-1.0]}, want=-4.0),
        Special(condition="mean of two", args={"real": [3.0, 1.0], "fake": [-1.0, 2.0]}, want=-1.5, reduction="mean"),
    ),
    laws=(
        exchanged("real", "fake", factor=-1.0, name="real and generated exchanged turn the sign"),
        perfect("fake", "real", name="0 where the scores are equal"),
        scaled(("real", "fake"), 3.0, 1.0),
    ),
)

GENERATOR = replace(
    CRITIC,
    name="wasserstein_generator_loss",
    module="WassersteinGeneratorLoss",
    summary="A critic's score of a generated sample, with its sign turned.",
    formula="-fake",
    sources=("M. Arjovsky, S. Chintala and L. Bottou, Wasserstein GAN (2017), algorithm 1",),
    args=(Arg(name="fake", kind=Real()),),
    oracle=wasserstein_generator_loss,
    definition=generative.wasserstein_generator_loss,
    scales="B_ref = abs(f), exact; B_abs = abs(fake), of the gradient 1",
    specials=(
        *table("fake", {}, {"+inf": "-inf", "-inf": "+inf", "nan": "nan"}),
        Special(condition="a score of 2.5", args={"fake": [2.5]}, want=-2.5),
        Special(condition="mean of two", args={"fake": [3.0, -1.0]}, want=-1.0, reduction="mean"),
    ),
    laws=(
        Law(name="odd", move=_turned, gradients={"fake": ("fake", 1.0)}),
        scaled(("fake",), 3.0, 1.0),
    ),
)

HINGE_GENERATOR = replace(
    GENERATOR,
    name="hinge_generator_loss",
    module="HingeGeneratorLoss",
    summary="The score of a generated sample, with its sign turned, beside the hinge loss of a discriminator.",
    sources=(
        "J. Lim and J. Ye, Geometric GAN (2017)",
        "T. Miyato et al., Spectral Normalization for Generative Adversarial Networks (2018), equation 17",
    ),
)
