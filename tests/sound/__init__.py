"""Correct losses that are not torch's: what a judge without false alarms must pass."""

from tests.sound import binary, classification, compiled, embedding, likelihood, regression

SOUND = (
    *regression.SOUND,
    *binary.SOUND,
    *classification.SOUND,
    *likelihood.SOUND,
    *embedding.SOUND,
    *compiled.SOUND,
)
