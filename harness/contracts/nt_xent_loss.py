"""NT-Xent, the loss of SimCLR, over a batch of two views."""

from __future__ import annotations

from typing import Any

from harness.contract import Contract, Parameter
from harness.contracts.directions import beginning, embedded, lengthened, reordered
from harness.deviations import Points
from harness.domain import Arg, Embedding
from harness.laws import Moved, Sibling, everywhere, exchanged, non_negative, permuted
from harness.special import SPECIAL_VALUES, Special
from reference.contrastive import nt_xent_loss
from reference.mp import contrastive

VIEWS = ("z1", "z2")
BESIDE: dict[str, Any] = {"z1": [[[1.0, 2.0], [-1.0, 0.5]]], "z2": [[[2.0, 1.0], [-1.0, -1.0]]]}


def _special(view: str, value: str) -> Special:
    return beginning(view, value, lambda first: [[first, *BESIDE[view][0][1:]]], BESIDE)


def _same(at: Points) -> Moved:
    return Moved(args=at.args, parameters={"temperature": at["temperature"]}, applies=everywhere(at))


def _wide(torch: Any) -> Any:
    def loss(z1: Any, z2: Any, temperature: float) -> Any:
        z = torch.nn.functional.normalize(torch.cat([z1, z2], dim=1).double(), dim=-1)
        count = z.shape[1]
        own = torch.eye(count, dtype=torch.bool, device=z.device)
        logits = ((z @ z.mT) / temperature).masked_fill(own, -torch.inf)
        target = torch.arange(count, device=z.device).roll(count // 2).expand(len(z), count)
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        return losses.mean(dim=1)

    return loss


CONTRACT = Contract(
    name="nt_xent_loss",
    module="NTXentLoss",
    summary="Mean negative log-likelihood of the other view of each example among all other embeddings of a batch.",
    formula="mean over i of -log(exp(cos(i, j) / t) / sum over k != i of exp(cos(i, k) / t)), j the other view of i",
    sources=("Chen et al., ICML 2020, equation 1 and algorithm 1 (SimCLR)",),
    dims={"B": (2, 1, 3), "D": (3, 2)},
    args=tuple(Arg(name=name, kind=Embedding(), dims=("B", "D")) for name in VIEWS),
    parameters=(Parameter(name="temperature", values=(0.5, 0.1)),),
    oracle=nt_xent_loss,
    definition=contrastive.nt_xent_loss,
    arrange=embedded(VIEWS),
    layouts=("rows", "strided"),
    coupled=True,
    scales="B_ref = abs(f) + mean of sum p_k (the running errors of both cosines) / t; B_abs = 1 + 2 / t",
    specials=(
        *(_special(view, value) for view in VIEWS for value in SPECIAL_VALUES),
        Special(
            condition="one example: nothing to be told from",
            args={"z1": [[[1.0, 2.0]]], "z2": [[[0.5, -1.0]]]},
            want="0",
        ),
        Special(
            condition="all embeddings equal: log(2B - 1)",
            args={"z1": [[[3.0, 4.0], [3.0, 4.0]]], "z2": [[[3.0, 4.0], [3.0, 4.0]]]},
            want=1.0986122887,
        ),
        Special(
            condition="equal views of two orthogonal examples: log(1 + 2 exp(-2)) at temperature 0.5",
            args={"z1": [[[1.0, 0.0], [0.0, 1.0]]], "z2": [[[1.0, 0.0], [0.0, 1.0]]]},
            want=0.2395447662,
        ),
        Special(
            condition="equal views of two opposite examples: log(1 + 2 exp(-20)) at temperature 0.1",
            args={"z1": [[[1.0, 0.0], [-1.0, 0.0]]], "z2": [[[1.0, 0.0], [-1.0, 0.0]]]},
            parameters={"temperature": 0.1},
            want="formula",
        ),
    ),
    laws=(
        exchanged("z1", "z2"),
        reordered(VIEWS, "examples"),
        permuted(VIEWS, name="the order of entries does not matter"),
        lengthened(VIEWS, "embeddings", VIEWS),
        Sibling(name="cross_entropy of the matrix of cosines, in float64", move=_same, loss=_wide, real=VIEWS),
        non_negative(),
    ),
)
