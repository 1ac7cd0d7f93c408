"""Cross-entropy weighted by the inverse effective number of samples of the class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.contract import Contract, Parameter
from harness.contracts.classes import shifted
from harness.contracts.cross_entropy import unmask_targets
from harness.contracts.logits import ARGS, CLASSES, LAYOUTS, special_logits, unrivalled
from harness.deviations import Points
from harness.domain import Arg, Samples
from harness.laws import Moved, Sibling, Vanishing, non_negative, permuted
from harness.special import Special
from reference import classification
from reference.mp import classes

SAMPLES = "samples_per_class"


def _weighs_1(at: Points) -> Moved:
    """A class of one sample; at beta 0, where every sample counts as the first, all classes."""
    single = np.asarray(at[SAMPLES])[at["target"]] == 1
    args = {n: a for n, a in at.args.items() if n != SAMPLES}
    return Moved(args=args, parameters={}, applies=np.asarray(single | (at.parameters.get("beta") == 0.0), np.bool_))


def _one_sample_each(row: Special) -> Special:
    return replace(row, args={**row.args, SAMPLES: [1] * len(row.args["input"][0])})


def _tied(samples: int, want: float, **parameters: float) -> Special:
    said = "".join(f", {n}={v:g}" for n, v in parameters.items())
    return Special(
        condition=f"tied logits, {samples} samples of the target{said}",
        args={"input": [[7.0] * 4], "target": [2], SAMPLES: [1, 50, samples, 3]},
        parameters=parameters,
        want=want,
    )


CONTRACT = Contract(
    name="class_balanced_cross_entropy",
    module="ClassBalancedCrossEntropyLoss",
    summary="Cross-entropy weighted by the inverse effective number of samples of the class.",
    formula="(1 - beta) / (1 - beta**n_y) * -log p_y, n_y samples of the class of the target, p = softmax(input)",
    sources=(
        "Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019, equations 6 to 10",
        "https://arxiv.org/abs/1901.05555, without its scaling of all weights to the sum C",
    ),
    dims=CLASSES,
    args=(*ARGS, Arg(name=SAMPLES, kind=Samples(), dims=("C",), role="weight", shared=True)),
    parameters=(Parameter(name="beta", values=(0.999, 0.9, 0.9999, 0.0)),),
    oracle=classification.class_balanced_cross_entropy,
    definition=classes.class_balanced_cross_entropy,
    arrange=unmask_targets,
    layouts=LAYOUTS,
    scales="those of cross_entropy, of which the weight is a factor; that of n log(beta) by expm1 has no other error",
    specials=(
        *map(_one_sample_each, special_logits(tied=1.3862943611, confident=4.5400960276913e-05, hopeless="+inf")),
        _tied(10, 0.13925441283764),
        _tied(1000, 0.0021924471456145),
        _tied(10, 0.21284330912256824, beta=0.9),
        _tied(10, 1.3862943611, beta=0.0),
    ),
    laws=(
        shifted("logits"),
        permuted(("input",), index="target", per_class=(SAMPLES,)),
        Vanishing(name="0 where every class but the target is masked", move=unrivalled),
        Sibling(
            name="is cross_entropy of a class of one sample, and at beta 0",
            move=_weighs_1,
            loss=lambda torch: lambda **given: torch.nn.functional.cross_entropy(**given, reduction="none"),
        ),
        non_negative(),
    ),
)
