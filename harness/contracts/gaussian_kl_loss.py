"""Divergence of a diagonal Gaussian from the standard normal: the regulariser of a variational autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Embedding, Logits
from harness.laws import Law, Moved, Sibling, Vanishing, everywhere, non_negative, permuted
from harness.special import Special, table
from reference.generative import gaussian_kl_loss
from reference.mp import generative

NO_DISTRIBUTION = ("outside", "there is no normal distribution of infinite mean or variance")


def _mirror(at: Points) -> Moved:
    return Moved(args={**at.args, "mu": -at["mu"]}, parameters=at.parameters, applies=everywhere(at))


def _standard(at: Points) -> Moved:
    nothing = np.zeros(np.shape(at["mu"]))
    return Moved(args={"mu": nothing, "log_var": nothing}, parameters=at.parameters, applies=everywhere(at))


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={}, applies=everywhere(at))


def _of_distributions(torch: Any) -> Any:
    def divergence(mu: Any, log_var: Any) -> Any:
        encoded = torch.distributions.Normal(mu, (0.5 * log_var).exp(), validate_args=False)
        standard = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
        return torch.distributions.kl_divergence(encoded, standard).sum(dim=-1)

    return divergence


CONTRACT = Contract(
    name="gaussian_kl_loss",
    module="GaussianKLLoss",
    summary="Kullback-Leibler divergence of a Gaussian of diagonal covariance from the standard normal distribution.",
    formula="sum of (mu**2 + exp(log_var) - 1 - log_var) / 2 over the dimensions",
    sources=("D. Kingma and M. Welling, Auto-Encoding Variational Bayes (2014), appendix B",),
    dims={"D": (5, 1, 8)},
    args=(
        Arg(name="mu", kind=Embedding(), dims=("D",)),
        Arg(name="log_var", kind=Logits(), dims=("D",)),
    ),
    oracle=gaussian_kl_loss,
    definition=generative.gaussian_kl_loss,
    layouts=("rows", "strided"),
    scales=(
        "B_ref = abs(f), a sum of terms that are not negative; B_abs = sum of (mu**2 + exp(z) + 1 + abs(z)) / 2, "
        "of the gradient (1 + exp(z)) / 2"
    ),
    specials=(
        *table("mu", {"log_var": [[0.5, -0.5]]}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}, rest=(1.0,)),
        *table("log_var", {"mu": [[0.5, 1.0]]}, {"+inf": NO_DISTRIBUTION, "-inf": "+inf", "nan": "nan"}, rest=(1.0,)),
        Special(condition="the standard normal itself", args={"mu": [[0.0, 0.0]], "log_var": [[0.0, 0.0]]}, want="0"),
        Special(
            condition="of variance 1: half the squared mean",
            args={"mu": [[3.0, -4.0]], "log_var": [[0.0, 0.0]]},
            want=12.5,
        ),
        Special(condition="log_var=1: e / 2 - 1", args={"mu": [[0.0]], "log_var": [[1.0]]}, want=0.35914),
        Special(condition="log_var=-1: 1 / (2 e)", args={"mu": [[0.0]], "log_var": [[-1.0]]}, want=0.18394),
        Special(
            condition="a variance of 1 + 2**-10: near log_var**2 / 4",
            args={"mu": [[0.0]], "log_var": [[2.0**-10]]},
            want=2.38496e-07,
        ),
    ),
    laws=(
        non_negative(),
        Vanishing(name="0 for the standard normal distribution", move=_standard),
        Law(
            name="the sign of the mean does not matter",
            move=_mirror,
            gradients={"mu": ("mu", -1.0), "log_var": ("log_var", 1.0)},
        ),
        permuted(("mu", "log_var"), name="the order of dimensions does not matter"),
        Sibling(
            name="is kl_divergence of torch.distributions.Normal",
            move=_same,
            loss=_of_distributions,
            real=("mu", "log_var"),
        ),
    ),
)
