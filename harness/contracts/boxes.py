"""What the losses of two boxes (x1, y1, x2, y2) have in common: arguments, special values, laws, kinks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deviations import Points
from harness.domain import Arg, Box
from harness.domain.box import mended
from harness.laws import Law, Moved, everywhere, exchanged, non_negative, perfect, scaled
from harness.special import Special, table

DIMS = {"X": (4,)}
ARGS = (Arg(name="input", kind=Box(), dims=("X",)), Arg(name="target", kind=Box(), dims=("X",)))

NEAR, CALM = 0.02, 50.0
NO_BOX = ("outside", "a box has x1 < x2 and y1 < y2")
NO_AREA = ("outside", "the area leaves the range of the dtype")
NO_SIDE = ("outside", "a box has finite sides")


def arranged(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Copies that are negated or moved have their corners in order again."""
    return {**args, "input": mended(args["input"]), "target": mended(args["target"])}


def near_kink(at: Points) -> npt.NDArray[np.bool_]:
    """Edges that a finite difference would carry over each other, and boxes that it is no small step for."""
    a, b = np.asarray(at["input"], np.float64), np.asarray(at["target"], np.float64)
    pairs = [(a[..., i] - b[..., j]) for k in (0, 1) for i in (k, k + 2) for j in (k, k + 2)]
    pairs += [x[..., k + 2] - x[..., k] for x in (a, b) for k in (0, 1)]
    size = np.abs(np.stack(pairs))
    return np.asarray(((size < NEAR) | (size > CALM)).any(axis=0), np.bool_)


def _rows(argument: str, other: str, beside: list[float]) -> tuple[Special, ...]:
    results: dict[str, Any] = {"+largest": NO_BOX, "-largest": NO_AREA, "+inf": NO_BOX, "-inf": NO_SIDE, "nan": "nan"}
    return table(argument, {other: [beside]}, results, rest=(0.5, 3.0, 2.0))


COORDINATES = (*_rows("input", "target", [1.0, 1.0, 2.0, 4.0]), *_rows("target", "input", [1.0, 1.0, 2.0, 4.0]))


def known(figures: Mapping[str, tuple[list[float], list[float], Any]]) -> tuple[Special, ...]:
    """A row for every pair of boxes with the loss that it must give."""
    return tuple(
        Special(condition=condition, args={"input": [a], "target": [b]}, want=want)
        for condition, (a, b, want) in figures.items()
    )


def _mirror(at: Points) -> Moved:
    args = {n: -np.asarray(at[n], np.float64)[:, [2, 3, 0, 1]] for n in ("input", "target")}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _turned(at: Points) -> Moved:
    args = {n: np.asarray(at[n], np.float64)[:, [1, 0, 3, 2]] for n in ("input", "target")}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


MIRROR = Law(name="mirroring both boxes changes nothing", move=_mirror)
TURNED = Law(name="exchanging the axes changes nothing", move=_turned)
LAWS = (
    non_negative(),
    perfect("input", "target", name="0 of a box and itself"),
    exchanged("input", "target"),
    MIRROR,
    TURNED,
    scaled(("input", "target"), 3.0, 0.0, name="the size of both boxes does not matter"),
)
