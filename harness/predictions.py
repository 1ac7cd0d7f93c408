"""Which argument of a declared loss predicts which other, and what right and wrong predictions look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.domain import Arg, Box, Choice, ClassIndex, Embedding, Interval, Kind, Length, Logits, Score, Simplex
from harness.ulp import Array, Precision, round_to

MARGIN = 4.0
"""The size of a sure score, where so large ones are legal: bounded losses still tell right from wrong there."""
SHARE = 0.9
"""The probability of a sure prediction: its logarithm, and that of the rest, is a number."""
TARGETS = frozenset({"target", "targets", "label", "labels", "true", "truth", "gt", "ground", "actual", "wanted"})
"""Words in the name of an argument that make it a target."""
Y = "y"
"""A target too, beside a prediction by name: ``x`` and ``y`` may be two points."""
PREDICTIONS = frozenset(
    {"pred", "preds", "prediction", "predictions", "predicted", "input", "inputs", "output", "outputs", "hat", "yhat"}
)
OTHERWISE = frozenset(
    {"log", "logit", "logits", "rate", "score", "scores", "var", "variance", "std", "sigma", "scale", "precision"}
    | {"anchor", "positive", "negative"}
)
"""Words of what is not measured as the target is, though it may be declared by the same kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A prediction and its target."""

    prediction: Arg
    target: Arg


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Sure predictions of the same targets."""

    target: npt.NDArray[np.float64 | np.int64]
    right: Array
    wrong: Array


def words(name: str) -> set[str]:
    return set(name.lower().split("_"))


def class_axis(scores: Arg, labels: Arg) -> int | None:
    """The axis of the classes in arrays of the scores, whose first axis is that of the rows, if there is one."""
    if not isinstance(labels.kind, ClassIndex) or labels.kind.classes not in scores.dims:
        return None
    axis = scores.dims.index(labels.kind.classes)
    return 1 + axis if scores.dims[:axis] + scores.dims[axis + 1 :] == labels.dims else None


def is_unit(kind: Kind) -> bool:
    """Whether it is a probability of its own."""
    return isinstance(kind, Interval) and (kind.low, kind.high) == (0.0, 1.0)


def _is_target(arg: Arg, prediction: Arg) -> bool:
    named = words(arg.name)
    return bool(named & TARGETS) or (Y in named and bool(words(prediction.name) & PREDICTIONS))


def _named(prediction: Arg, target: Arg) -> bool:
    """Whether the names say that one is the target of the other."""
    return _is_target(target, prediction) and not _is_target(prediction, target)


def tells_labels(prediction: Arg, target: Arg) -> bool:
    """Whether the kinds say which prediction of a label, a class or a distribution of classes is right."""
    kind, of = prediction.kind, target.kind
    classes = isinstance(kind, (Logits, Simplex))
    if isinstance(of, ClassIndex):
        return (classes or is_unit(kind)) and class_axis(prediction, target) is not None
    if prediction.dims != target.dims:
        return False
    if isinstance(of, Simplex):
        return classes and bool(prediction.dims)
    if isinstance(of, Choice) or is_unit(of):
        signs = isinstance(of, Choice) and -1.0 in of.members
        return isinstance(kind, (Score, Logits)) or (is_unit(kind) and not signs)
    return False


def sides(pair: Pair, target: npt.NDArray[np.float64 | np.int64], precision: Precision, classes: int) -> Sides:
    """Sure predictions of targets that are made sure themselves; ``classes`` is the size of the axis of the classes."""
    prediction, of = pair.prediction, pair.target.kind
    kind = prediction.kind
    if isinstance(of, ClassIndex):
        axis = class_axis(prediction, pair.target)
        assert axis is not None
        own = np.expand_dims(target, axis) == np.arange(classes).reshape((-1,) + (1,) * (target.ndim - axis))
        found = Sides(
            target=target, right=_of_classes(kind, own, axis), wrong=_of_classes(kind, _next(own, axis), axis)
        )
    elif isinstance(of, Simplex):
        own = np.arange(classes) == np.argmax(target, axis=-1)[..., None]
        found = Sides(
            target=_of_classes(of, own, -1),
            right=_of_classes(kind, own, -1),
            wrong=_of_classes(kind, _next(own, -1), -1),
        )
    else:
        low, high = (0.0, 1.0) if is_unit(of) else (float(np.min(of.members)), 1.0)  # type: ignore[attr-defined]
        own = target >= 0.5
        found = Sides(target=np.where(own, high, low), right=_of_labels(kind, own), wrong=_of_labels(kind, ~own))
    hard = found.target if pair.target.kind.integral else round_to(precision, found.target)
    return Sides(target=hard, right=round_to(precision, found.right), wrong=round_to(precision, found.wrong))


def _next(own: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.bool_]:
    return np.roll(own, 1, axis)


def _size(kind: Kind) -> float:
    largest = kind.largest if isinstance(kind, Logits) else min(-kind.low, kind.high)  # type: ignore[attr-defined]
    return min(MARGIN, largest)


def _of_labels(kind: Kind, own: npt.NDArray[np.bool_]) -> Array:
    if is_unit(kind):
        return np.where(own, SHARE, 1.0 - SHARE)
    return np.where(own, _size(kind), -_size(kind))


def _of_classes(kind: Kind, own: npt.NDArray[np.bool_], axis: int) -> Array:
    if isinstance(kind, Logits):
        return np.where(own, _size(kind), 0.0)
    if not isinstance(kind, Simplex):
        return _of_labels(kind, own)
    share = np.where(own, SHARE, (1.0 - SHARE) / max(own.shape[axis] - 1, 1))
    return np.log(share) if kind.log else share


def labelled(args: Sequence[Arg]) -> Pair | None:
    """The one prediction of labels, where all else are weights and lengths: other inputs may turn what is right."""
    found = [
        Pair(prediction=p, target=t)
        for p in args
        for t in args
        if p is not t and p.role == "input" and not (p.shared or t.shared) and tells_labels(p, t) and _implied(p, t)
    ]
    return _alone(found, args, ())


def _implied(prediction: Arg, target: Arg) -> bool:
    """Whether kinds that differ say which is the target of which, or else the names do."""
    shares = isinstance(target.kind, Simplex) and not target.kind.log and target.kind != prediction.kind
    return target.role == "target" or shares or _named(prediction, target)


def _has_other_minimum(kind: Kind) -> bool:
    """Scores, shares of labels and logarithms of probabilities, which may do better than to be what the target is."""
    return isinstance(kind, Score) or is_unit(kind) or (isinstance(kind, Interval) and kind.high <= 0.0)


def measured(args: Sequence[Arg]) -> Pair | None:
    """The one prediction that is measured as its target is: a number, a vector or a box of the same kind and shape."""
    found = [
        Pair(prediction=p, target=t)
        for p in args
        for t in args
        if p is not t
        and (p.kind, p.dims, p.role, p.shared) == (t.kind, t.dims, "input", t.shared)
        and isinstance(p.kind, (Interval, Embedding, Box))
        and not (p.shared or words(p.name) & OTHERWISE or _has_other_minimum(p.kind))
        and _named(p, t)
    ]
    return _alone(found, args, tuple(a for a in args if isinstance(a.kind, Interval) and a.kind.low >= 0.0))


def twins(args: Sequence[Arg]) -> tuple[Arg, Arg] | None:
    """The only two vectors, of which no name tells that one is the target of the other; nothing else is input."""
    vectors = [a for a in args if isinstance(a.kind, Embedding) and a.dims and not a.shared]
    others = [a for a in args if a not in vectors and a.role != "weight"]
    if len(vectors) != 2 or others or vectors[0].dims != vectors[1].dims or measured(args) is not None:
        return None
    first, second = vectors
    return None if (words(first.name) | words(second.name)) & OTHERWISE else (first, second)


def _alone(found: Sequence[Pair], args: Sequence[Arg], besides: Sequence[Arg]) -> Pair | None:
    if len(found) != 1:
        return None
    (pair,) = found
    others = [a for a in args if a is not pair.prediction and a is not pair.target]
    fine = all(a.role == "weight" or isinstance(a.kind, Length) or a in besides for a in others)
    return pair if fine else None
