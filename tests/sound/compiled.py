"""Losses that torch.compile rewrites: other instructions, fused sums, one rounding fewer."""

from __future__ import annotations

from tests.sound.binary import softplus_form
from tests.sound.classification import gathered_log_softmax
from tests.sound.declare import Sound
from tests.sound.pieces import in_float32
from tests.sound.regression import guarded_huber

softplus_in_float32 = in_float32(softplus_form)
"""A mean of more than 65,504 halves, which torch 2.13.0 compiles without a gradient, is a mean of float32 here."""

SOUND = (
    Sound(
        name="two softplus, halves in float32, compiled",
        like="binary_cross_entropy_with_logits",
        loss=softplus_in_float32,
        grade="reference",
        compiled=True,
    ),
    Sound(
        name="gathered log_softmax, compiled",
        like="cross_entropy",
        loss=gathered_log_softmax,
        grade="absolute-only",
        compiled=True,
    ),
    Sound(
        name="both branches guarded, compiled",
        like="huber_loss",
        loss=guarded_huber,
        grade="few-ulp",
        compiled=True,
    ),
)
