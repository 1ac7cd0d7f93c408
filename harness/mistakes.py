"""Mistakes that people make with a loss, as what the values would be with each: for saying why a formula is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from harness.cases import Batch, NoReferenceError
from harness.contract import Contract
from harness.domain import Arg, ClassIndex, Interval, Logits, Simplex
from harness.predictions import is_unit, labelled
from harness.ulp import Array, round_to

GROWS = ", which grows with the number of examples"
"""What is wrong with a sum in place of a mean."""
FEWEST = 8
"""Rows that must speak for a mistake."""
FAR = 0.01
"""Relative difference of numbers that no rounding makes in ordinary rows."""
CALMER = 4.0
"""What scores are divided by to be made shares that none of the usual guards reaches."""
FACTORS: Mapping[float, str] = {
    -1.0: "the sign is turned",
    0.5: "every value is halved",
    2.0: "every value is doubled",
    float(1.0 / np.log(2.0)): "the logarithm has base 2 where the natural one is meant",
    float(1.0 / np.log(10.0)): "the logarithm has base 10 where the natural one is meant",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """What is wrong, in plain language, and the values that a loss with it has."""

    says: str
    values: Array
    """Shape (R,)."""


def _values(contract: Contract, batch: Batch, **args: Any) -> Array:
    """The oracle at other arguments, which may be outside the domain: nan where it refuses them."""
    try:
        return replace(batch, args={**batch.args, **args}).truth(contract).value.exact
    except NoReferenceError:
        return np.full(batch.rows(contract), np.nan)


def _free(kind: Interval) -> bool:
    return not (np.isfinite(kind.low) or np.isfinite(kind.high))


def _activations(contract: Contract, arg: Arg) -> Iterator[tuple[str, Any]]:
    """(what is said, the function that is applied to the argument once too often or in the wrong place)."""
    kind = arg.kind
    labels = [a.kind for a in contract.args if a.role == "target"]
    chosen = any(isinstance(k, ClassIndex) for k in labels) or isinstance(kind, (Logits, Simplex))
    classes = len(arg.dims) > 0 and chosen

    def softmax(x: Array) -> Array:
        return np.asarray(special.softmax(x, axis=1), np.float64)

    if isinstance(kind, Simplex):
        if kind.log:
            yield f"{arg.name} holds log-probabilities and is taken for probabilities: an exp too many", np.exp
            yield f"{arg.name} holds log-probabilities, and a softmax is applied to it again", softmax
        else:
            yield f"{arg.name} holds probabilities, and a softmax is applied to it again", softmax
            yield f"{arg.name} holds probabilities and is taken for logits or log-probabilities", np.log
    elif classes and (isinstance(kind, Logits) or (isinstance(kind, Interval) and _free(kind))):
        yield f"a softmax is applied to {arg.name} first: twice, where the loss has its own", softmax
        yield f"a sigmoid is applied to {arg.name} before the softmax of the loss", special.expit
    elif isinstance(kind, Interval) and _free(kind):
        yield f"a sigmoid is applied to {arg.name} first: twice, where the loss has its own", special.expit
    elif isinstance(kind, Interval) and kind.high == 0.0:
        yield f"{arg.name} holds log-probabilities and is taken for probabilities: an exp too many", np.exp
    elif is_unit(kind):
        yield f"{arg.name} holds probabilities, and a sigmoid is applied to it again", special.expit


def _of_inputs(contract: Contract, batch: Batch) -> Iterator[Mistake]:
    for arg in contract.args:
        if arg.name in batch.args and arg.role == "input" and arg.differentiable and not arg.shared:
            for says, wrong in _activations(contract, arg):
                yield Mistake(says=says, values=_values(contract, batch, **{arg.name: wrong(batch.args[arg.name])}))


def _of_targets(contract: Contract, batch: Batch) -> Iterator[Mistake]:
    for arg in contract.args:
        if arg.name not in batch.args or arg.role != "target" or arg.shared:
            continue
        x, name = batch.args[arg.name], arg.name
        if isinstance(arg.kind, ClassIndex):
            classes = [batch.args[a.name].shape[1] for a in contract.args if isinstance(a.kind, (Logits, Simplex))]
            if classes:
                yield Mistake(
                    says=f"{name} is taken to count from 1: every class is the one before",
                    values=_values(contract, batch, **{name: (x - 1) % classes[0]}),
                )
        elif not arg.kind.integral and np.isin(x, (-1.0, 1.0)).all():
            yield Mistake(
                says=f"{name} is -1 or 1 and is taken for 0 or 1",
                values=_values(contract, batch, **{name: 2.0 * x - 1.0}),
            )


def _of_whole_numbers(contract: Contract, batch: Batch) -> Iterator[Mistake]:
    for arg in contract.args:
        if arg.name in batch.args and not arg.kind.integral and not arg.shared:
            yield Mistake(
                says=f"{arg.name} is cut to whole numbers, as a conversion to integers does",
                values=_values(contract, batch, **{arg.name: np.trunc(batch.args[arg.name])}),
            )


def _of_order(contract: Contract, batch: Batch) -> Iterator[Mistake]:
    """TensorFlow has the target first."""
    real = [a for a in contract.args if a.name in batch.args and a.role in ("input", "target") and not a.kind.integral]
    for i, first in enumerate(real):
        for second in real[i + 1 :]:
            a, b = batch.args[first.name], batch.args[second.name]
            if a.shape == b.shape:
                swapped = _values(contract, batch, **{first.name: b, second.name: a})
                yield Mistake(says=f"{first.name} and {second.name} are in each other's place", values=swapped)


def scores_of_classes(contract: Contract, batch: Batch) -> tuple[str, str] | None:
    """The one argument of scores over classes and the one of their indices."""
    scores = [a for a in contract.args if isinstance(a.kind, Logits) and a.name in batch.args and len(a.dims) == 1]
    labels = [a for a in contract.args if isinstance(a.kind, ClassIndex) and a.name in batch.args]
    alone = len(scores) == len(labels) == 1 and not scores[0].shared
    return (scores[0].name, labels[0].name) if alone else None


def _picked(scores: Array, labels: Any) -> Array:
    """The entry of every label, along the second axis; nan of those that are ignored."""
    known = (labels >= 0) & (labels < scores.shape[1])
    found = np.take_along_axis(scores, np.expand_dims(np.where(known, labels, 0), 1), axis=1)[:, 0]
    return np.where(known, found, np.nan)


def _of_classes(contract: Contract, batch: Batch) -> Iterator[Mistake]:
    """A softmax over the first axis, which holds the examples; no softmax at all; one without its logarithm."""
    if (found := scores_of_classes(contract, batch)) is not None:
        name, labels = found
        x, y = batch.args[name], batch.args[labels]
        yield Mistake(
            says=f"the softmax of {name} is taken over its first axis, the examples, not the classes",
            values=-_picked(special.log_softmax(x, axis=0), y),
        )
        yield Mistake(
            says=f"{name} is taken for log-probabilities: the log_softmax is missing",
            values=-_picked(x, y),
        )
        yield Mistake(
            says=f"the softmax of {name} is taken where its logarithm, log_softmax, is meant",
            values=-_picked(special.softmax(x, axis=1), y),
        )


def of_axis(name: str, scores: Array, labels: Any, got: Array, truth: Array, tolerance: float) -> str:
    """Which axis of (N, C, d) scores a softmax is taken over where it is not that of the classes; empty for none."""
    with np.errstate(all="ignore"):
        wrong = ~close(got, truth, tolerance)
        for axis, says in ((0, "its first axis, the examples,"), (2, "its last axis, the positions,")):
            values = -_picked(special.log_softmax(scores, axis=axis), labels)
            if int(wrong.sum()) >= FEWEST and _explains(values, got, truth, wrong, tolerance):
                return f"the softmax of {name} of shape (N, C, d) is taken over {says} not the second, the classes"
    return ""


def in_units(contract: Contract, batch: Batch) -> Iterator[tuple[Batch, Mistake]]:
    """The batch with shares in the place of scores, and the loss that takes them for what they are: where all others
    clamp or are nan, a forgotten sigmoid or softmax shows."""
    for arg in contract.args:
        if arg.name not in batch.args or arg.role != "input" or not arg.differentiable or arg.shared:
            continue
        x, kind = batch.args[arg.name], arg.kind
        scores = isinstance(kind, Logits) or (isinstance(kind, Interval) and _free(kind))
        if not scores:
            continue
        classes = scores_of_classes(contract, batch) is not None
        shares = special.softmax(x / CALMER, axis=1) if classes else special.expit(x / CALMER)
        made = replace(batch, args={**batch.args, arg.name: round_to(batch.precision, shares)})
        undone = np.log if classes else special.logit
        what = "softmax" if classes else "sigmoid"
        yield (
            made,
            Mistake(
                says=f"{arg.name} is taken for probabilities: the {what} is missing",
                values=_values(contract, made, **{arg.name: undone(made.args[arg.name])}),
            ),
        )


def exchanged_in_torch(contract: Contract, batch: Batch, got: Array, tolerance: float) -> str:
    """Whether a declared loss is binary cross-entropy of torch with its two arguments exchanged; empty if not."""
    pair = labelled(contract.args)
    if pair is None or pair.prediction.dims != pair.target.dims or len(batch.args) != 2:
        return ""
    p, t = batch.args[pair.prediction.name], batch.args[pair.target.name]
    if is_unit(pair.prediction.kind):
        function, each = "binary_cross_entropy", 100.0 * np.abs(t - p)
    else:
        function, each = "binary_cross_entropy_with_logits", np.logaddexp(0.0, t) - t * p
    each = each.reshape(len(each), -1)
    if np.isin(t, (0.0, 1.0)).all() and any(close(got, v, tolerance).all() for v in (each.mean(1), each.sum(1))):
        return (
            f"{pair.prediction.name} and {pair.target.name} are in each other's place: torch's {function} takes the "
            "prediction first, and the target second"
        )
    return ""


def _of_scale(contract: Contract, batch: Batch, truth: Array, got: Array) -> Iterator[Mistake]:
    with np.errstate(all="ignore"):
        ratios = got / truth
    ratio = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 1.0
    if ratio == 0.0:
        return
    known = {**FACTORS, **_shares(contract, batch)}
    near = next((f for f in known if abs(ratio - f) <= 1e-4 * abs(f)), None)
    says = known[near] if near is not None else f"every value is {ratio:.6g} times what it should be"
    yield Mistake(says=says, values=truth * (near if near is not None else ratio))
    difference = float(np.median((got - truth)[np.isfinite(got - truth)]))
    yield Mistake(
        says=f"a constant is added to every value: {difference:.6g}; the gradient is that of the loss",
        values=truth + difference,
    )


def _shares(contract: Contract, batch: Batch) -> dict[float, str]:
    """Means where a sum is meant, and sums where a mean is, over the elements of a row."""
    found = {}
    for arg in contract.args:
        size = int(np.prod(batch.args[arg.name].shape[1:])) if arg.name in batch.args and not arg.shared else 1
        if size > 1 and arg.role == "input":
            found[1.0 / size] = f"the mean over the {size} elements of a row is taken where their sum is meant"
            found[float(size)] = f"the sum over the {size} elements of a row is taken where their mean is meant"
    return found


def explains(mistake: Mistake, got: Array, truth: Array, tolerance: float) -> bool:
    """Whether a mistake is what is seen in every row, and enough of them are wrong."""
    with np.errstate(all="ignore"):
        wrong = ~close(got, truth, tolerance)
        return int(wrong.sum()) >= FEWEST and _explains(mistake.values, got, truth, wrong, tolerance)


def explanation(contract: Contract, batch: Batch, truth: Array, got: Array, tolerance: float) -> tuple[str, int] | None:
    """(what is wrong, a row that shows it), or None where the values are right or no known mistake explains them.

    ``tolerance`` is relative. A mistake must explain every row in which both are finite, and differ from the truth in
    at least FEWEST of them.
    """
    with np.errstate(all="ignore"):
        wrong = ~close(got, truth, tolerance)
        if int(wrong.sum()) < FEWEST:
            return None
        for source in (_of_inputs, _of_targets, _of_whole_numbers, _of_order, _of_classes):
            for mistake in source(contract, batch):
                if _explains(mistake.values, got, truth, wrong, tolerance):
                    return mistake.says, int(np.argmax(wrong))
        for mistake in _of_scale(contract, batch, truth, got):
            if _explains(mistake.values, got, truth, wrong, tolerance):
                return mistake.says, int(np.argmax(wrong))
    return None


def close(a: Array, b: Array, tolerance: float) -> Any:
    """Where two arrays are the same up to a relative difference; inf is itself alone, and nan nothing."""
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= tolerance * np.maximum(np.abs(a), np.abs(b)) + tolerance * 1e-3
    return (near & np.isfinite(a) & np.isfinite(b)) | (a == b)


def _explains(values: Array, got: Array, truth: Array, wrong: Any, tolerance: float) -> bool:
    both = np.isfinite(values) & np.isfinite(got) & np.isfinite(truth)
    return bool((both & wrong).sum() >= FEWEST and close(values, got, tolerance)[both].all())


def of_gradient(name: str, got: Array, truth: Array, tolerance: float) -> str:
    """What is wrong with a gradient whose value is right; both have the same shape."""
    live = (truth != 0.0) & np.isfinite(truth) & np.isfinite(got)
    if not got[live].any():
        return f"the gradient with respect to {name} is 0 where the value changes with it: nothing is learnt from it"
    with np.errstate(all="ignore"):
        ratio = float(np.median(got[live] / truth[live]))
    if not close(ratio * truth, got, tolerance)[live].all():
        return (
            f"the gradient with respect to {name} is wrong though the value is right: a part of it is detached, "
            "a backward is wrong, or the formula is right on its domain only, and not beside it"
        )
    if abs(ratio + 1.0) <= tolerance:
        return f"the gradient with respect to {name} has the wrong sign: a step along it makes the loss larger"
    return f"the gradient with respect to {name} is {ratio:.6g} times that of the value, which is right"


def close_to(got: float, want: float, within: float = FAR) -> bool:
    """Whether two reduced results are the same, relative to the larger."""
    return abs(got - want) <= within * max(abs(got), abs(want))


def of_reduction(reduction: str, got: float, wanted: Mapping[str, float], tolerance: float) -> str:
    """Which other reduction a reduced loss is; empty where it is its own, or none. ``wanted`` holds all of them."""

    if close_to(got, wanted[reduction]):
        return ""
    other = next((name for name in wanted if name != reduction and close_to(got, wanted[name], tolerance)), "")
    if not other:
        return ""
    grows = GROWS if (reduction, other) == ("mean", "sum") else ""
    return f"reduction={reduction!r} gives the {other}{grows}"
