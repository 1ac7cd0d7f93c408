"""The ladder of grades on constructed errors just inside and just outside every line, and what lies beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness import conditioning
from harness import judge as judging
from harness.binding import Subject, bind
from harness.bounds import GRADES, RANGES, bounds, depth, interval_error, severity
from harness.cases import Batch
from harness.conditioning import drawn, jointly, separately, value_conditioning
from harness.consistency import Followed
from harness.contract import Contract
from harness.contracts.binary_cross_entropy_with_logits import CONTRACT
from harness.deviations import Deviation
from harness.evaluate import observe
from harness.judge import LEFT_OUT, Limits, could_be, grade_entries, judge, judge_within
from harness.registry import contract
from harness.ulp import FLOAT16, FLOAT32, FLOAT64, PRECISIONS, Array, Precision
from reference.truth import Output, Truth, output

ALL = pytest.mark.parametrize("p", PRECISIONS.values(), ids=lambda p: p.name)
EXACT = 1.0
CONDITIONING = 100.0


def one(exact: float, **scales: object) -> Output:
    return output(np.array([exact]), absolute=np.array([1e6]), reference=np.array([8.0 * abs(exact)]), **scales)  # type: ignore[arg-type]


def graded(got: float, truth: Output, p: Precision, conditioning: float = 0.0) -> tuple[str, str]:
    limits = bounds(truth, p, 16.0, conditioning, 1, 4.0)
    array = np.array([got])
    grade, range_ = grade_entries(array, truth, interval_error(array, truth), limits, p)
    return GRADES[int(grade[0])], RANGES[int(range_[0])]


@pytest.mark.parametrize("p", [FLOAT64, FLOAT32], ids=lambda p: p.name)
@pytest.mark.parametrize("line", [0, 1, 2, 3], ids=GRADES[:4])
def test_each_line_of_the_ladder_holds_just_inside_and_not_just_outside(p: Precision, line: int) -> None:
    truth = one(EXACT)
    limits = bounds(truth, p, 16.0, CONDITIONING * p.u, 1, 4.0)
    edge = float((limits.few, limits.reference, limits.mixed, limits.absolute)[line][0])
    assert graded(EXACT + edge * 0.9, truth, p, CONDITIONING * p.u)[0] == GRADES[line]
    assert graded(EXACT + edge * 1.1, truth, p, CONDITIONING * p.u)[0] == GRADES[line + 1]


@ALL
def test_the_bounds_are_ordered(p: Precision) -> None:
    limits = bounds(one(EXACT, accumulation=3.0, underflow=5.0), p, 16.0, p.u, 1000, 4.0)
    assert limits.few <= limits.reference <= limits.mixed <= limits.absolute


@ALL
@pytest.mark.parametrize(
    ("got", "want", "kind"),
    [
        (np.nan, 1.0, "nan"),
        (np.inf, 1.0, "overflow"),
        (-np.inf, 1.0, "overflow"),
        (1.0, np.nan, "finite-for-nan"),
        (np.inf, np.nan, "finite-for-nan"),
        (1.0, np.inf, "finite-for-inf"),
        (np.nan, np.inf, "nan"),
        (-np.inf, np.inf, "wrong-inf"),
        (np.nan, np.nan, ""),
        (np.inf, np.inf, ""),
        (-np.inf, -np.inf, ""),
    ],
)
def test_nothing_that_is_nan_or_infinite_drops_out(p: Precision, got: float, want: float, kind: str) -> None:
    grade, range_ = graded(got, one(want), p)
    assert range_ == kind
    assert (grade == "unstable") == bool(kind)


@ALL
def test_overflow_is_right_where_the_truth_is_beyond_the_largest_number(p: Precision) -> None:
    if p is not FLOAT64:
        assert graded(np.inf, one(p.largest * 4), p) == ("few-ulp", "")
        assert graded(-np.inf, one(p.largest * 4), p)[1] == "wrong-inf"
        assert graded(p.largest, one(p.largest * 4), p)[0] == "unstable"
    assert graded(np.inf, one(p.largest / 4), p)[1] == "overflow"


@pytest.mark.parametrize("p", [FLOAT64, FLOAT32, FLOAT16], ids=lambda p: p.name)
def test_zero_for_a_normal_number_has_vanished(p: Precision) -> None:
    small = 1e-3
    assert graded(0.0, replace(one(small), absolute=np.array([1e15])), p) == ("absolute-only", "vanished")
    assert graded(0.0, replace(one(small), absolute=np.array([0.0])), p) == ("unstable", "vanished")
    assert graded(0.0, one(p.smallest_subnormal), p) == ("few-ulp", "")
    assert graded(0.0, one(small), p, conditioning=small)[0] == "mixed-stable"


def test_a_partial_product_out_of_range_is_a_weakness() -> None:
    lost = replace(one(1.0), partial=(np.array([1.0]), np.array([1e60])))
    assert graded(np.inf, lost, FLOAT32) == ("unstable", "partial-range")
    assert severity(4, RANGES.index("partial-range")) == "weakness"
    kept = replace(one(1.0), partial=(np.array([1.0]), np.array([1e30])))
    assert graded(np.inf, kept, FLOAT32) == ("unstable", "overflow")


def test_at_a_kink_every_admissible_entry_is_right() -> None:
    truth = replace(one(0.0), interval=(np.array([-1.0]), np.array([1.0])))
    for got in (-1.0, -0.3, 0.0, 1.0):
        assert graded(got, truth, FLOAT32) == ("few-ulp", "")
    assert graded(1.01, replace(truth, absolute=np.array([0.0])), FLOAT32)[0] == "unstable"
    assert graded(np.nan, truth, FLOAT32)[1] == "nan"


@pytest.mark.parametrize(("n", "want"), [(1, 4.0), (2, 5.0), (1000, 14.0), (1024, 14.0)])
def test_summation_depth(n: int, want: float) -> None:
    assert depth(n) == want


def batch(p: Precision, x: list[float], y: list[float]) -> Batch:
    return Batch(args={"input": np.array(x), "target": np.array(y)}, precision=p)


def test_conditioning_is_the_loss_own_slope_and_labels_do_not_count() -> None:
    b = batch(FLOAT32, [3.0, 3.0], [0.0, 0.25])
    truth = b.truth(CONTRACT)
    got = value_conditioning(CONTRACT, b, truth)
    sigma = 1 / (1 + np.exp(-3.0))
    assert np.allclose(got, [3.0 * sigma, 3.0 * (sigma - 0.25) + 0.25 * 3.0])


def test_gradient_conditioning_agrees_with_the_second_derivative() -> None:
    b = batch(FLOAT32, [2.0, -5.0, 0.7], [0.0, 1.0, 1.0])
    total = separately(CONTRACT, b, b.truth(CONTRACT))
    x = b.args["input"]
    sigma = 1 / (1 + np.exp(-x))
    ulp = np.array([2.0**-22, 2.0**-21, 2.0**-24])
    assert np.allclose(total["input"], sigma * (1 - sigma) * ulp, rtol=0.51)


def vectors(rows: int, seed: int) -> tuple[Contract, Batch, Truth]:
    """Pairs of vectors, and their cosine."""
    cosine = contract("cosine_similarity")
    x1, x2 = np.random.default_rng(seed).normal(size=(2, rows, 8)).astype(np.float32).astype(np.float64)
    b = Batch(args={"x1": x1, "x2": x2}, precision=FLOAT32)
    return cosine, b, b.truth(cosine)


def rows_moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call from now on conditions entry by entry."""
    moved: list[int] = []
    monkeypatch.setattr(judging, "separately", lambda *part: moved.append(part[1].rows(part[0])) or separately(*part))
    return moved


def test_conditioning_that_is_drawn_is_an_estimate_from_above() -> None:
    cosine, b, truth = vectors(50, seed=1)
    exact = separately(cosine, b, truth)
    estimate = separately(replace(cosine, one_by_one=True), b, truth)
    for name, sums in exact.items():
        ratio = estimate[name] / sums
        assert np.quantile(ratio, 0.01) > 0.5, "of 16 equal moves the mean square of eight draws is chi-square / 8"
        assert ratio.min() > 1 / 3
        assert np.median(ratio) > 1.0
        assert ratio.max() < np.sqrt(16)


def test_what_a_joint_move_explains_is_graded_as_by_every_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of losses with a dear oracle the joint move comes first; errors from far below the bound to far above it."""
    moved = rows_moved(monkeypatch)

    def all_of_it(contract: Contract, b: Batch, truth: Truth, *, half: int) -> dict[str, Array]:
        moved.extend([b.rows(contract)] if half == 0 else [])
        return conditioning._entry_by_entry(contract, b, truth)

    monkeypatch.setattr(judging, "drawn", all_of_it)
    cosine, b, truth = vectors(400, seed=2)
    joint = jointly(cosine, b, truth)
    times = 10.0 ** np.random.default_rng(3).uniform(-1.0, 3.0, (400, 1))
    got = {n: truth.gradients[n].exact + times * change for n, change in joint.items()}
    whole = {j.name: j for j in judge(cosine, b, truth, got)}
    rows, moved[:] = sum(moved), []
    first = {j.name: j for j in judge(replace(cosine, one_by_one=True), b, truth, got)}
    for name, j in whole.items():
        assert set(np.unique(j.grade)) >= {GRADES.index("mixed-stable"), GRADES.index("unstable")}
        assert np.array_equal(first[name].grade, j.grade)
        assert np.array_equal(first[name].range, j.range)
    assert 0 < sum(moved) < rows, "no row was left out, or all were"


def test_a_search_judges_the_most_suspect_rows_and_no_more_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = rows_moved(monkeypatch)
    cosine, b, truth = vectors(400, seed=4)
    every, limits = np.arange(400), Limits(cosine, b, truth)
    got = {}
    for name, gradient in truth.gradients.items():
        within = np.sqrt(limits.without_conditioning(name, every).reference * limits.at(name, every).mixed)
        times = np.where(every % 2 == 0, 1.0, 0.0)
        times[[17, 300]] = 1e6
        got[name] = gradient.exact + times[:, None] * within

    left: list[list[int]] = []

    def bad(most: int | None) -> list[list[int]]:
        moved[:] = []
        found = judge_within(Limits(cosine, b, truth), got, most=most)
        left.append([int((j.excuse == LEFT_OUT).any(axis=1).sum()) for j in found])
        return [np.flatnonzero((j.bad & (j.excuse == 0)).any(axis=1)).tolist() for j in found]

    assert bad(None) == [[17, 300]] * 2
    assert sum(moved) == 201
    assert bad(201) == [[17, 300]] * 2
    assert bad(20) == [[17, 300]] * 2, "the largest errors are always among them"
    assert 10 <= sum(moved) <= 20
    assert left[:2] == [[0, 0], [0, 0]]
    assert min(left[-1]) > 150, "left out is not the same as right"
    got["x1"] = truth.gradients["x1"].exact + 1e6 * limits.at("x1", every).mixed
    got["x1"][44:] = np.nan
    some, _ = bad(20)
    assert 10 <= len(some) <= 20, "what is not judged is no finding"
    assert sum(row < 44 for row in some) >= 5, "errors that are no numbers do not hide the others"


def test_what_a_search_leaves_out_follows_nothing() -> None:
    """Neither the mathematics nor the documentation: else one and the other would be a contradiction."""
    cosine, b, truth = vectors(400, seed=4)
    limits = Limits(cosine, b, truth)
    got = {"x1": truth.gradients["x1"].exact + 1e6 * limits.at("x1", np.arange(400)).mixed}
    elsewhere = Deviation(
        name="elsewhere",
        where="everywhere",
        region=lambda points: np.ones(400, np.bool_),
        outputs=("x1",),
        documented=lambda points, output: (points.truth.gradients[output].exact + 7.0,),
        says="another number",
        source="nowhere",
    )
    for most in (None, 20):
        followed = Followed(elsewhere, "x1")
        (j,) = judge_within(Limits(cosine, b, truth), got, most=most)
        followed.see(limits, j)
        assert j.bad.any(axis=1).all()
        assert followed.text == ""


def naive(input: torch.Tensor, target: torch.Tensor, reduction: str = "none") -> torch.Tensor:
    p = torch.sigmoid(input)
    return -(target * p.log() + (1 - target) * (1 - p).log())


def sound(input: torch.Tensor, target: torch.Tensor, reduction: str = "none") -> torch.Tensor:
    f = torch.nn.functional.logsigmoid
    return -(target * f(input) + (1 - target) * f(-input))


def worst_ratio(subject: Subject, p: Precision) -> float:
    """Largest error of the value in units of u_T * B_ref, at inputs that every dtype holds exactly."""
    x = np.concatenate([np.linspace(-8, -1, 29), -np.linspace(0, 1, 9)])
    b = batch(p, x.tolist(), np.zeros(len(x)).tolist())
    truth = b.truth(CONTRACT)
    (value,) = [j for j in judge(CONTRACT, b, truth, observe(subject, b).outputs()) if j.name == "value"]
    return float((value.error / (p.u * truth.value.reference)).max())


def test_precision_scaling_tells_unstable_from_stable_without_any_tuning() -> None:
    unstable, stable = bind(naive, CONTRACT), bind(sound, CONTRACT)
    assert worst_ratio(unstable, FLOAT64) > 100
    assert worst_ratio(unstable, FLOAT32) > 100
    flat = [worst_ratio(stable, p) for p in PRECISIONS.values()]
    assert max(flat) < 6


def test_an_infinity_beyond_an_admissible_end_is_right_and_of_the_other_sign_is_not() -> None:
    wide = replace(one(0.0), interval=(np.array([-1e3]), np.array([1e8])))
    assert graded(np.inf, wide, FLOAT16) == ("few-ulp", "")
    assert graded(-np.inf, wide, FLOAT16)[1] == "wrong-inf"
    inside = replace(one(0.0), interval=(np.array([-1e3]), np.array([1e3])))
    assert graded(np.inf, inside, FLOAT16)[1] == "overflow"


def test_half_of_the_draws_decide_where_they_explain_and_all_of_them_where_they_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, int]] = []

    def counted(contract: Contract, b: Batch, truth: Truth, *, half: int) -> dict[str, Array]:
        asked.append((half, b.rows(contract)))
        return drawn(contract, b, truth, half=half)

    monkeypatch.setattr(judging, "drawn", counted)
    cosine, b, truth = vectors(400, seed=2)
    dear = replace(cosine, one_by_one=True)
    limits, every = Limits(dear, b, truth), np.arange(400)
    limits.condition_jointly(every)
    low, high = limits.so_far("x1", every).mixed, Limits(dear, b, truth).at("x1", every).mixed
    error = low + np.where(every < 300, 0.3, 50.0)[:, None] * (high - low)
    asked.clear()
    (j,) = judge(dear, b, truth, {"x1": truth.gradients["x1"].exact + error})
    rows = dict(asked)
    assert rows[1] < 0.5 * rows[0], "what half of them explain is not asked again"
    assert rows[1] >= 100, "what they do not explain is asked with all of them"
    assert not j.bad[:300].any()
    assert j.bad[300:].any(axis=1).all()
    limits.condition_in_part(every)
    part = limits.so_far("x1", every).mixed
    whole = limits.at("x1", every).mixed
    assert (whole >= part / np.sqrt(2.0) - 1e-300).all()
    assert np.allclose(whole, Limits(dear, b, truth).at("x1", every).mixed)


def test_what_cannot_be_of_a_kind_is_never_found_to_be() -> None:
    numbers = np.array([0.0, -0.0, 1.0, 1e-30, 1e30, -1e30, 1e300, np.inf, -np.inf, np.nan])
    got, want = (a.ravel() for a in np.meshgrid(numbers, numbers))
    truth = output(want, accumulation=np.abs(want), absolute=np.ones(want.shape))
    limits = bounds(truth, FLOAT32, 16.0, 0.0, 1, 4.0)
    _, range_ = grade_entries(got, truth, interval_error(got, truth), limits, FLOAT32)
    for code, kind in enumerate(RANGES):
        if kind:
            assert not ((range_ == code) & ~could_be(kind, got, truth)).any(), kind
    assert {RANGES[r] for r in np.unique(range_)} >= {"vanished", "overflow", "nan", "finite-for-inf", "finite-for-nan"}
    assert not could_be("vanished", np.array([1.0]), one(2.0)).any()
    assert could_be("unstable", np.array([1.0]), one(1.0)).all()
