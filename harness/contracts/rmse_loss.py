"""Root of the mean squared error of a vector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Contract
from harness.deviations import Points
from harness.domain import Arg, Embedding
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, perfect, permuted, scaled
from harness.special import Special, table
from reference.mp import robust
from reference.robust import rmse_loss

NEAR = 1e-2


def _near_kink(at: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(at.truth.value.exact < NEAR, np.bool_)


def _distance(at: Points) -> Moved:
    args = {"x1": at["input"], "x2": at["target"]}
    inside = at.truth.value.partial
    assert inside is not None
    p = at.precision
    applies = everywhere(at) & (inside[0] >= p.smallest_normal) & (inside[1] <= p.largest)
    factor = 1.0 / np.sqrt(np.shape(at["input"])[-1])
    return Moved(args=args, parameters={"eps": 0.0}, applies=np.asarray(applies, np.bool_), factor=factor)


CONTRACT = Contract(
    name="rmse_loss",
    module="RMSELoss",
    summary="Root of the mean squared difference of two vectors.",
    formula="sqrt(mean((input - target)**2)) over entries; at 0 any gradient of norm at most 1 / sqrt(D)",
    sources=("the root of torch.nn.MSELoss", "sklearn.metrics.root_mean_squared_error"),
    dims={"D": (5, 1, 8)},
    args=(Arg(name="input", kind=Embedding(), dims=("D",)), Arg(name="target", kind=Embedding(), dims=("D",))),
    oracle=rmse_loss,
    definition=robust.rmse_loss,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f), sums abs(f) (h roundings): differences, then squares at a common scale; B_abs = the "
    "largest abs(x) + abs(y), of the gradient 1 / sqrt(D)",
    specials=(
        *table("input", {"target": [[0.0, 2.0]]}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}, rest=(1.0,)),
        *table("target", {"input": [[0.0, 2.0]]}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}, rest=(1.0,)),
        Special(condition="no difference", args={"input": [[1.5, -2.0]], "target": [[1.5, -2.0]]}, want="0"),
        Special(condition="zero vectors", args={"input": [[0.0, 0.0]], "target": [[0.0, 0.0]]}, want="0"),
        Special(condition="differences 3 and 4", args={"input": [[3.0, 5.0]], "target": [[0.0, 1.0]]}, want=3.5355),
        Special(
            condition="differences 1, 1, 1, 1",
            args={"input": [[1.0, 2.0, 3.0, 4.0]], "target": [[0.0, 1.0, 2.0, 3.0]]},
            want=1.0,
        ),
        Special(
            condition="mean of two vectors",
            args={"input": [[3.0, 3.0], [1.0, 1.0]], "target": [[0.0, 0.0], [0.0, 0.0]]},
            want=2.0,
            reduction="mean",
        ),
    ),
    laws=(
        exchanged("input", "target"),
        perfect("input", "target"),
        non_negative(),
        scaled(("input", "target"), 3, 1),
        permuted(("input", "target"), name="the order of entries does not matter"),
        Sibling(
            name="is pairwise_distance over sqrt(D)",
            move=_distance,
            loss=lambda torch: torch.nn.functional.pairwise_distance,
            real=("x1", "x2"),
        ),
    ),
    near_kink=_near_kink,
)
