"""Losses of two boxes (x1, y1, x2, y2): IoU and its logarithm, generalised, distance and complete IoU."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from suites.specimens.specimen import Specimen, reduced

Tensor = torch.Tensor
Gradients = tuple[Tensor, Tensor]
FAR = 2.0**-60


def _single(*boxes: Tensor) -> tuple[Tensor, ...]:
    """Halves in float32, as torchvision has them."""
    return tuple(b if b.dtype in (torch.float32, torch.float64) else b.float() for b in boxes)


# -- as they are published ---------------------------------------------------------------------------------------------


def _intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    x1, y1, x2, y2 = boxes1.unbind(dim=-1)
    x1g, y1g, x2g, y2g = boxes2.unbind(dim=-1)
    left, top = torch.max(x1, x1g), torch.max(y1, y1g)
    right, bottom = torch.min(x2, x2g), torch.min(y2, y2g)
    intersection = torch.zeros_like(x1)
    mask = (bottom > top) & (right > left)
    intersection[mask] = (right[mask] - left[mask]) * (bottom[mask] - top[mask])
    return intersection, (x2 - x1) * (y2 - y1) + (x2g - x1g) * (y2g - y1g) - intersection


def _enclosing(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    x1, y1, x2, y2 = boxes1.unbind(dim=-1)
    x1g, y1g, x2g, y2g = boxes2.unbind(dim=-1)
    return torch.max(x2, x2g) - torch.min(x1, x1g), torch.max(y2, y2g) - torch.min(y1, y1g)


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """A small number in both denominators, halves in float32."""
    boxes1, boxes2 = _single(boxes1, boxes2)
    intersection, union = _intersection_and_union(boxes1, boxes2)
    width, height = _enclosing(boxes1, boxes2)
    enclosing = width * height
    giou = intersection / (union + eps) - (enclosing - union) / (enclosing + eps)
    return reduced(1 - giou, reduction)


def box_iou_loss(input: Tensor, target: Tensor, reduction: str = "mean", eps: float = 1e-6) -> Tensor:
    """Clamped sides, in the dtype of the boxes, and the union no less than a small number."""
    left_top = torch.max(input[..., :2], target[..., :2])
    right_bottom = torch.min(input[..., 2:], target[..., 2:])
    sides = (right_bottom - left_top).clamp(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    area = (input[..., 2] - input[..., 0]) * (input[..., 3] - input[..., 1])
    other = (target[..., 2] - target[..., 0]) * (target[..., 3] - target[..., 1])
    union = torch.max(area + other - overlap, input.new_tensor([eps]))
    return reduced(1 - overlap / union, reduction)


def iou_log_loss(input: Tensor, target: Tensor, reduction: str = "mean", eps: float = 1e-6) -> Tensor:
    """The logarithm of an IoU that is clamped from below."""
    intersection, union = _intersection_and_union(input, target)
    return reduced(-torch.log((intersection / union).clamp(min=eps)), reduction)


def _distance(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    intersection, union = _intersection_and_union(boxes1, boxes2)
    iou = intersection / (union + eps)
    width, height = _enclosing(boxes1, boxes2)
    diagonal = width**2 + height**2 + eps
    x, y = (boxes1[..., 0] + boxes1[..., 2]) / 2, (boxes1[..., 1] + boxes1[..., 3]) / 2
    xg, yg = (boxes2[..., 0] + boxes2[..., 2]) / 2, (boxes2[..., 1] + boxes2[..., 3]) / 2
    return 1 - iou + ((x - xg) ** 2 + (y - yg) ** 2) / diagonal, iou


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """A small number in both denominators and centres apart, halves in float32."""
    return reduced(_distance(*_single(boxes1, boxes2), eps)[0], reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """A small number in the denominators and a difference of arc tangents, halves in float32."""
    boxes1, boxes2 = _single(boxes1, boxes2)
    distance, iou = _distance(boxes1, boxes2, eps)
    x1, y1, x2, y2 = boxes1.unbind(dim=-1)
    x1g, y1g, x2g, y2g = boxes2.unbind(dim=-1)
    v = (4 / math.pi**2) * (torch.atan((x2g - x1g) / (y2g - y1g)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return reduced(distance + alpha * v, reduction)


# -- without cancellation ----------------------------------------------------------------------------------------------


def _area(sides: Tensor) -> Tensor:
    return sides[..., 0] * sides[..., 1]


class _Parts(NamedTuple):
    """Along each axis, (..., 2): the common part of two sides, the rest of each, their gap, the side around both."""

    length: tuple[Tensor, Tensor]
    rest: tuple[Tensor, Tensor]
    common: Tensor
    gap: Tensor
    hull: Tensor
    apart: Tensor

    @classmethod
    def of(cls, a: Tensor, b: Tensor) -> _Parts:
        left, right = torch.max(a[..., :2], b[..., :2]), torch.min(a[..., 2:], b[..., 2:])
        over = right - left
        apart = over <= 0
        length = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
        rests = [(left - box[..., :2]) + (box[..., 2:] - right) for box in (a, b)]
        return cls(
            length,
            (torch.where(apart, length[0], rests[0]), torch.where(apart, length[1], rests[1])),
            torch.where(apart, 0.0 * over, over),
            torch.where(apart, -over, 0.0 * over),
            torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2]),
            apart,
        )

    @property
    def intersection(self) -> Tensor:
        return _area(self.common)

    @property
    def union(self) -> Tensor:
        return _area(self.length[0]) + _area(self.length[1]) - self.intersection

    @property
    def difference(self) -> Tensor:
        """union - intersection, as the areas that one box has alone."""
        (a, b), (p, q) = self.rest, self.length
        return a[..., 0] * p[..., 1] + b[..., 0] * q[..., 1] + self.common[..., 0] * (a[..., 1] + b[..., 1])

    @property
    def excess(self) -> Tensor:
        """enclosing - union, as the areas that no box has."""
        (a, b), gap = self.rest, self.gap
        covered = torch.where(self.apart, self.length[0] + self.length[1], self.hull)
        corners = a[..., 0] * b[..., 1] + b[..., 0] * a[..., 1]
        return corners + gap[..., 0] * self.hull[..., 1] + gap[..., 1] * covered[..., 0]


class _Edges:
    """What the four coordinates of one box move: parts of their own axis and, flipped, of the other one."""

    def __init__(self, at: _Parts, mine: Tensor, other: Tensor, first: int) -> None:
        self.sign = mine.new_tensor([-1.0, -1.0, 1.0, 1.0])
        self.outer = torch.cat([mine[..., :2] < other[..., :2], mine[..., 2:] > other[..., 2:]], dim=-1)
        self.apart = self._along(at.apart)
        self.common, self.common_across = self._both(at.common)
        self.rest, self.rest_across = self._both(at.rest[first])
        self.far_rest, self.far_rest_across = self._both(at.rest[1 - first])
        self.length, self.length_across = self._both(at.length[first])
        self.far_length, self.far_length_across = self._both(at.length[1 - first])
        self.gap, self.hull = self._along(at.gap), self._along(at.hull)

    @staticmethod
    def _along(x: Tensor) -> Tensor:
        return torch.cat([x, x], dim=-1)

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._along(x), self._along(x.flip(-1))

    @property
    def others(self) -> Tensor:
        """The union without common * rest_across."""
        inside = self.common * (self.common_across + self.far_rest_across)
        return inside + self.rest * self.length_across + self.far_rest * self.far_length_across


class _BoxIoU(torch.autograd.Function):
    """1 - IoU, and its derivative in an edge from whether that bounds the intersection or not."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        at = _Parts.of(a, b)
        return at.difference / at.union

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Gradients:  # type: ignore[override]
        a, b = ctx.saved_tensors
        at = _Parts.of(a, b)
        union, intersection = at.union[..., None], at.intersection[..., None]

        def slope(e: _Edges) -> Tensor:
            inner = torch.where(e.apart, 0.0 * union, -(e.common_across / union) * (e.others / union))
            outer = (intersection / union) * (e.length_across / union)
            return e.sign * torch.where(e.outer, outer, inner) * upstream[..., None]

        return slope(_Edges(at, a, b, 0)), slope(_Edges(at, b, a, 1))


class _GeneralizedBoxIoU(torch.autograd.Function):
    """1 - IoU and the excess over the enclosing box, with derivatives whose terms have one sign as far as they can."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        at = _Parts.of(a, b)
        return at.difference / at.union + at.excess / _area(at.hull)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Gradients:  # type: ignore[override]
        a, b = ctx.saved_tensors
        at = _Parts.of(a, b)
        union, intersection = at.union[..., None], at.intersection[..., None]
        enclosing = _area(at.hull)[..., None]

        def slope(e: _Edges) -> Tensor:
            overlap = -(e.common_across / union) * (e.others / union) - e.rest_across / enclosing
            inner = torch.where(e.apart, -e.length_across / enclosing, overlap)
            grown = e.far_length * e.far_rest_across - e.far_rest * e.rest_across - e.length_across * e.gap
            outer = (intersection / union) * (e.length_across / union) + grown / enclosing / e.hull
            return e.sign * torch.where(e.outer, outer, inner) * upstream[..., None]

        return slope(_Edges(at, a, b, 0)), slope(_Edges(at, b, a, 1))


class _LogIoU(torch.autograd.Function):
    """-log(IoU) as log1p of a quotient of areas, and where that may overflow as a difference of logarithms."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        at = _Parts.of(a, b)
        far = at.intersection < FAR * at.union
        return torch.where(far, at.union.log() - at.intersection.log(), torch.log1p(at.difference / at.intersection))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Gradients:  # type: ignore[override]
        a, b = ctx.saved_tensors
        at = _Parts.of(a, b)
        union = at.union[..., None]

        def slope(e: _Edges) -> Tensor:
            inner, outer = -(e.others / union) / e.common, e.length_across / union
            return e.sign * torch.where(e.outer, outer, inner) * upstream[..., None]

        return slope(_Edges(at, a, b, 0)), slope(_Edges(at, b, a, 1))


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of centres, from differences of edges, over the squared diagonal around both."""
    centre = 0.5 * ((a[..., :2] - b[..., :2]) + (a[..., 2:] - b[..., 2:]))
    hull = torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])
    return (centre * centre).sum(dim=-1) / (hull * hull).sum(dim=-1)


def _turned(a: Tensor, b: Tensor) -> Tensor:
    """The difference of two arc tangents as one, with the gradient of each; sides over the longer one."""
    sides = (box[..., 2:] - box[..., :2] for box in (a, b))
    (wa, ha), (wb, hb) = ((s / s.detach().amax(dim=-1, keepdim=True)).unbind(dim=-1) for s in sides)
    turned = torch.atan2(wb * ha - wa * hb, ha * hb + wa * wb).detach()
    plain = torch.atan2(wb, hb) - torch.atan2(wa, ha)
    return turned + (plain - plain.detach())


def sound_iou_log_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_LogIoU.apply(*_single(input, target)).to(input.dtype), reduction)


def sound_distance_box_iou_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    a, b = _single(input, target)
    return reduced((_BoxIoU.apply(a, b) + _apart(a, b)).to(input.dtype), reduction)


def sound_complete_box_iou_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    a, b = _single(input, target)
    overlap = _BoxIoU.apply(a, b)
    v = (2.0 / math.pi * _turned(a, b)) ** 2
    with torch.no_grad():
        alpha = torch.where(v == 0, 0.0 * overlap, v / (overlap + v))
    return reduced((overlap + _apart(a, b) + alpha * v).to(input.dtype), reduction)


def sound_box_iou_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_BoxIoU.apply(*_single(input, target)).to(input.dtype), reduction)


def sound_generalized_box_iou_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    return reduced(_GeneralizedBoxIoU.apply(*_single(input, target)).to(input.dtype), reduction)


SPECIMENS = (
    Specimen(
        loss=generalized_box_iou_loss,
        like="generalized_box_iou_loss",
        form="usual",
        source="the form of torchvision.ops and of fvcore",
        shows={
            "form": ("dtype",),
            "value": ("absolute-only", "dtype", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("vanished",),
            "nonfinite": ("absolute-only",),
            "reductions": ("absolute-only",),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=sound_generalized_box_iou_loss,
        like="generalized_box_iou_loss",
        form="sound",
        grade="reference",
        source="areas as sums of products of parts of sides",
    ),
    Specimen(
        loss=box_iou_loss,
        like="box_iou_loss",
        form="usual",
        source="the form of detection toolboxes",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("vanished",),
            "reductions": ("absolute-only",),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=sound_box_iou_loss,
        like="box_iou_loss",
        form="sound",
        grade="reference",
        source="areas as sums of products of parts of sides",
    ),
    Specimen(
        loss=iou_log_loss,
        like="iou_log_loss",
        form="usual",
        source="the form of detection toolboxes",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only",),
            "range": ("vanished",),
            "reductions": ("absolute-only",),
        },
    ),
    Specimen(
        loss=sound_iou_log_loss,
        like="iou_log_loss",
        form="sound",
        grade="reference",
        source="log1p of a quotient of areas without cancellation",
    ),
    Specimen(
        loss=distance_box_iou_loss,
        like="distance_box_iou_loss",
        form="usual",
        source="the form of torchvision.ops",
        shows={
            "form": ("dtype",),
            "value": ("absolute-only", "dtype", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=sound_distance_box_iou_loss,
        like="distance_box_iou_loss",
        form="sound",
        grade="reference",
        source="areas as sums of products of parts of sides, centres from differences of edges",
    ),
    Specimen(
        loss=complete_box_iou_loss,
        like="complete_box_iou_loss",
        form="usual",
        source="the form of torchvision.ops",
        shows={
            "form": ("dtype",),
            "value": ("absolute-only", "dtype", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=sound_complete_box_iou_loss,
        like="complete_box_iou_loss",
        form="sound",
        grade="reference",
        source="one arc tangent of a quotient, areas as sums of products of parts of sides",
    ),
)
