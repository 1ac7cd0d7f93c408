"""Parameters of losses of classes, vectors and sequences that are ignored, misplaced or combined wrongly; ties."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.controls.control import Call, Control, control
from tests.controls.parameters import without

row = partial(control, "parameters")
edge = partial(control, "boundary and ties")
CE = "cross_entropy"
FLOAT32 = "float32"


def with_own_class(a: Call) -> Tensor:
    """multi_margin_loss whose mean over classes counts the margin of the target itself."""
    weight = 1.0 if a.weight is None else a.weight[a.target]
    return a.reduced(a.rows() + weight * a.margin**a.p / a.input.shape[1])


def past_the_end(a: Call) -> Tensor:
    """multilabel_margin_loss whose -1 are skipped and do not end the labels."""
    order = torch.argsort((a.target < 0).to(torch.int8), dim=-1, stable=True)
    return a.torch(target=a.target.gather(-1, order))


CONTROLS: tuple[Control, ...] = (
    row(CE, "ignores ignore_index", "laws", "ignored", without(ignore_index=-100), FLOAT32),
    row(CE, "ignores the class weights", "laws", "law", without(weight=None), FLOAT32),
    row("nll_loss", "ignores the class weights", "laws", "law", without(weight=None), FLOAT32),
    row(
        "nll_loss",
        "takes the weight of the next class",
        "value",
        "unstable",
        lambda a: a.torch(weight=None if a.weight is None else a.weight.roll(1)),
        FLOAT32,
    ),
    row("multi_margin_loss", "ignores p", "laws", "law", without(p=1), FLOAT32),
    row("multi_margin_loss", "ignores the margin", "laws", "law", without(margin=1.0), FLOAT32),
    edge("multi_margin_loss", "counts the margin of the target itself", "laws", "law", with_own_class, FLOAT32),
    edge("multilabel_margin_loss", "goes on after the first -1", "laws", "law", past_the_end, FLOAT32),
    row(
        "multilabel_soft_margin_loss",
        "sums over the classes",
        "laws",
        "law",
        lambda a: a.torch() * a.input.shape[-1],
        FLOAT32,
    ),
    row("multilabel_soft_margin_loss", "ignores the class weights", "laws", "law", without(weight=None), FLOAT32),
    row("cosine_similarity", "ignores eps", "value", "unstable", without(eps=1e-8), FLOAT32),
    edge(
        "cosine_embedding_loss",
        "goes on below 0",
        "laws",
        "law",
        lambda a: a.reduced(
            torch.where(a.target > 0, 1 - (c := F.cosine_similarity(a.input1, a.input2, -1)), c - a.margin)
        ),
        FLOAT32,
    ),
    row(
        "pairwise_distance",
        "subtracts eps",
        "laws",
        "law",
        lambda a: a.torch(eps=-a.eps) + 1e-3 * a.x1.sum(-1),
        FLOAT32,
    ),
    row(
        "pairwise_distance",
        "takes a high order for the infinite one",
        "value",
        "unstable",
        lambda a: a.torch(p=20.0) if a.p == math.inf else a.torch(),
        FLOAT32,
    ),
    row("triplet_margin_loss", "ignores p", "laws", "law", without(p=2.0), FLOAT32),
    row(
        "triplet_margin_loss",
        "exchanges positive and negative",
        "laws",
        "law",
        lambda a: a.torch(positive=a.negative, negative=a.positive),
        FLOAT32,
    ),
    edge(
        "triplet_margin_with_distance_loss",
        "goes on below 0",
        "laws",
        "law",
        lambda a: (
            a.torch()
            if a.swap
            else a.reduced(
                a.margin + F.pairwise_distance(a.anchor, a.positive) - F.pairwise_distance(a.anchor, a.negative)
            )
        ),
        FLOAT32,
    ),
    *(
        row(
            f"triplet_margin_with_distance_loss{kind}",
            "exchanges positive and negative",
            "special",
            "unstable",
            lambda a: a.torch(positive=a.negative, negative=a.positive),
            FLOAT32,
        )
        for kind in ("", "_cosine", "_maximum", "_squared")
    ),
    row("ctc_loss", "ignores zero_infinity", "special", "finite-for-inf", without(zero_infinity=True), FLOAT32),
    row(
        "ctc_loss",
        "ignores the input lengths",
        "laws",
        "law",
        lambda a: a.torch(input_lengths=torch.full_like(a.input_lengths, len(a.log_probs))),
        FLOAT32,
    ),
    row(
        "ctc_loss_of_logits",
        "ignores the target lengths",
        "laws",
        "law",
        lambda a: a.torch(target_lengths=torch.full_like(a.target_lengths, a.targets.shape[-1])),
        FLOAT32,
    ),
    row(
        "ctc_loss_of_logits",
        "is not normalised",
        "special",
        "unstable",
        lambda a: F.ctc_loss(
            a.logits, a.targets, a.input_lengths, a.target_lengths, a.blank, a.reduction, a.zero_infinity
        ),
        FLOAT32,
    ),
    row("linear_cross_entropy", "forgets the bias", "laws", "law", without(linear_bias=None), FLOAT32),
    row("linear_cross_entropy_soft", "ignores label_smoothing", "laws", "law", without(label_smoothing=0.0), FLOAT32),
    row(
        "adaptive_log_softmax_with_loss",
        "forgets the bias of the head",
        "laws",
        "law",
        without(head_bias=None),
        FLOAT32,
    ),
    row(
        "adaptive_log_softmax_with_loss_log_prob",
        "forgets the bias of the head",
        "special",
        "unstable",
        without(head_bias=None),
        FLOAT32,
    ),
    row(
        "adaptive_log_softmax_with_loss_predict",
        "forgets the bias of the head",
        "value",
        "unstable",
        without(head_bias=None),
        FLOAT32,
    ),
)
