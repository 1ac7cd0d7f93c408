"""Hinge loss of the discriminator of a generative adversarial network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Real
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative
from harness.special import Special, table
from harness.ulp import round_to
from reference.generative import hinge_discriminator_loss
from reference.mp import generative

NEAR = 1e-3


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(at["real"] - 1.0) < NEAR) | (np.abs(at["fake"] + 1.0) < NEAR), np.bool_)


def _turned(at: Points) -> Moved:
    args = {"real": -at["fake"], "fake": -at["real"]}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _beyond(at: Points) -> Moved:
    """Scores at the margin or beyond, rounding included."""
    far = {name: np.minimum(1.0 + np.abs(at[name]), at.precision.largest) for name in ("real", "fake")}
    args = {"real": round_to(at.precision, far["real"]), "fake": round_to(at.precision, -far["fake"])}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=everywhere(at))


def _pushed(torch: Any) -> Any:
    def away(real: Any, fake: Any) -> Any:
        hinge, label = torch.nn.functional.hinge_embedding_loss, -torch.ones_like(real)
        return hinge(real, label, reduction="none") + hinge(-fake, label, reduction="none")

    return away


CONTRACT = Contract(
    name="hinge_discriminator_loss",
    module="HingeDiscriminatorLoss",
    summary="What the scores of a real sample lack to 1, and those of a generated one exceed -1.",
    formula="max(0, 1 - real) + max(0, 1 + fake)",
    sources=(
        "J. Lim and J. Ye, Geometric GAN (2017)",
        "T. Miyato et al., Spectral Normalization for Generative Adversarial Networks (2018), equation 16",
    ),
    args=(Arg(name="real", kind=Real()), Arg(name="fake", kind=Real())),
    oracle=hinge_discriminator_loss,
    definition=generative.hinge_discriminator_loss,
    scales="B_ref = abs(f): two terms that are not negative; B_abs = 2 + abs(real) + abs(fake), of the gradients 1",
    specials=(
        *table("real", {"fake": 0.5}, {"+inf": "formula", "-inf": "+inf", "nan": "nan"}),
        *table("fake", {"real": 0.5}, {"+inf": "+inf", "-inf": "formula", "nan": "nan"}),
        Special(condition="both at the margin", args={"real": [1.0], "fake": [-1.0]}, want="0"),
        Special(condition="both beyond the margin", args={"real": ["+inf"], "fake": ["-inf"]}, want="0"),
        Special(condition="undecided", args={"real": [0.0], "fake": [0.0]}, want=2.0),
        Special(condition="inside the margin", args={"real": [0.25], "fake": [-0.5]}, want=1.25),
        Special(condition="mean of two", args={"real": [2.0, -1.0], "fake": [-3.0, 1.0]}, want=2.0, reduction="mean"),
    ),
    laws=(
        non_negative(),
        Vanishing(name="0 beyond the margin", move=_beyond),
        Law(
            name="real and generated change places with the sign",
            move=_turned,
            gradients={"real": ("fake", -1.0), "fake": ("real", -1.0)},
        ),
        Sibling(
            name="is hinge_embedding_loss of label -1, of real and of minus generated",
            move=_same,
            loss=_pushed,
            real=("real", "fake"),
        ),
    ),
    near_kink=_near_kink,
)
