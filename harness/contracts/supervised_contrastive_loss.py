"""Supervised contrastive loss over a batch of embeddings with labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.directions import beginning, embedded, lengthened, reordered
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Embedding
from harness.laws import Law, Moved, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.contrastive import supervised_contrastive_loss
from reference.mp import contrastive

VECTORS = ("embeddings",)
BESIDE: list[Any] = [[2.0, 1.0], [-1.0, 0.5], [-1.0, -1.0]]


def _special(value: str) -> Special:
    labels = {"labels": [[0, 0, 1, 1]]}
    return beginning("embeddings", value, lambda first: [[first, *BESIDE]], labels)


def _renamed(at: Points) -> Moved:
    """Other names for the classes: 0, 1 and 2 are 2, 1 and 0."""
    args = {**at.args, "labels": 2 - np.asarray(at["labels"])}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


CONTRACT = Contract(
    name="supervised_contrastive_loss",
    module="SupConLoss",
    summary="Mean negative log-likelihood of the embeddings of the same label among all others of a batch.",
    formula="mean over i of mean over p of its label of -log(exp(cos(i, p) / t) / sum of exp(cos(i, a) / t), a != i)",
    sources=(
        "Khosla et al., NeurIPS 2020, equation 2 (L_out), as a mean over i; 0 for i without another of its label",
    ),
    dims={"B": (4, 2, 5), "D": (3, 2), "classes": (3,)},
    args=(
        Arg(name="embeddings", kind=Embedding(), dims=("B", "D")),
        Arg(name="labels", kind=ClassIndex(classes="classes"), dims=("B",), role="target"),
    ),
    parameters=(Parameter(name="temperature", values=(0.1, 0.5)),),
    oracle=supervised_contrastive_loss,
    definition=contrastive.supervised_contrastive_loss,
    arrange=embedded(VECTORS),
    layouts=("rows", "strided"),
    coupled=True,
    scales="B_ref = abs(f) + mean of sum p_k (the running errors of both cosines) / t; B_abs = 1 + 2 / t",
    specials=(
        *map(_special, SPECIAL_VALUES),
        Special(
            condition="no two of a label",
            args={"embeddings": [[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]], "labels": [[0, 1, 2]]},
            want="0",
        ),
        Special(
            condition="equal embeddings of one label: log(B - 1)",
            args={"embeddings": [[[3.0, 4.0]] * 4], "labels": [[1, 1, 1, 1]]},
            want=1.0986122887,
        ),
        Special(
            condition="two labels, orthogonal: log(1 + 2 exp(-2)) at temperature 0.5",
            args={"embeddings": [[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]], "labels": [[0, 1, 0, 1]]},
            parameters={"temperature": 0.5},
            want=0.2395447662,
        ),
        Special(
            condition="a pair and one alone",
            args={"embeddings": [[[1.0, 0.0], [1.0, 0.5], [0.0, 1.0]]], "labels": [[0, 0, 1]]},
            want="formula",
        ),
    ),
    laws=(
        reordered((*VECTORS, "labels"), "embeddings"),
        Law(name="the names of classes do not matter", move=_renamed, gradients={"embeddings": ("embeddings", 1.0)}),
        permuted(VECTORS, name="the order of entries does not matter"),
        lengthened(VECTORS, "embeddings", VECTORS),
        non_negative(),
    ),
)
