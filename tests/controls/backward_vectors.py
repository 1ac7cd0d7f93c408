"""Wrong gradients of losses of classes, vectors and sequences."""

from __future__ import annotations

from functools import partial

import torch

from tests.controls.backward import bending, rescaled
from tests.controls.control import Control, bent, control

wrong = partial(control, "gradient only")
CE = "cross_entropy"
SOFT = "cross_entropy_soft"


CONTROLS: tuple[Control, ...] = (
    wrong(
        CE,
        "has a gradient of p instead of p minus the label",
        "gradcheck",
        "gradcheck",
        lambda a: a.torch(input=a.input.detach()) + (v := torch.logsumexp(a.input, 1).mean()) - v.detach(),
    ),
    wrong(
        SOFT,
        "lets no gradient flow to the target",
        "gradient",
        "detached",
        lambda a: a.torch(target=a.target.detach()),
        "float32",
    ),
    wrong(
        SOFT,
        "has a gradient in the probabilities 0.1 % too small",
        "gradient",
        "unstable",
        rescaled("target", 0.999),
        "float32",
    ),
    wrong(
        "nll_loss",
        "has a gradient twice as large beyond 10",
        "gradient",
        "unstable",
        bending("input", lambda g, x: torch.where(x < -10, 2 * g, g)),
        "float32",
    ),
    wrong(
        "multi_margin_loss",
        "gives the target class no gradient",
        "gradcheck",
        "gradcheck",
        lambda a: a.torch(input=a.input.scatter(1, a.target[:, None], a.input.detach().gather(1, a.target[:, None]))),
    ),
    wrong(
        "cosine_embedding_loss",
        "lets no gradient flow to the second vector",
        "gradient",
        "detached",
        lambda a: a.torch(input2=a.input2.detach()),
        "float32",
    ),
    wrong(
        "triplet_margin_loss",
        "lets no gradient flow to the negative example",
        "gradient",
        "detached",
        lambda a: a.torch(negative=a.negative.detach()),
        "float32",
    ),
    *(
        wrong(
            f"triplet_margin_with_distance_loss{kind}",
            "has a gradient 1 % too small in the positive example",
            "gradcheck",
            "gradcheck",
            rescaled("positive", 0.99),
        )
        for kind in ("", "_cosine", "_maximum", "_squared")
    ),
    wrong("ctc_loss_of_logits", "has a gradient 1 % too large", "gradcheck", "gradcheck", rescaled("logits", 1.01)),
    wrong(
        "linear_cross_entropy",
        "has a gradient of the matrix 1 % too large",
        "gradcheck",
        "gradcheck",
        rescaled("linear_weight", 1.01),
    ),
    wrong(
        "linear_cross_entropy",
        "has a gradient of the bias 1 % too large",
        "gradient",
        "unstable",
        lambda a: (
            a.torch() if a.linear_bias is None else a.torch(linear_bias=bent(a.linear_bias, lambda g, x: 1.01 * g))
        ),
        "float32",
    ),
    wrong(
        "linear_cross_entropy_soft",
        "treats the label as a constant",
        "gradient",
        "detached",
        lambda a: a.torch(target=a.target.detach()),
        "float32",
    ),
    wrong(
        "adaptive_log_softmax_with_loss_log_prob",
        "lets no gradient flow to the last cluster",
        "gradient",
        "detached",
        lambda a: a.torch(output_1=a.output_1.detach()),
        "float32",
    ),
)
