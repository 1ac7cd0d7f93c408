"""What is declared of a row as a whole holds in every row that a loss is called with or that is shown as an example."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from harness.cases import Batch
from harness.checks.sampling import calm_batches, mixed_batches
from harness.conditioning import jointly, separately
from harness.custom import custom
from harness.domain import Box, Embedding, Simplex
from harness.effort import QUICK
from harness.generate import Plan, choices, expand, sizes, sweep
from harness.minimise import minimise
from harness.ulp import FLOAT32, PRECISIONS, Precision
from lossproof import Result, validate

Rows = npt.NDArray[np.bool_]
ALL = pytest.mark.parametrize("p", PRECISIONS.values(), ids=lambda p: p.name)


def in_order(x: Any) -> Any:
    return ((x[..., 2:] > x[..., :2]).all(-1)).all()


def adds_up(x: Any, room: float) -> Any:
    return (abs(x.sum(-1) - 1.0) <= room).all() & (x >= 0.0).all() & (x <= 1.0).all()


def not_zero(x: Any) -> Any:
    return (x != 0.0).any(-1).all()


HELD: Mapping[str, Callable[[Any], Any]] = {
    "boxes(N)": in_order,
    "boxes(B)": in_order,
    "simplex(N, C)": lambda x: adds_up(x, 0.1),
    "simplex(B, C)": lambda x: adds_up(x, 0.1),
    "simplex(N, T, C)": lambda x: adds_up(x, 0.1),
    "log_simplex(N, C)": lambda x: adds_up(np.exp(x), 0.25),
    "embedding(N, D, zero=False)": not_zero,
    "embedding(B, D, zero=False)": not_zero,
    "positive(N, D)": lambda x: (x > 0.0).all(),
    "probability(N)": lambda x: ((x >= 0.0) & (x <= 1.0)).all(),
    "real(N, low=-2.0, high=8.0)": lambda x: ((x >= -2.0) & (x <= 8.0)).all(),
    "lengths(N, of=T)": lambda x: ((x >= 1) & (x <= 7)).all(),
    "class_index(N, classes=C)": lambda x: ((x >= 0) & (x < 12)).all(),
    "sign(N, C)": lambda x: (abs(x) == 1.0).all(),
}


def _batches(subject: Any, p: Precision) -> Sequence[Batch]:
    settings, count = choices(subject), len(sizes(subject.contract))
    hunted = [
        expand(subject, Plan(seed, 0, k), 256, p, settings) for seed, k in itertools.product((3, 7), range(count))
    ]
    rows = [*mixed_batches(subject, p, "cpu", 64, "domains"), *calm_batches(subject, p, "cpu", 64, "domains")]
    return [*sweep(subject, p, QUICK), *hunted, *rows]


def summed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first.double() * 0.0).sum() + (second.double() * 0.0).sum()


@ALL
@pytest.mark.parametrize("declared", HELD)
def test_every_row_of_either_lane_is_as_declared(declared: str, p: Precision) -> None:
    subject = custom(summed, [declared, declared])
    for batch in _batches(subject, p):
        for name, array in batch.args.items():
            assert HELD[declared](array), f"{name}: {declared}"
        assert batch.rows(subject.contract)


@ALL
@pytest.mark.parametrize("declared", [d for d in HELD if "index" not in d and "lengths" not in d])
def test_copies_are_still_drawn(declared: str, p: Precision) -> None:
    batch = next(iter(_batches(custom(summed, [declared, declared]), p)))
    first, second = batch.args.values()
    assert (first == second).reshape(len(first), -1).all(axis=1).any()


@pytest.mark.parametrize("declared", [d for d in HELD if "simplex" in d or "boxes" in d or "zero" in d])
def test_rows_that_are_minimised_are_as_declared(declared: str) -> None:
    subject = custom(summed, [declared, declared])
    contract = subject.contract

    def fails(batch: Batch) -> Rows:
        for array in batch.args.values():
            assert HELD[declared](array)
        first, second = batch.args.values()
        return np.asarray((first != second).reshape(len(first), -1).any(axis=1))

    batch = expand(subject, Plan(5, 0, 0), 64, FLOAT32, choices(subject))
    for row in np.flatnonzero(fails(batch))[:4]:
        small = minimise(contract, batch.take(contract, np.array([row])), fails)
        assert fails(small).all()


def test_an_example_in_probabilities_gets_simple() -> None:
    subject = custom(summed, ["simplex(N, C)", "simplex(N, C)"])
    batch = expand(subject, Plan(5, 0, 0), 8, FLOAT32, choices(subject)).take(subject.contract, np.array([3]))
    small = minimise(subject.contract, batch, lambda b: np.ones(b.rows(subject.contract), np.bool_))
    assert {float(v) for a in small.args.values() for v in a.ravel()} <= {0.0, 0.5, 1.0}


@ALL
@pytest.mark.parametrize("declared", ["boxes(N)", "simplex(N, C)", "log_simplex(N, C)"])
def test_no_move_of_the_conditioning_leaves_the_domain(declared: str, p: Precision) -> None:
    subject = custom(_squares, [declared, declared])
    asked: list[Mapping[str, Any]] = []
    oracle = subject.contract.oracle

    def noting(**args: Any) -> Any:
        asked.append(args)
        return oracle(**args)

    batch = expand(subject, Plan(5, 0, 0), 64, p, choices(subject))
    truth = batch.truth(subject.contract)
    watched = replace(subject.contract, oracle=noting)
    moved = [separately(watched, batch, truth), jointly(watched, batch, truth)]
    assert len(asked) > 1
    assert all(HELD[declared](array) for args in asked for array in args.values())
    assert all(change.max() > 0.0 for changes in moved for change in changes.values()), "nothing was moved"


def _squares(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return ((first - second) ** 2).sum(-1)


def test_what_a_row_holds_together_is_asked_of_all_of_it() -> None:
    p = FLOAT32
    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [-0.0, -2.0, -1.0, -2.00001359]])
    assert Box().legal_rows(boxes, p).tolist() == [True, False, False]
    shares = np.array([[0.25, 0.75], [0.0, 0.135], [0.5, 0.5 + 2.0**-23], [-0.5, 1.5], [0.0, 0.0]])
    assert Simplex().legal_rows(shares, p).tolist() == [True, False, True, False, False]
    assert Simplex(log=True).legal_rows(np.log(shares[:2] + 1e-30), p).tolist() == [True, False]
    vectors = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])
    assert Embedding(zero=False).legal_rows(vectors, p).tolist() == [True, False]
    assert Embedding().legal_rows(vectors, p).tolist() == [True, True]
    assert Embedding(zero=False).legal_rows(np.array([0.0, 2.0]), p).tolist() == [False, True]


# -- losses that refuse what is not declared ---------------------------------------------------------------------------


def _refusing(holds: Callable[[Any], Any], loss: Callable[..., torch.Tensor], *places: int) -> Callable[..., Any]:
    def refusing(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        for place in places:
            if not holds((first, second)[place].detach()):
                raise ValueError("not as declared")
        return loss(first, second)

    return refusing


def _apart(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first - second).abs().sum(-1)


def _soft(logits: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return -(share * logits.log_softmax(-1)).sum(-1)


def _angle(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return 1.0 - functional.cosine_similarity(first, second, dim=-1)


def _mean(loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda first, second: loss(first, second).mean()


def _within_roundoff(x: torch.Tensor) -> Any:
    return adds_up(x, 32.0 * torch.finfo(x.dtype).eps)


REFUSING = {
    "boxes, a value a row": (_refusing(in_order, _apart, 0, 1), ["boxes(N)", "boxes(N)"]),
    "boxes, a mean": (_refusing(in_order, _mean(_apart), 0, 1), ["boxes(N)", "boxes(N)"]),
    "boxes of a batch": (_refusing(in_order, _mean(_apart), 0, 1), ["boxes(B)", "boxes(B)"]),
    "soft labels": (_refusing(lambda x: adds_up(x, 0.1), _soft, 1), ["logits(N, C, largest=64.0)", "simplex(N, C)"]),
    "two distributions": (
        _refusing(lambda x: adds_up(x, 0.1), _mean(_apart), 0, 1),
        ["simplex(N, C)", "simplex(N, C)"],
    ),
    "distributions of a batch": (
        _refusing(lambda x: adds_up(x, 0.1), _mean(_apart), 0, 1),
        ["simplex(B, C)", "simplex(B, C)"],
    ),
    "soft labels, to roundoff": (
        _refusing(_within_roundoff, _soft, 1),
        ["logits(N, C, largest=64.0)", "simplex(N, C)"],
    ),
    "directions": (
        _refusing(not_zero, _angle, 0, 1),
        ["embedding(N, D, zero=False)", "embedding(N, D, zero=False)"],
    ),
    "directions of a batch": (
        _refusing(not_zero, _mean(_angle), 0, 1),
        ["embedding(B, D, zero=False)", "embedding(B, D, zero=False)"],
    ),
}


@pytest.mark.parametrize("says", REFUSING)
def test_a_loss_that_refuses_what_is_not_declared_is_called_with_nothing_else(says: str) -> None:
    loss, declared = REFUSING[says]
    result = validate(loss, inputs=declared, dtype=["float64", "bfloat16"], name="refusing")
    assert not [t.reason for t in result.trials if t.verdict == "error"]
    assert not [f.message for t in result.trials for f in t.findings if f.severity == "defect"]
    judged = [t for t in result.trials if t.check == "value" and t.dtype == "float64"]
    assert [t.verdict for t in judged] == ["pass"]


def test_what_only_float64_refuses_is_said_and_not_failed() -> None:
    loss, declared = REFUSING["soft labels, to roundoff"]
    result = validate(loss, inputs=declared, dtype="bfloat16", name="refusing")
    left_out = [t for t in result.trials if t.verdict == "unsupported"]
    assert {"value", "gradient", "range"} <= {t.check for t in left_out}
    assert all("for want of a reference: refusing in float64" in t.reason for t in left_out)


# -- inputs that are as declared and refused all the same --------------------------------------------------------------


def _large(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if (x.abs() > 50.0).any():
        raise ValueError("too large")
    return (x - y) ** 2


def _squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y) ** 2


def _without_large(x: Any, y: Any) -> Any:
    if (np.abs(x) > 50.0).any():
        raise ValueError("too large for the oracle")
    return (x - y) ** 2


def _errors(result: Result) -> list[str]:
    return [t.reason for t in result.trials if t.verdict == "error"]


def test_a_loss_that_raises_at_a_declared_input_is_at_fault_in_every_check() -> None:
    result = validate(_large, inputs=["real(N)", "real(N)"], dtype=["float64", "float32"], name="large")
    assert not _errors(result)
    raised = [f for t in result.trials for f in t.findings if f.kind == "raised" and f.severity == "defect"]
    assert all("ValueError: too large" in f.message for f in raised)
    assert {"value", "gradient", "laws"} <= {t.check for t in result.trials if t.verdict == "fail"}
    assert all(f.case is not None and f.reproduction for f in raised)
    shown = [float.fromhex(v) for f in raised for v in f.case.tensors["x"].data if f.case]
    assert all(abs(v) > 50.0 for v in shown)


def test_an_oracle_that_raises_at_a_declared_input_is_told_with_it() -> None:
    result = validate(_squared, inputs=["real(N)", "real(N)"], oracle=_without_large, dtype="float32", name="squared")
    assert not _errors(result)
    found = [f for t in result.trials for f in t.findings if f.kind == "no reference"]
    assert found
    assert all("ValueError: too large for the oracle" in f.message and f.case is not None for f in found)
    beyond = [t for t in result.trials if t.check == "nonfinite"]
    assert "unsupported" in {t.verdict for t in beyond}
    assert "fail" not in {t.verdict for t in beyond}, "nan and inf are not declared"


def _chosen(share: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return -2.0 * share.clamp_min(1e-30).log().gather(1, label[:, None])[:, 0]


def _of_probabilities(share: Any, label: Any) -> Any:
    if not adds_up(share, 0.1):
        raise ValueError("no probabilities")
    with np.errstate(divide="ignore"):
        return -np.log(np.take_along_axis(share, label[:, None], axis=1)[:, 0])


def test_a_mistake_is_found_though_the_oracle_refuses_what_others_would_be() -> None:
    declared = ["simplex(N, C)", "class_index(N)"]
    result = validate(
        _chosen, inputs=declared, oracle=_of_probabilities, dtype="float64", check="mistakes", name="chosen"
    )
    assert "every value is doubled" in result.findings[0].message


# -- laws that few rows satisfy exactly --------------------------------------------------------------------------------


def _cox(log_h: torch.Tensor, events: torch.Tensor, durations: torch.Tensor) -> torch.Tensor:
    order = durations.sort(descending=True)[1]
    events, log_h = events[order], log_h[order]
    largest = log_h.max()
    risk = log_h.sub(largest).exp().cumsum(0).add(1e-7).log().add(largest)
    return -log_h.sub(risk).mul(events).sum().div(events.sum())


def _cox_that_shifts(log_h: torch.Tensor, events: torch.Tensor, durations: torch.Tensor) -> torch.Tensor:
    return _cox(log_h, events, durations) + 0.5 * log_h.mean()


SURVIVAL = ["logits(B)", "event(B)", "positive(B)"]


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_law_of_a_user_is_asked_of_rows_in_which_it_can_hold(dtype: str) -> None:
    found = {
        loss: validate(loss, inputs=SURVIVAL, laws=["shift_invariant(log_h)"], dtype=dtype, check="laws", name="cox")
        for loss in (_cox, _cox_that_shifts)
    }
    shift = {loss: next(t for t in r.trials if "adding 4" in t.item) for loss, r in found.items()}
    assert shift[_cox].verdict == "pass"
    assert shift[_cox].cases > 0
    assert shift[_cox_that_shifts].verdict == "fail"
    assert "changes nothing: value: expected" in shift[_cox_that_shifts].findings[0].message


def test_a_law_that_no_row_can_satisfy_is_said_and_not_an_error() -> None:
    result = validate(
        _squared,
        inputs=["simplex(N, C)", "simplex(N, C)"],
        laws=["scale_invariant(x)"],
        dtype="float32",
        check="laws",
        name="squared",
    )
    scaled = next(t for t in result.trials if "times 8" in t.item)
    assert scaled.verdict == "unsupported"
    assert "no row of float32 was found in which it can hold exactly" in scaled.reason
