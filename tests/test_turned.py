"""What nothing but its values tells of two vectors or two boxes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossproof import validate
from lossproof.inputs import boxes, embedding
from suites.specimens.wild import iou_of_raw_coordinates

VECTORS = {"a": embedding("N", "D"), "b": embedding("N", "D")}


def turned(a: Tensor, b: Tensor) -> Tensor:
    return 1 + F.cosine_similarity(a, b, dim=1)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    return -((a - b).square().sum(dim=1))


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(a, b, dim=1)


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean()


def product(a: Tensor, b: Tensor) -> Tensor:
    """Largest nowhere."""
    return (a * b).sum(dim=1)


def apart(anchor: Tensor, negative: Tensor) -> Tensor:
    return 1 + F.cosine_similarity(anchor, negative, dim=1)


def said(loss: Any, inputs: Any = VECTORS) -> list[tuple[str, str]]:
    result = validate(loss, inputs=inputs, check="mistakes", dtype="float32")
    assert [t.reason for t in result.trials if t.verdict == "error"] == []
    return [(f.severity, f.message) for f in result.findings if f.kind == "turned"]


@pytest.mark.parametrize("loss", [turned, similarity])
def test_two_vectors_that_cost_most_where_they_are_the_same_are_noted(loss: Any) -> None:
    ((severity, message),) = said(loss)
    assert severity == "note"
    assert "a = b costs more than any other a" in message
    assert "is the sign turned?" in message


@pytest.mark.parametrize("loss", [cosine_distance, mean_distance, product])
def test_a_distance_and_what_is_neither_are_not(loss: Any) -> None:
    assert said(loss) == []


def test_a_name_that_says_what_is_to_be_apart_is_heard() -> None:
    assert said(apart, {"anchor": embedding("N", "D"), "negative": embedding("N", "D")}) == []


# -- boxes -------------------------------------------------------------------------------------------------------------


def iou(input: Tensor, target: Tensor) -> Tensor:
    corner, end = torch.max(input[:, :2], target[:, :2]), torch.min(input[:, 2:], target[:, 2:])
    both = (end - corner).clamp(min=0).prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (input, target)]
    return 1 - both / (areas[0] + areas[1] - both)


def at_edges(loss: Any) -> set[tuple[str, str]]:
    result = validate(loss, inputs={"input": boxes("N"), "target": boxes("N")}, check="edges", dtype="float32")
    return {(f.kind, f.message) for f in result.findings}


def test_a_product_of_raw_coordinates_is_nan_for_a_box_at_the_origin_twice() -> None:
    found = at_edges(iou_of_raw_coordinates)
    assert any(
        k == "nan" and "value: all boxes the unit square: input, target: expected a number" in m for k, m in found
    )


def test_a_sound_iou_is_a_number_there() -> None:
    assert at_edges(iou) == set()
