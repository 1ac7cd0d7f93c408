"""InfoNCE of a query, its positive key and the negative keys of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, Embedding
from harness.laws import Law, Moved, Sibling, everywhere, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.contrastive import info_nce_loss
from reference.mp import contrastive

LARGEST = 2.0**500
FAR = "products of two such numbers leave the range"
INFINITE = "a dot product with an infinite entry is no similarity"
VECTORS = ("query", "positive", "negatives")
BESIDE: dict[str, Any] = {"query": [[1.0, 2.0]], "positive": [[-1.0, 5.0]], "negatives": [[[0.5, 1.0], [2.0, -1.0]]]}


def _special(argument: str, value: str) -> Special:
    vector: Any = [value, 3.0]
    beyond = value.endswith(("largest", "inf"))
    return Special(
        condition=f"{argument} begins with {value}",
        args={**BESIDE, argument: [[[0.5, 1.0], vector]] if argument == "negatives" else [vector]},
        want="nan" if value == "nan" else "outside" if beyond else "formula",
        reason=(INFINITE if value.endswith("inf") else FAR) if beyond else "",
        covers=((argument, value),),
    )


def _reordered(at: Points) -> Moved:
    args = {**at.args, "negatives": np.flip(np.asarray(at["negatives"]), axis=1).copy()}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _all_negated(at: Points) -> Moved:
    args = {name: -np.asarray(at[name]) for name in VECTORS}
    return Moved(args=args, parameters=at.parameters, applies=everywhere(at))


def _whole(at: Points) -> Moved:
    """Vectors of small whole numbers at a power of two, whose dot products and logits are exact."""
    return Moved(args=at.args, parameters={"temperature": at["temperature"]}, applies=everywhere(at))


def _wide(torch: Any) -> Any:
    def loss(query: Any, positive: Any, negatives: Any, temperature: float) -> Any:
        keys = torch.cat([positive[:, None], negatives], dim=1).double()
        logits = (keys * query[:, None].double()).sum(dim=-1) / temperature
        target = torch.zeros(len(query), dtype=torch.int64, device=query.device)
        return torch.nn.functional.cross_entropy(logits, target, reduction="none")

    return loss


CONTRACT = Contract(
    name="info_nce_loss",
    module="InfoNCELoss",
    summary="Negative log-likelihood of the positive key among all keys, by their dot products with the query.",
    formula="-log(exp(q.p / t) / (exp(q.p / t) + sum over k of exp(q.n_k / t))), vectors not normalised",
    sources=(
        "van den Oord, Li and Vinyals, arXiv:1807.03748, equation 4",
        "He et al., CVPR 2020, equation 1 (dot products over a temperature)",
    ),
    dims={"D": (5, 1, 8), "K": (3, 1, 8)},
    args=(
        Arg(name="query", kind=Embedding(largest=LARGEST), dims=("D",)),
        Arg(name="positive", kind=Embedding(largest=LARGEST), dims=("D",)),
        Arg(name="negatives", kind=Embedding(largest=LARGEST), dims=("K", "D")),
    ),
    parameters=(Parameter(name="temperature", values=(0.1, 1.0, 0.5)),),
    oracle=info_nce_loss,
    definition=contrastive.info_nce_loss,
    layouts=("rows", "strided"),
    scales="B_ref = abs(f) + sum p_k sum (abs(q n_k) + abs(q p)) / t, the dot products; B_abs = 1 + the largest logit",
    specials=(
        *(_special(argument, value) for argument in VECTORS for value in SPECIAL_VALUES),
        Special(
            condition="query of zeros: log of the number of keys",
            args={**BESIDE, "query": [[0.0, 0.0]]},
            want=1.0986122887,
        ),
        Special(
            condition="all keys equal: log of the number of keys",
            args={**BESIDE, "positive": [[2.0, 1.0]], "negatives": [[[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]]},
            want=1.3862943611,
        ),
        Special(
            condition="one negative 1 behind at temperature 1: softplus(-1)",
            args={"query": [[1.0, 0.0]], "positive": [[1.0, 0.0]], "negatives": [[[0.0, 1.0]]]},
            parameters={"temperature": 1.0},
            want=0.3132616875,
        ),
        Special(
            condition="confident: exp(-20) is left at temperature 0.1",
            args={"query": [[1.0, 0.0]], "positive": [[1.0, 0.0]], "negatives": [[[-1.0, 0.0]]]},
            want="formula",
        ),
        Special(
            condition="mean of a query of zeros and another",
            args={name: [value[0], [0.0, 0.0] if name != "negatives" else value[0]] for name, value in BESIDE.items()},
            want="formula",
            reduction="mean",
        ),
    ),
    laws=(
        permuted(VECTORS, name="the order of entries does not matter"),
        Law(name="the order of negatives does not matter", move=_reordered),
        Law(
            name="negating every vector changes nothing",
            move=_all_negated,
            gradients={name: (name, -1.0) for name in VECTORS},
        ),
        Sibling(name="cross_entropy of the dot products, in float64", move=_whole, loss=_wide, real=VECTORS),
        non_negative(),
    ),
)
