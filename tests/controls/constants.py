"""Tiny constants: a result or a gradient that is off by a factor near 1, in the dtype where that shows."""

from __future__ import annotations

from functools import partial

from tests.controls.control import OF_TORCH, Control, Edit, bent, control

tiny = partial(control, "tiny constants")

BCE, CE, SOFT = "binary_cross_entropy_with_logits", "cross_entropy", "cross_entropy_soft"


def times(factor: float) -> Edit:
    return lambda a: a.torch() * factor


def steeper(name: str, factor: float) -> Edit:
    return lambda a: a.torch(**{name: bent(getattr(a, name), lambda g, x: g * factor)})


MILLIONTH = ("mse_loss", "smooth_l1_loss", "l1_loss", "hinge_embedding_loss", "nll_loss", "soft_margin_loss")
"""Losses whose survey is cheap in float64; of the others their special values are asked."""
OTHERS = tuple(name for name in OF_TORCH if name not in MILLIONTH)
DEAR = "triplet_margin_with"
"""How the losses begin that are asked in one dtype only."""
CONTROLS: tuple[Control, ...] = (
    *(
        tiny(like, "is 1e-6 too large in float64", "value", "unstable", times(1 + 1e-6), "float64")
        for like in MILLIONTH
    ),
    *(
        tiny(like, "is 1e-6 too large in float64", "special", "unstable", times(1 + 1e-6), "float64")
        for like in OTHERS
        if not like.startswith(("adaptive", "cosine_embedding", "triplet_margin_loss"))
    ),
    *(
        tiny(like, "is 1e-3 too large in float32", "special", "unstable", times(1 + 1e-3), "float32")
        for like in (*MILLIONTH, *OTHERS)
        if not like.startswith(DEAR)
    ),
    *(
        tiny(like, "is half of what it should be in bfloat16", "value", "unstable", times(0.5), "bfloat16")
        for like in ("mse_loss", "soft_margin_loss")
    ),
    tiny("mse_loss", "is 5 % too large in float16", "value", "unstable", times(1.05), "float16"),
    tiny("nll_loss", "is 3e-6 too small in float32", "value", "unstable", times(1 - 3e-6), "float32"),
    *(
        tiny(
            like, "has a gradient 1e-6 too large in float64", "gradient", "unstable", steeper(name, 1 + 1e-6), "float64"
        )
        for like, name in (
            ("mse_loss", "input"),
            ("kl_div", "input"),
            ("soft_margin_loss", "input"),
            ("l1_loss", "target"),
        )
    ),
)
