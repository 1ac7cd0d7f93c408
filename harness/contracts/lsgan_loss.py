"""Losses of a least squares generative adversarial network: of the discriminator and of the generator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative
from harness.special import Special, table
from reference.generative import lsgan_discriminator_loss, lsgan_generator_loss
from reference.mp import generative


def _mirror(at: Points) -> Moved:
    return Moved(args={**at.args, "fake": -at["fake"]}, parameters=at.parameters, applies=everywhere(at))


def _labelled(at: Points) -> Moved:
    labels = {"real": np.ones(np.shape(at["fake"])), "fake": np.zeros(np.shape(at["fake"]))}
    return Moved(args=labels, parameters=at.parameters, applies=everywhere(at))


def _fooled(at: Points) -> Moved:
    return Moved(args={"fake": np.ones(np.shape(at["fake"]))}, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=everywhere(at))


def _squared_errors(torch: Any) -> Any:
    def of_labels(fake: Any, real: Any = None) -> Any:
        error, one = torch.nn.functional.mse_loss, torch.ones_like(fake)
        if real is None:
            return error(fake, one, reduction="none")
        return error(real, one, reduction="none") + error(fake, torch.zeros_like(fake), reduction="none")

    return of_labels


def _halved(at: Points) -> Moved:
    return replace(_same(at), factor=0.5)


DISCRIMINATOR = Contract(
    name="lsgan_discriminator_loss",
    module="LeastSquaresDiscriminatorLoss",
    summary="Half the squared errors of the scores of a real sample, labelled 1, and of a generated one, labelled 0.",
    formula="((real - 1)**2 + fake**2) / 2",
    sources=("X. Mao et al., Least Squares Generative Adversarial Networks (2017), equation 2 with a = 0, b = 1",),
    args=(Arg(name="real", kind=Real()), Arg(name="fake", kind=Real())),
    oracle=lsgan_discriminator_loss,
    definition=generative.lsgan_discriminator_loss,
    scales=(
        "B_ref = abs(f), of the gradients too; B_abs = ((abs(real) + 1)**2 + fake**2) / 2, "
        "of the gradients abs(real) + 1 and abs(fake); order 0.5 * (d * d + fake * fake)"
    ),
    specials=(
        *table("real", {"fake": 0.5}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("fake", {"real": 0.5}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        Special(condition="both right", args={"real": [1.0], "fake": [0.0]}, want="0"),
        Special(condition="both wrong", args={"real": [0.0], "fake": [1.0]}, want=1.0),
        Special(condition="undecided at the equilibrium", args={"real": [0.5], "fake": [0.5]}, want=0.25),
        Special(condition="mean of two", args={"real": [3.0, 1.0], "fake": [0.0, -4.0]}, want=5.0, reduction="mean"),
    ),
    laws=(
        non_negative(),
        Vanishing(name="0 at the labels", move=_labelled),
        Law(
            name="the sign of the score of a generated sample does not matter",
            move=_mirror,
            gradients={"real": ("real", 1.0), "fake": ("fake", -1.0)},
        ),
        Sibling(
            name="is half of mse_loss against 1 and against 0",
            move=_halved,
            loss=_squared_errors,
            real=("real", "fake"),
        ),
    ),
)

GENERATOR = replace(
    DISCRIMINATOR,
    name="lsgan_generator_loss",
    module="LeastSquaresGeneratorLoss",
    summary="Half the squared error of the score of a generated sample, labelled 1.",
    formula="(fake - 1)**2 / 2",
    sources=("X. Mao et al., Least Squares Generative Adversarial Networks (2017), equation 2 with c = 1",),
    args=(Arg(name="fake", kind=Real()),),
    oracle=lsgan_generator_loss,
    definition=generative.lsgan_generator_loss,
    scales="B_ref = abs(f), of the gradient too; B_abs = (abs(fake) + 1)**2 / 2, of the gradient abs(fake) + 1",
    specials=(
        *table("fake", {}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        Special(condition="taken for real", args={"fake": [1.0]}, want="0"),
        Special(condition="caught", args={"fake": [0.0]}, want=0.5),
        Special(condition="mean of two", args={"fake": [3.0, -1.0]}, want=2.0, reduction="mean"),
    ),
    laws=(
        non_negative(),
        Vanishing(name="0 at the label", move=_fooled),
        Sibling(name="is half of mse_loss against 1", move=_halved, loss=_squared_errors, real=("fake",)),
    ),
)
