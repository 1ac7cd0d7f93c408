"""What declares the arguments of a loss: names and the kinds of numbers they hold.

A kind is a legal set with a deterministic grid or a random mixture of members; it yields float64 arrays (or int64 for
indices) whose numbers are exact in the dtype under test.
"""

from harness.domain.arg import BROADCASTS, Arg
from harness.domain.box import Box
from harness.domain.index import ClassIndex, Length, MultiLabelIndex, Samples, ignored_index
from harness.domain.kind import Kind, Setting
from harness.domain.learned import Learned, learned
from harness.domain.scalar import (
    Binary,
    Choice,
    Count,
    Interval,
    LogProbability,
    NonNegative,
    Positive,
    Probability,
    Real,
    Score,
    Sign,
    SoftLabel,
    Weight,
)
from harness.domain.vector import Embedding, Logits, Matrix, Simplex

__all__ = [
    "BROADCASTS",
    "Arg",
    "Binary",
    "Box",
    "Choice",
    "ClassIndex",
    "Count",
    "Embedding",
    "Interval",
    "Kind",
    "Learned",
    "Length",
    "LogProbability",
    "Logits",
    "Matrix",
    "MultiLabelIndex",
    "NonNegative",
    "Positive",
    "Probability",
    "Real",
    "Samples",
    "Score",
    "Setting",
    "Sign",
    "Simplex",
    "SoftLabel",
    "Weight",
    "ignored_index",
    "learned",
]
