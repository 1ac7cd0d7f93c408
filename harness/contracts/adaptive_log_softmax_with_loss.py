"""Adaptive softmax: frequent classes in the head, clusters of rare ones behind projections to fewer features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import Contract, Parameter
from harness.deviations import Points
from harness.domain import Arg, ClassIndex, Embedding, Matrix
from harness.laws import Moved, Sibling, non_negative
from harness.special import SPECIAL_VALUES, ErrorInput, Special
from reference.mp import classes
from reference.projection import adaptive_log_softmax, adaptive_predict
from reference.reductions import mean
from reference.truth import Array, Truth

LARGEST = 2.0**300
"""Products of three float64 numbers beyond leave the range of the oracle; the other dtypes end far below."""
INFINITE = "an infinite feature or weight makes infinite logits, whose softmax has no value"
CLUSTERS = 2
"""At most so many of the values of ``cutoffs``."""


def hidden_size(features: int, div_value: float, cluster: int) -> int:
    """Features behind the projection of a cluster, counted from 0. Source: torch.nn.AdaptiveLogSoftmaxWithLoss."""
    return int(features // div_value ** (cluster + 1))


def arrange(args: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the drawn matrices to the shapes that cutoffs and div_value ask for, and drop those of missing clusters."""
    cutoffs = parameters.get("cutoffs", (2, 3))
    features, classes = args["input"].shape[1], len(args["head_weight"])
    head = cutoffs[0] + len(cutoffs)
    cut = dict(args, head_weight=args["head_weight"][:head])
    if "head_bias" in args:
        cut["head_bias"] = args["head_bias"][:head]
    for i, (low, high) in enumerate(zip(cutoffs, (*cutoffs[1:], classes), strict=True)):
        size = hidden_size(features, parameters.get("div_value", 4.0), i)
        cut[f"projection_{i}"] = args[f"projection_{i}"][:size]
        cut[f"output_{i}"] = args[f"output_{i}"][: high - low, :size]
    for i in range(len(cutoffs), CLUSTERS):
        del cut[f"projection_{i}"], cut[f"output_{i}"]
    return cut


def tail_of(matrices: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """(projection, output) of every cluster."""
    return [
        (matrices[f"projection_{i}"], matrices[f"output_{i}"]) for i in range(CLUSTERS) if f"projection_{i}" in matrices
    ]


def _named(name: str) -> str:
    _, _, rest = name.partition("tail.")
    if not rest:
        return name
    cluster, part = rest.split(".")
    return f"{('projection', 'output')[int(part)]}_{cluster}"


def _oracle(
    input: Array,
    target: Any,
    head_weight: Array,
    *,
    cutoffs: Sequence[int] = (2, 3),
    div_value: float = 4.0,
    head_bias: Array | None = None,
    upstream: Array | None = None,
    **matrices: Array,
) -> Truth:
    """The oracle with the matrices of the clusters by name; ``div_value`` is in their shapes."""
    truth = adaptive_log_softmax(
        input,
        target,
        cutoffs=cutoffs,
        head_weight=head_weight,
        head_bias=head_bias,
        tail=tail_of(matrices),
        upstream=upstream,
    )
    return replace(truth, gradients={_named(name): g for name, g in truth.gradients.items()})


def _definition(
    input: Any,
    target: int,
    head_weight: Any,
    *,
    cutoffs: Sequence[int] = (2, 3),
    head_bias: Any = None,
    **matrices: Any,
) -> tuple[Any, dict[str, Any]]:
    value, gradients = classes.adaptive_log_softmax(
        input, target, cutoffs=cutoffs, head_weight=head_weight, head_bias=head_bias, tail=tail_of(matrices)
    )
    return value, {_named(name): g for name, g in gradients.items()}


def _definition_of_the_predicted(
    input: Any, head_weight: Any, *, head_bias: Any = None, **matrices: Any
) -> tuple[Any, dict[str, Any]]:
    return classes.adaptive_predicted(input, head_weight=head_weight, head_bias=head_bias, tail=tail_of(matrices))


def _of_the_predicted(input: Array, head_weight: Array, *, head_bias: Array | None = None, **given: Any) -> Truth:
    """-log of the largest probability: two classes within rounding of each other are both right."""
    best = adaptive_predict(input, head_weight=head_weight, head_bias=head_bias, tail=tail_of(given))
    truth = _oracle(input, best, head_weight, head_bias=head_bias, **given)
    return Truth(value=truth.value)


def _head_alone(at: Points) -> Moved:
    """A frequent class is one of the head's softmax."""
    return Moved(args=at.args, parameters=at.parameters, applies=at["target"] < at.parameters.get("cutoffs", (2, 3))[0])


def _cross_entropy_of_the_head(torch: Any) -> Any:
    functional = torch.nn.functional

    def loss(input: Any, target: Any, head_weight: Any, head_bias: Any = None, **others: Any) -> Any:
        # Targets in the clusters, to which the law does not apply, stand for the first class.
        known = torch.where(target < head_weight.shape[0], target, torch.zeros_like(target))
        return functional.cross_entropy(functional.linear(input, head_weight, head_bias), known, reduction="none")

    return loss


SEVEN: dict[str, Any] = {
    "head_weight": [[1.0, 0.0], [0.5, 1.0], [0.0, -1.0]],
    "projection_0": [[1.0, 0.5]],
    "output_0": [[0.5], [-1.0], [0.25]],
}
"""Five classes: two in the head, three in one cluster behind one feature."""
ONE = {"cutoffs": (2,), "div_value": 2.0}


def _specials(target: list[int] | None) -> tuple[Special, ...]:
    rows = []
    given = {"input": [[0.5, -1.0]], **({} if target is None else {"target": target}), **SEVEN}
    places: dict[str, dict[str, Callable[[str], Any]]] = {
        "input": {"input": lambda v: [[v, 1.0]]},
        "head_weight": {"head_weight": lambda v: [[v, 0.0], [0.5, 1.0], [0.0, 1.0]]},
        "head_bias": {"head_bias": lambda v: [v, 0.5, 0.25]},
        "projection_0": {"projection_0": lambda v: [[v, 0.5]]},
        "output_0": {"output_0": lambda v: [[v], [-1.0], [0.25]]},
    }
    for argument, place in places.items():
        for v in SPECIAL_VALUES:
            infinite = v.endswith("inf")
            args = given | {name: build(v) for name, build in place.items()}
            rows.append(
                Special(
                    condition=f"{argument}={v}",
                    args=args,
                    parameters=ONE,
                    want="outside" if infinite else "nan" if v == "nan" else "formula",
                    reason=INFINITE if infinite else "",
                    covers=((argument, v),) + (((argument[:-1] + "1", v),) if argument.endswith("_0") else ()),
                )
            )
    return tuple(rows)


ARGS = (
    Arg(name="input", kind=Embedding(largest=LARGEST), dims=("D",)),
    Arg(name="target", kind=ClassIndex(classes="classes"), role="target"),
    Arg(name="head_weight", kind=Matrix(largest=LARGEST), dims=("classes", "D"), shared=True),
    Arg(name="head_bias", kind=Matrix(largest=LARGEST), dims=("classes",), optional=True, shared=True),
    *(
        Arg(name=f"{part}_{i}", kind=Matrix(largest=LARGEST), dims=dims, shared=True)
        for i in range(CLUSTERS)
        for part, dims in (("projection", ("hidden", "D")), ("output", ("classes", "hidden")))
    ),
)

CONTRACT = Contract(
    name="adaptive_log_softmax_with_loss",
    module="AdaptiveLogSoftmaxWithLoss",
    summary="Negative log-likelihood of a class under a softmax of frequent classes and clusters of rare ones.",
    formula="-log softmax(head(x))[y] for frequent y, else -log softmax(head(x))[cluster] - log softmax(tail(x))[y]",
    sources=(
        "torch.nn.AdaptiveLogSoftmaxWithLoss",
        "Grave et al., Efficient softmax approximation for GPUs, ICML 2017",
    ),
    dims={"D": (8, 5, 3), "hidden": (8, 5, 3), "classes": (7, 12, 7)},
    args=ARGS,
    parameters=(
        Parameter(name="cutoffs", values=((2, 3), (1, 3))),
        Parameter(name="div_value", values=(4.0, 2.0)),
    ),
    oracle=_oracle,
    definition=_definition,
    reductions={"mean": mean},
    layouts=("rows", "strided", "single"),
    scales=(
        "those of cross_entropy for head and cluster, and the error of every logit, u (sum abs(x_i w_ij) + abs(z_j)), "
        "carried through the projection"
    ),
    arrange=arrange,
    specials=(
        *_specials([3]),
        Special(
            condition="features=0, 2 classes and 1 cluster of 3 in the head",
            args={"input": [[0.0, 0.0]], "target": [0], **SEVEN},
            parameters=ONE,
            want=1.0986122887,
        ),
        Special(
            condition="features=0, class of the cluster",
            args={"input": [[0.0, 0.0]], "target": [4], **SEVEN},
            parameters=ONE,
            want=2.1972245773,
        ),
    ),
    laws=(
        Sibling(
            name="a frequent class is cross_entropy of the head", move=_head_alone, loss=_cross_entropy_of_the_head
        ),
        non_negative(),
    ),
    errors=(
        ErrorInput(
            name="target at the number of classes",
            call=lambda torch, loss: _call(torch, loss, torch.zeros(1, 2), torch.tensor([5])),
            raises=("RuntimeError",),
            match=r"Target values should be in \[0, 4\]",
        ),
        ErrorInput(
            name="target -1",
            call=lambda torch, loss: _call(torch, loss, torch.zeros(1, 2), torch.tensor([-1])),
            raises=("RuntimeError",),
            match=r"Target values should be in \[0, 4\]",
        ),
        ErrorInput(
            name="fewer targets than rows",
            call=lambda torch, loss: _call(torch, loss, torch.zeros(2, 2), torch.tensor([0])),
            raises=("RuntimeError",),
            match="same size in the batch dimension",
        ),
        ErrorInput(
            name="targets of two dimensions",
            call=lambda torch, loss: _call(torch, loss, torch.zeros(1, 2), torch.tensor([[0]])),
            raises=("RuntimeError",),
            match="multi-target not supported",
        ),
        ErrorInput(
            name="one target for one row of a batch",
            call=lambda torch, loss: _call(torch, loss, torch.zeros(1, 2), torch.tensor(0)),
            raises=("RuntimeError",),
            match="0D target tensor expects 1D input",
        ),
        ErrorInput(
            name="cutoffs out of order",
            call=lambda torch, loss: torch.nn.AdaptiveLogSoftmaxWithLoss(2, 5, [3, 2]),
            raises=("ValueError",),
            match="sorted in an increasing order",
        ),
        ErrorInput(
            name="a cutoff at the number of classes",
            call=lambda torch, loss: torch.nn.AdaptiveLogSoftmaxWithLoss(2, 5, [5]),
            raises=("ValueError",),
            match="between 1 and n_classes-1",
        ),
        ErrorInput(
            name="no cutoffs",
            call=lambda torch, loss: torch.nn.AdaptiveLogSoftmaxWithLoss(2, 5, []),
            raises=("ValueError",),
            match="length larger than 0",
        ),
    ),
)


def _call(torch: Any, loss: Any, input: Any, target: Any) -> Any:
    matrices = {name: torch.tensor(rows) for name, rows in SEVEN.items()}
    return loss(input=input, target=target, **matrices, **ONE)


LOG_PROB = replace(
    CONTRACT,
    name="adaptive_log_softmax_with_loss_log_prob",
    module="",
    summary="-log_prob of an adaptive softmax at the target: the same, with all classes worked out.",
    errors=(),
)
PREDICT = replace(
    CONTRACT,
    name="adaptive_log_softmax_with_loss_predict",
    module="",
    summary="-log of the probability of the class that an adaptive softmax predicts, the largest of all.",
    formula="min over y of adaptive_log_softmax_with_loss(x, y)",
    args=tuple(replace(a, differentiable=False) for a in ARGS if a.name != "target"),
    oracle=_of_the_predicted,
    definition=_definition_of_the_predicted,
    specials=_specials(None),
    laws=(non_negative(),),
    errors=(),
)
