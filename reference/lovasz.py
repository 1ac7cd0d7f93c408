"""Oracle of the Lovasz hinge, of logits and labels of shape (R, P). One row is one image and one loss value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from reference.truth import Array, Truth, output

Places = npt.NDArray[np.intp]


def _gain(positive: Array, total: Array, before: Array, ahead: Array) -> Array:
    """By how much the Jaccard error grows with a pixel after ``before`` positives and ``ahead`` negatives.

    Of G positives it is (n + m) / (G + m) before: a positive adds 1 / (G + m), a negative
    (G - n) / ((G + m) (G + m + 1)), and the first of an image without positives all there is.
    """
    union = total + ahead
    first = np.where(union > 0.0, (total - before) / (union * (union + 1.0)), 1.0)
    return np.where(positive == 1.0, 1.0 / union, first)


def _runs(key: Array) -> tuple[Places, Places]:
    """The first and the last place of the run of equal keys that each place is in; keys are in order."""
    place = np.broadcast_to(np.arange(key.shape[1]), key.shape)
    edge, turn = np.ones((len(key), 1), np.bool_), key[:, 1:] != key[:, :-1]
    first = np.maximum.accumulate(np.where(np.concatenate([edge, turn], axis=1), place, 0), axis=1)
    closing = np.where(np.concatenate([turn, edge], axis=1), place, key.shape[1])
    return first, np.minimum.accumulate(closing[:, ::-1], axis=1)[:, ::-1]


def lovasz_hinge_loss(input: Array, target: Array) -> Truth:
    """Sum over pixels in descending order of the error e of max(e, 0) times the growth of the Jaccard error.

    e = 1 - (2 y - 1) x. Source: Berman, Triki and Blaschko, The Lovasz-Softmax Loss, CVPR 2018, definition 2 and
    algorithm 1. No growth is negative, and written in counts none cancels. Errors are put in order by (2 y - 1) x,
    which does not round as 1 less of it does. Between pixels of one error any order holds: the gradient is an interval
    there, as it is where an error is 0. The Jaccard error of an image without positives is 1 from its first wrong pixel
    on.
    """
    with np.errstate(all="ignore"):
        sign = 2.0 * target - 1.0
        agreement = sign * input
        unknown = np.where(np.isnan(input).any(axis=1) | np.isnan(target).any(axis=1), np.nan, 0.0)
        order = np.argsort(agreement, axis=1, kind="stable")
        key, positive = np.take_along_axis(agreement, order, axis=1), np.take_along_axis(target, order, axis=1)
        total = positive.sum(axis=1, keepdims=True)
        behind = np.cumsum(positive, axis=1)
        before = behind - positive
        error = np.maximum(1.0 - key, 0.0)
        gain = _gain(positive, total, before, np.arange(key.shape[1]) - before)
        first, last = _runs(key)
        fewest = np.take_along_axis(before, first, axis=1)
        most = np.take_along_axis(behind, last, axis=1) - positive
        high = _gain(positive, total, fewest, first - fewest)
        low = _gain(positive, total, most, last - most)
        live, kink = key < 1.0, key == 1.0
        slope = np.where(live, gain, 0.0)
        low, high = np.where(live, low, 0.0), np.where(live | kink, high, 0.0)
        value = np.where(error == 0.0, 0.0, error * gain).sum(axis=1) + unknown

        def back(of_errors: Array) -> Array:
            placed = np.empty_like(of_errors)
            np.put_along_axis(placed, order, of_errors, axis=1)
            return placed

        exact, least, largest = back(slope), back(low), back(high)
        finite = np.where(np.isfinite(error), error, 0.0)
        return Truth(
            value=output(
                value,
                accumulation=np.where(np.isfinite(value), value, 0.0),
                absolute=1.0 + np.where(np.isfinite(input), np.abs(input), 0.0).max(axis=1),
                underflow=1.0 + finite.sum(axis=1),
            ),
            gradients={
                "input": output(
                    -sign * exact + unknown[:, None],
                    reference=largest,
                    absolute=np.ones_like(exact),
                    interval=(
                        np.where(sign > 0.0, -largest, least) + unknown[:, None],
                        np.where(sign > 0.0, -least, largest) + unknown[:, None],
                    ),
                )
            },
        )
