"""Gaussian negative log-likelihood with a variance for every element."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract, Parameter
from harness.contracts.errors import of_one_shape, ones, refused
from harness.deviations import Points
from harness.domain import Arg, NonNegative, Real
from harness.laws import Law, Moved, exchanged, non_negative
from harness.special import SPECIAL_VALUES, Special, Wanted, table
from harness.ulp import round_to
from reference.likelihood import gaussian_nll_loss_either_gradient
from reference.mp import elementwise

NEGATIVE = ("outside", "a variance is not negative")
VARIANCES: dict[str, Wanted | tuple[str, str]] = {
    **dict.fromkeys((v for v in SPECIAL_VALUES if v[0] == "-" and v != "-0"), NEGATIVE),
    "+inf": "+inf",
    "nan": "nan",
}


def _clamped(at: Points) -> Moved:
    """A variance below eps counts as eps, where eps is a number of the dtype."""
    eps = float(at["eps"])
    exact = float(round_to(at.precision, eps)) == eps
    return Moved(
        args={**at.args, "var": np.full_like(at["var"], eps)},
        parameters=at.parameters,
        applies=(at["var"] < eps) & exact,
    )


def _near_clamp(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(at["var"] < at["eps"] + 1e-3, np.bool_)


CONTRACT = Contract(
    name="gaussian_nll_loss",
    module="GaussianNLLLoss",
    summary="Negative log-likelihood of a target under a Gaussian of predicted mean and variance.",
    formula="(log(m) + (input - target)**2 / m) / 2, m = max(var, eps); full adds log(2 pi) / 2",
    sources=(
        "torch.nn.GaussianNLLLoss",
        "D. Nix and A. Weigend, Estimating the mean and variance of the target probability distribution (1994)",
    ),
    args=(
        Arg(name="input", kind=Real()),
        Arg(name="target", kind=Real()),
        Arg(name="var", kind=NonNegative(), broadcasts=("float", "(N, 1)", "(N,)", "(1, C)")),
    ),
    parameters=(Parameter(name="full", values=(False, True)), Parameter(name="eps", values=(1e-6, 0.5))),
    oracle=gaussian_nll_loss_either_gradient,
    definition=elementwise.gaussian_nll_loss_either_gradient,
    scales=(
        "B_ref = (abs(log m) + d**2 / m) / 2; B_abs = 1 + abs(log m) + (abs(x) + abs(y))**2 / m; order d * d / m; "
        "of var up to eps both gradients count, 0 and the documented one that 'ignores' the clamp"
    ),
    specials=(
        *table("input", {"target": 0.0, "var": 1.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("target", {"input": 0.0, "var": 1.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
        *table("var", {"input": 1.0, "target": 0.5}, VARIANCES),
        Special(condition="perfect mean, variance 1", args={"input": [0.5], "target": [0.5], "var": [1.0]}, want="0"),
        Special(
            condition="perfect mean, variance 0 counts as eps",
            args={"input": [0.5], "target": [0.5], "var": [0.0]},
            want=-6.907755279,
        ),
        Special(
            condition="off by 2 at variance 4, full",
            args={"input": [2.5], "target": [0.5], "var": [4.0]},
            parameters={"full": True},
            want=2.1120857138,
        ),
    ),
    laws=(
        exchanged("input", "target"),
        Law(
            name="a variance below eps counts as eps",
            move=_clamped,
            gradients={"input": ("input", 1.0), "target": ("target", 1.0), "var": ("var", 1.0)},
        ),
        non_negative(lambda at: np.asarray(at["var"] >= 1.0, np.bool_), "never below 0 for variances of at least 1"),
    ),
    near_kink=_near_clamp,
    errors=(
        *of_one_shape(arguments=3, unknown="is not valid"),
        refused("negative variance", lambda torch: (*ones(3, 3)(torch), -torch.ones(3)), "ValueError", "negative"),
        refused("negative scalar variance", lambda torch: (*ones(3, 3)(torch), -1.0), "ValueError", "negative"),
        refused("variance of another shape", ones(3, 3, 2), "ValueError", "incorrect size"),
        refused("variance of a class", ones((2, 3), (2, 3), 3), "ValueError", "incorrect size"),
        refused("variance repeated along two axes", ones((2, 3), (2, 3), (1, 1)), "ValueError", "incorrect size"),
    ),
)
