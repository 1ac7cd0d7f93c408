"""Cross-entropy of logits against class indices."""

from harness.contract import Contract, Parameter
from harness.domain import Arg, ClassIndex, Logits, Weight
from harness.laws import non_negative, permuted
from harness.special import Special
from reference import reductions
from reference.classification import cross_entropy

CONTRACT = Contract(
    name="cross_entropy",
    module="CrossEntropyLoss",
    summary="Negative log-likelihood of a class under the softmax of logits.",
    formula="sum over c of a_c * (logsumexp(x) - x_c), a = weight * ((1 - s) * onehot(target) + s / C); 0 where ignored",
    sources=("torch.nn.CrossEntropyLoss",),
    dims={"C": (5, 1, 2, 10, 64)},
    args=(
        Arg(name="input", kind=Logits(), dims=("C",)),
        Arg(name="target", kind=ClassIndex(ignored="ignore_index"), role="target"),
        Arg(name="weight", kind=Weight(), dims=("C",), role="weight", optional=True, differentiable=False, shared=True),
    ),
    parameters=(
        Parameter(name="ignore_index", values=(-100, 0)),
        Parameter(name="label_smoothing", values=(0.0, 0.1, 1.0)),
    ),
    oracle=cross_entropy,
    reductions={"sum": reductions.total, "mean": reductions.class_weighted_mean},
    layouts=("rows", "spatial", "strided", "single"),
    scales="B_ref = abs(f) + sum p_j abs(x_j - x_t), the log1p form; B_abs = 1 + max abs(x), of the gradient twice the weight",
    specials=(
        Special(
            condition="logits=-inf off target", args={"input": [[0.0, "-inf", 1.0]], "target": [0]}, want="formula"
        ),
        Special(condition="logits=nan", args={"input": [[0.0, "nan", 1.0]], "target": [0]}, want="nan"),
        Special(condition="one class", args={"input": [[3.0]], "target": [0]}, want="0"),
        Special(
            condition="published: [[10,0,-10],[8,8,8]] against [0,2], mean",
            args={"input": [[10.0, 0.0, -10.0], [8.0, 8.0, 8.0]], "target": [0, 2]},
            want=0.5493,
            reduction="mean",
        ),
    ),
    laws=(permuted(("input",), index="target", per_class=("weight",)), non_negative()),
)
