"""Losses of metric learning: triplets, contrastive pairs and contrastive classification."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from suites.specimens.specimen import Specimen, reduced

SQUARED_TRIPLET = "triplet_margin_with_distance_loss_squared"


# -- triplets of distances ---------------------------------------------------------------------------------------------


def triplet_margin_loss_by_clamp(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """The lead of the positive over the negative, clamped."""
    near, far = F.pairwise_distance(anchor, positive), F.pairwise_distance(anchor, negative)
    return reduced(torch.clamp(near - far + margin, min=0.0), reduction)


# -- FaceNet: triplets of squared distances ----------------------------------------------------------------------------


def facenet_triplet_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """The squared differences, summed."""
    near = (anchor - positive).pow(2).sum(dim=-1)
    far = (anchor - negative).pow(2).sum(dim=-1)
    return reduced(F.relu(near - far + margin), reduction)


def _squared_by_products(x: Tensor, y: Tensor) -> Tensor:
    return ((x * x).sum(dim=-1) - 2.0 * (x * y).sum(dim=-1) + (y * y).sum(dim=-1)).clamp(min=0.0)


def facenet_triplet_loss_by_products(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """norm(x)**2 - 2 x.y + norm(y)**2, as a matrix of distances is made, which cancels where x is near y."""
    near, far = _squared_by_products(anchor, positive), _squared_by_products(anchor, negative)
    return reduced(F.relu(near - far + margin), reduction)


class _SquaredGap(torch.autograd.Function):
    """norm(a - p)**2 - norm(a - n)**2 as (n - p) . ((a - p) + (a - n)): no term is larger than those squares."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        ctx.save_for_backward(anchor, positive, negative)
        largest = torch.stack([x.abs().amax(dim=-1, keepdim=True) for x in (anchor, positive, negative)]).amax(dim=0)
        unit = torch.where(largest > 2.0**500, torch.full_like(largest, 2.0**-515), torch.ones_like(largest))
        a, p, n = anchor * unit, positive * unit, negative * unit
        gap = ((n - p) * ((a - p) + (a - n))).sum(dim=-1, keepdim=True)
        gap = torch.where(anchor.isinf().any(dim=-1, keepdim=True), torch.nan, gap)
        return (gap / unit / unit).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, ...]:
        anchor, positive, negative = ctx.saved_tensors
        g = upstream[..., None]
        slopes = (negative - positive, positive - anchor, anchor - negative)
        return tuple(torch.where(g == 0, 0.0, 2.0 * g * slope) for slope in slopes)


def rectified(gap: Tensor) -> Tensor:
    """max(gap, 0), whose gradient is nan where the gap is."""
    live = torch.where(gap.isnan(), gap, 1.0).detach()
    return torch.where(gap <= 0, 0.0, gap * live)


def facenet_triplet_loss_by_factors(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 0.2, reduction: str = "mean"
) -> Tensor:
    """The difference of squares by factors, in float64; rows that would leave its range are scaled down."""
    gap = _SquaredGap.apply(*(x.to(torch.float64) for x in (anchor, positive, negative)))
    return reduced(rectified(gap + margin).to(anchor.dtype), reduction)


# -- contrastive pairs -------------------------------------------------------------------------------------------------


def contrastive_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """With F.pairwise_distance, whose eps of 1e-6 is added to every difference."""
    d = F.pairwise_distance(input1, input2)
    value = 0.5 * target * d.pow(2) + 0.5 * (1 - target) * torch.clamp(margin - d, min=0.0).pow(2)
    return reduced(value, reduction)


def contrastive_loss_of_root(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """With the root of the squares, whose slope at 0 is nan."""
    d = torch.sqrt(torch.sum((input1 - input2) ** 2, dim=1))
    value = 0.5 * target * d**2 + 0.5 * (1 - target) * F.relu(margin - d) ** 2
    return reduced(value, reduction)


class _Length(torch.autograd.Function):
    """The Euclidean norm at a power of two near the largest entry; its gradient is the unit vector, or 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=-1, keepdim=True)
        mantissa, _ = torch.frexp(largest)
        unit = torch.where(largest.isfinite() & (largest > 0), largest / (2.0 * mantissa), 1.0)
        part = x / unit
        size = part.square().sum(dim=-1, keepdim=True).sqrt()
        ctx.save_for_backward(part / torch.where(size == 0, 1.0, size))
        return (size * unit).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (direction,) = ctx.saved_tensors
        g = upstream[..., None]
        return torch.where(g == 0, 0.0, direction * g)


def contrastive_loss_of_norm(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Each label by a branch of its own, in float64: squares without a root, and a norm with a slope of 0 at 0."""
    difference = input1.to(torch.float64) - input2.to(torch.float64)
    similar = (target == 1)[..., None]
    near = torch.where(similar, difference, 0.0).square().sum(dim=-1)
    far = rectified(margin - _Length.apply(torch.where(similar, 0.0, difference))).square()
    known = torch.where((target == 0) | (target == 1), 0.5, torch.nan)
    return reduced((known * torch.where(target == 1, near, far)).to(input1.dtype), reduction)


# -- InfoNCE -----------------------------------------------------------------------------------------------------------


def info_nce_loss(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of the logits of MoCo, whose confident rows lose their digits."""
    own = torch.einsum("nc,nc->n", query, positive).unsqueeze(-1)
    others = torch.einsum("nc,nkc->nk", query, negatives)
    logits = torch.cat([own, others], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=query.device), reduction=reduction)


def info_nce_loss_of_exponentials(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """The formula as it is written, whose exponentials overflow."""
    own = torch.exp((query * positive).sum(dim=-1) / temperature)
    others = torch.exp((query.unsqueeze(1) * negatives).sum(dim=-1) / temperature).sum(dim=-1)
    return reduced(-torch.log(own / (own + others)), reduction)


WITHOUT_THRESHOLD = 40.0
"""Beyond it softplus(x) is x to an ulp of float64."""


def info_nce_loss_of_softplus(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.1, reduction: str = "mean"
) -> Tensor:
    """softplus(logsumexp of the negatives - the positive), in float64."""
    q = query.to(torch.float64)
    own = (q * positive).sum(dim=-1) / temperature
    others = (q.unsqueeze(1) * negatives).sum(dim=-1) / temperature
    value = F.softplus(torch.logsumexp(others, dim=-1) - own, threshold=WITHOUT_THRESHOLD)
    return reduced(value.to(query.dtype), reduction)


# -- 1 - cosine --------------------------------------------------------------------------------------------------------


def _of_cosine(cosine: Tensor, target: Tensor, margin: float, reduction: str) -> Tensor:
    return reduced(torch.where(target == 1, 1 - cosine, F.relu(cosine - margin)), reduction)


def cosine_distance_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - F.cosine_similarity, which cancels for parallel vectors."""
    return _of_cosine(F.cosine_similarity(input1, input2, dim=-1), target, margin, reduction)


def cosine_distance_loss_of_normalised(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 less the dot product of normalised vectors."""
    cosine = (F.normalize(input1, dim=-1) * F.normalize(input2, dim=-1)).sum(dim=-1)
    return _of_cosine(cosine, target, margin, reduction)


def _unit(x: Tensor) -> tuple[Tensor, Tensor]:
    """The unit vector of x in float64, and whether x is 0: then it is 0."""
    x = x.to(torch.float64)
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    mantissa, _ = torch.frexp(largest)
    whole = torch.where(largest > 0, largest / (2.0 * mantissa), 1.0)
    part = x / whole
    size = part.square().sum(dim=-1, keepdim=True)
    return part / torch.where(size == 0, 1.0, size).sqrt(), (largest == 0).squeeze(-1)


def cosine_distance_loss_of_chord(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Half the squared chord is 1 - cosine of unit vectors that are near, of x and -y 1 + cosine; in float64."""
    (a, no_a), (b, no_b) = _unit(input1), _unit(input2)
    cosine = torch.where(no_a | no_b, 0.0, (a * b).sum(dim=-1))
    chord, opposite = 0.5 * (a - b).square().sum(dim=-1), 0.5 * (a + b).square().sum(dim=-1)
    lack = torch.where(cosine > 0.5, chord, 1.0 - cosine)
    gap = torch.where(cosine < -0.5, opposite - (1.0 + margin), cosine - margin)
    value = torch.where(target == 1, lack, torch.where(target == -1, rectified(gap), torch.nan))
    return reduced(value.to(input1.dtype), reduction)


# -- losses that tie a batch together ----------------------------------------------------------------------------------


def nt_xent_loss(z1: Tensor, z2: Tensor, temperature: float = 0.5) -> Tensor:
    """Exponentials of the matrix of cosines, without its diagonal."""
    count = len(z1)
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    similarity = torch.exp(z @ z.T / temperature)
    others = similarity.masked_select(~torch.eye(2 * count, dtype=torch.bool)).view(2 * count, -1)
    positive = torch.exp((z[:count] * z[count:]).sum(dim=1) / temperature).repeat(2)
    return (-torch.log(positive / others.sum(dim=1))).mean()


def supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Means over the positives of each, which may be none: 0 / 0."""
    z = F.normalize(embeddings, dim=1)
    logits = z @ z.T / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(z), dtype=z.dtype)
    positive = (labels[:, None] == labels).to(z.dtype) * others
    log_prob = logits - torch.log((torch.exp(logits) * others).sum(dim=1, keepdim=True))
    return -((positive * log_prob).sum(dim=1) / positive.sum(dim=1)).mean()


def _cosines(z: Tensor) -> Tensor:
    """In float64, -inf on the diagonal."""
    unit = F.normalize(z.double(), dim=1, eps=0.0)
    return (unit @ unit.T).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)


def sound_nt_xent_loss(z1: Tensor, z2: Tensor, temperature: float = 0.5) -> Tensor:
    """Cross-entropy of the matrix of cosines, in float64."""
    count = len(z1)
    target = torch.arange(2 * count).roll(count)
    return F.cross_entropy(_cosines(torch.cat([z1, z2])) / temperature, target).to(z1.dtype)


def sound_supervised_contrastive_loss(embeddings: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Log-probabilities in float64; an embedding without another of its label costs nothing."""
    positive = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
    log_prob = F.log_softmax(_cosines(embeddings) / temperature, dim=1)
    cost = -torch.where(positive, log_prob, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    return cost.mean().to(embeddings.dtype)


SPECIMENS = (
    Specimen(
        loss=triplet_margin_loss_by_clamp,
        like="triplet_margin_loss",
        form="usual",
        source="clamp(d(anchor, positive) - d(anchor, negative) + margin, min=0)",
        shows={
            "range": ("partial-range",),
            "nonfinite": ("finite-for-nan",),
            "special": ("finite-for-nan", "partial-range"),
        },
    ),
    Specimen(
        loss=facenet_triplet_loss,
        like=SQUARED_TRIPLET,
        form="usual",
        source="Schroff, Kalenichenko and Philbin, CVPR 2015, equation 3, as it is written",
        shows={
            "range": ("partial-range",),
            "nonfinite": ("finite-for-nan",),
            "special": ("finite-for-nan", "partial-range"),
        },
    ),
    Specimen(
        loss=facenet_triplet_loss_by_products,
        like=SQUARED_TRIPLET,
        form="usual",
        source="the distance matrix of online triplet mining",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "partial-range", "vanished"),
            "nonfinite": ("finite-for-nan",),
            "special": ("finite-for-nan", "partial-range"),
        },
    ),
    Specimen(
        loss=facenet_triplet_loss_by_factors,
        like=SQUARED_TRIPLET,
        form="sound",
        source="difference of squares by factors, in float64",
        grade="reference",
        gradient="mixed-stable",
    ),
    Specimen(
        loss=contrastive_loss,
        like="contrastive_loss",
        form="usual",
        source="F.pairwise_distance in Siamese networks",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range",),
            "laws": ("law",),
            "nonfinite": ("nan",),
            "reductions": ("absolute-only",),
            "special": ("absolute-only", "nan", "partial-range", "unstable"),
        },
    ),
    Specimen(
        loss=contrastive_loss_of_root,
        like="contrastive_loss",
        form="usual",
        source="Hadsell, Chopra and LeCun, CVPR 2006, equation 4, as it is written",
        shows={
            "range": ("nan", "partial-range"),
            "nonfinite": ("nan",),
            "special": ("nan", "partial-range"),
        },
    ),
    Specimen(
        loss=contrastive_loss_of_norm,
        like="contrastive_loss",
        form="sound",
        source="a branch for each label, a norm with a slope of 0 at 0, in float64",
        grade="reference",
        gradient="mixed-stable",
    ),
    Specimen(
        loss=info_nce_loss,
        like="info_nce_loss",
        form="usual",
        source="He et al., CVPR 2020, algorithm 1 (MoCo), without its normalisation",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("partial-range", "vanished"),
            "special": ("absolute-only", "vanished"),
        },
    ),
    Specimen(
        loss=info_nce_loss_of_exponentials,
        like="info_nce_loss",
        form="usual",
        source="van den Oord, Li and Vinyals, arXiv:1807.03748, equation 4, as it is written",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("nan", "overflow", "partial-range", "vanished"),
            "special": ("absolute-only", "nan", "vanished"),
            "reductions": ("absolute-only",),
        },
    ),
    Specimen(
        loss=info_nce_loss_of_softplus,
        like="info_nce_loss",
        form="sound",
        source="softplus of logsumexp, in float64",
        grade="reference",
        gradient="mixed-stable",
    ),
    Specimen(
        loss=cosine_distance_loss,
        like="cosine_embedding_loss",
        form="usual",
        source="1 - torch.nn.functional.cosine_similarity",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range", "vanished"),
            "special": ("partial-range",),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=cosine_distance_loss_of_normalised,
        like="cosine_embedding_loss",
        form="usual",
        source="the dot product of F.normalize, as in BYOL and SimSiam",
        shows={
            "value": ("absolute-only", "unstable"),
            "gradient": ("absolute-only", "unstable"),
            "range": ("partial-range", "vanished"),
            "special": ("partial-range",),
            "laws": ("law",),
        },
    ),
    Specimen(
        loss=cosine_distance_loss_of_chord,
        like="cosine_embedding_loss",
        form="sound",
        source="half the squared chord of unit vectors, in float64",
        grade="reference",
    ),
    Specimen(
        loss=nt_xent_loss,
        like="nt_xent_loss",
        form="usual",
        source="the code of SimCLR that is most often copied",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("vanished",),
            "special": ("vanished",),
        },
    ),
    Specimen(
        loss=sound_nt_xent_loss,
        like="nt_xent_loss",
        form="sound",
        source="cross_entropy of cosines, in float64",
        grade="mixed-stable",
    ),
    Specimen(
        loss=supervised_contrastive_loss,
        like="supervised_contrastive_loss",
        form="usual",
        source="the reference code of Khosla et al., without its guard",
        shows={
            "value": ("absolute-only",),
            "gradient": ("absolute-only",),
            "range": ("nan",),
            "special": ("nan",),
            "nonfinite": ("nan",),
        },
    ),
    Specimen(
        loss=sound_supervised_contrastive_loss,
        like="supervised_contrastive_loss",
        form="sound",
        source="log_softmax of cosines, in float64",
        grade="mixed-stable",
    ),
)
