"""Losses of the generator of an adversarial network, of the logits of its discriminator: minimax, nonsaturating."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Moved, Sibling, everywhere, non_negative
from harness.special import Special, table
from reference.generative import gan_generator_minimax_loss, gan_generator_nonsaturating_loss
from reference.mp import generative


def _turned(at: Points) -> Moved:
    return Moved(args={"input": -at["fake"]}, parameters={}, applies=everywhere(at))


def _labelled(at: Points) -> Moved:
    real = np.ones(np.shape(at["fake"]))
    return Moved(args={"input": at["fake"], "target": real}, parameters={}, applies=everywhere(at))


NONSATURATING = Contract(
    name="gan_generator_nonsaturating_loss",
    module="NonsaturatingGeneratorLoss",
    summary="Cross-entropy of the discriminator's logit of a generated sample, taken for a real one.",
    formula="-log(sigmoid(fake))",
    sources=("I. Goodfellow et al., Generative Adversarial Nets (2014), section 3",),
    args=(Arg(name="fake", kind=Real()),),
    oracle=gan_generator_nonsaturating_loss,
    definition=generative.gan_generator_nonsaturating_loss,
    scales="B_ref = abs(f); B_abs = 1 + abs(fake), of the gradient 1",
    specials=(
        *table("fake", {}, {"+inf": "0", "-inf": "+inf", "nan": "nan"}),
        Special(condition="undecided: log 2", args={"fake": [0.0]}, want=0.693147),
        Special(condition="caught by 100: the logit itself", args={"fake": [-100.0]}, want=100.0),
        Special(condition="mean of two", args={"fake": [0.0, -1000.0]}, want=500.346574, reduction="mean"),
    ),
    laws=(
        non_negative(),
        Sibling(
            name="is binary_cross_entropy_with_logits of label 1",
            move=_labelled,
            loss=lambda torch: lambda **k: torch.nn.functional.binary_cross_entropy_with_logits(**k, reduction="none"),
            real=("input", "target"),
        ),
    ),
)

MINIMAX = replace(
    NONSATURATING,
    name="gan_generator_minimax_loss",
    module="MinimaxGeneratorLoss",
    summary="Share of a generated sample in the objective that the discriminator maximises, the generator minimises.",
    formula="log(1 - sigmoid(fake))",
    sources=("I. Goodfellow et al., Generative Adversarial Nets (2014), equation 1",),
    oracle=gan_generator_minimax_loss,
    definition=generative.gan_generator_minimax_loss,
    specials=(
        *table("fake", {}, {"+inf": "-inf", "-inf": "0", "nan": "nan"}),
        Special(condition="undecided: -log 2", args={"fake": [0.0]}, want=-0.693147),
        Special(condition="taken for real by 100: minus the logit", args={"fake": [100.0]}, want=-100.0),
        Special(condition="mean of two", args={"fake": [0.0, 1000.0]}, want=-500.346574, reduction="mean"),
    ),
    laws=(
        Sibling(
            name="is logsigmoid of minus the logit",
            move=_turned,
            loss=lambda torch: torch.nn.functional.logsigmoid,
            real=("input",),
        ),
    ),
)
