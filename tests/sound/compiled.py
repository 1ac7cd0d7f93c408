"""Losses that torch.compile rewrites: other instructions, fused sums, one rounding fewer."""

from __future__ import annotations

from tests.sound.binary import softplus_form
from tests.sound.classification import gathered_log_softmax
from tests.sound.declare import Sound
from tests.sound.regression import guarded_huber

SOUND = (
    Sound(
        name="two softplus, compiled",
        like="binary_cross_entropy_with_logits",
        loss=softplus_form,
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
