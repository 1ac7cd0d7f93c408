"""Structured arguments and results: boxes, a dict and a list of inputs, varargs, a dict that holds the loss."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from lossproof import Result, validate
from lossproof.inputs import boxes, class_index, logits, real


def iou_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """1 less the intersection over the union."""
    top_left = torch.maximum(predicted[:, :2], wanted[:, :2])
    bottom_right = torch.minimum(predicted[:, 2:], wanted[:, 2:])
    both = (bottom_right - top_left).clamp(min=0).prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (predicted, wanted)]
    return 1 - both / (areas[0] + areas[1] - both)


def l2_penalty(*parameters: Tensor) -> Tensor:
    """Half the sum of all squares."""
    return sum((0.5 * p.square().sum() for p in parameters), torch.zeros(()))


def deep_supervision(outputs: list[Tensor], target: Tensor) -> Tensor:
    """Cross-entropy of every stage of a network, later ones with more weight."""
    losses = [torch.nn.functional.cross_entropy(o, target, reduction="none") for o in outputs]
    return sum((2.0 ** (i + 1 - len(losses)) * loss for i, loss in enumerate(losses)), torch.zeros(()))


class Detector:
    """An object with only ``__call__``, whose inputs are dicts and whose result is one."""

    def __call__(self, outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        classes = torch.nn.functional.cross_entropy(outputs["scores"], targets["labels"])
        places = (outputs["places"] - targets["places"]).abs().mean()
        return {"loss": classes + places, "classes": classes, "places": places}


DETECTOR = Detector()


def boxes_validated(**options: Any) -> Result:
    """Corners x1 < x2 and y1 < y2."""
    return validate(iou_loss, inputs={"predicted": boxes("N"), "wanted": boxes("N")}, **options)


def penalty_validated(**options: Any) -> Result:
    """``*parameters`` takes a list of declarations."""
    shapes = [real(3, 4, low=-4.0, high=4.0), real(4, low=-4.0, high=4.0)]
    return validate(l2_penalty, inputs={"*parameters": shapes}, **options)


def stages_validated(**options: Any) -> Result:
    """A list of declarations is a list of tensors."""
    stages = [logits("N", "C"), logits("N", "C")]
    return validate(deep_supervision, inputs={"outputs": stages, "target": class_index("N")}, **options)


def detector_validated(**options: Any) -> Result:
    """``output`` names the part that is the loss."""
    places = real("B", 4, low=-8.0, high=8.0)
    return validate(
        DETECTOR,
        inputs={
            "outputs": {"scores": logits("B", "C"), "places": places},
            "targets": {"labels": class_index("B"), "places": places},
        },
        output="loss",
        name="Detector",
        **options,
    )


if __name__ == "__main__":
    for validated in (boxes_validated, penalty_validated, stages_validated, detector_validated):
        sys.stdout.write(str(validated(dtype="float32")) + "\n")
