"""What the losses of a difference of prediction and target share: special values, calls that must raise, a kink."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.contract import Masks
from harness.contracts.errors import integers, ones, refused
from harness.deviations import Points
from harness.special import Special, table

NEAR = 1e-3
DIFFERENCE = (
    *table("input", {"target": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
    *table("target", {"input": 0.0}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
    *table("input", {"target": "+largest"}, {"+inf": "+inf", "-inf": "+inf", "nan": "nan"}),
    Special(condition="input=target=+inf", args={"input": ["+inf"], "target": ["+inf"]}, want="nan"),
    Special(condition="input=+inf, target=-inf", args={"input": ["+inf"], "target": ["-inf"]}, want="+inf"),
    Special(condition="tie: input=target=1.5", args={"input": [1.5], "target": [1.5]}, want="0"),
)
"""Special values of a loss that is 0 at a difference of 0 and grows without bound on both sides."""
WEIGHT = (
    *table("weight", {"input": 2.0, "target": 0.5}, {"+inf": "+inf", "-inf": "-inf", "nan": "nan"}),
    Special(condition="weight=0 beside a wrong row", args={"input": [2.0], "target": [0.5], "weight": [0.0]}, want="0"),
)
INTEGERS = integers()
WEIGHT_SIZES = (
    refused("weight of another shape", ones(3, 3, 2), "ValueError", "must have the same size"),
    refused("weight that would broadcast", ones((2, 3), (2, 3), 3), "ValueError", "must have the same size"),
)


def kink_at(parameter: str) -> Masks:
    """Differences within NEAR of the parameter, at which the slope of the gradient jumps."""

    def near(at: Points) -> npt.NDArray[np.bool_]:
        return np.asarray(np.abs(np.abs(at["input"] - at["target"]) - at[parameter]) < NEAR, np.bool_)

    return near
