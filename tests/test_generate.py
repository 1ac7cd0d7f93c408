"""What the two lanes cover, and that both are the same in every process."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import effort, registry
from harness.binding import Subject
from harness.deviations import Points
from harness.domain import Interval, Setting, ignored_index
from harness.effort import CI, QUICK
from harness.generate import Plan, all_pairs, choices, expand, sizes, sweep
from harness.ulp import BFLOAT16, FLOAT16, FLOAT32, PRECISIONS, Precision, every_pattern, round_to

SUBJECTS = [s for s in registry.subjects() if s.twin is None]
SUBJECT = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.name)
ALL = pytest.mark.parametrize("p", PRECISIONS.values(), ids=lambda p: p.name)
FACTORS = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(tuple), max_size=5
)


@given(FACTORS)
def test_every_pair_of_values_occurs(factors: dict[str, tuple[int, ...]]) -> None:
    rows = all_pairs(factors)
    assert rows[0] == {name: values[0] for name, values in factors.items()}
    for a, b in itertools.combinations(factors, 2):
        seen = {(row[a], row[b]) for row in rows}
        assert seen == set(itertools.product(factors[a], factors[b]))
    for name, values in factors.items():
        assert {row[name] for row in rows} == set(values)


def test_all_pairs_are_far_fewer_than_all_combinations() -> None:
    factors = dict.fromkeys("abcdef", (0, 1, 2))
    assert len(all_pairs(factors)) <= 20 < 3**6


@SUBJECT
def test_every_value_of_every_parameter_is_judged(subject: Subject) -> None:
    rows = choices(subject)
    for parameter in subject.contract.parameters:
        if parameter.name in subject.parameters:
            assert {repr(r.parameters[parameter.name]) for r in rows} == set(map(repr, parameter.values))
    for arg in subject.contract.args:
        if arg.optional and arg.name in subject.arguments:
            assert {arg.name in r.present for r in rows} == {True, False}


@pytest.mark.parametrize("p", [FLOAT16, BFLOAT16], ids=lambda p: p.name)
@SUBJECT
def test_16_bit_scalar_kernels_are_swept_over_every_pattern(subject: Subject, p: Precision) -> None:
    contract = subject.contract
    if not contract.scalar:
        pytest.skip("not a scalar kernel: its plane cannot be exhausted")
    first = contract.args[0]
    batches = [b for b in sweep(subject, p, CI) if b.complete]
    seen = np.concatenate([b.args[first.name] for b in batches])
    patterns = every_pattern(p)
    wanted = np.unique(patterns[first.kind.legal(patterns)])
    assert np.array_equal(np.unique(seen), wanted)
    others = [a.name for a in contract.args if a.name in batches[0].args and a is not first]
    if any(isinstance(contract.arg(n).kind, Interval) for n in others):
        columns = len(seen) // len(wanted)
        assert columns >= effort.SECOND_ARGUMENTS


@SUBJECT
@ALL
def test_every_number_is_born_in_the_dtype_and_legal(subject: Subject, p: Precision) -> None:
    settings = choices(subject)
    batches = [*itertools.islice(sweep(subject, p, QUICK), 6), expand(subject, Plan(7, 0, 0), 512, p, settings)]
    for batch in batches:
        for name, array in batch.args.items():
            arg = subject.contract.arg(name)
            if not arg.kind.integral:
                assert np.array_equal(round_to(p, array), array, equal_nan=True), name
            assert bool(np.all(arg.kind.legal(array) | _ignored(array, batch.parameters))), name


def _ignored(array: np.ndarray, parameters: dict[str, object]) -> np.ndarray:  # type: ignore[type-arg]
    if "ignore_index" not in parameters:
        return np.zeros(array.shape, np.bool_)
    return array == ignored_index(parameters["ignore_index"])  # type: ignore[arg-type]


@SUBJECT
def test_both_lanes_are_the_same_every_time(subject: Subject) -> None:
    def first() -> list[bytes]:
        batch = next(iter(sweep(subject, FLOAT32, QUICK)))
        hunted = expand(subject, Plan(3, 0, len(sizes(subject.contract)) - 1), 256, FLOAT32, choices(subject))
        return [a.tobytes() for b in (batch, hunted) for a in b.args.values()]

    assert first() == first()


@ALL
def test_the_mixture_reaches_both_ends_of_the_dtype(p: Precision) -> None:
    x = Interval().draw(np.random.default_rng(0), (4096,), Setting(precision=p))
    magnitude = np.abs(x[x != 0])
    assert magnitude.max() > p.largest / 16
    assert magnitude.min() < p.smallest_normal
    assert (np.abs(x - 1.0) <= 16 * p.u).any()


def test_generation_does_not_touch_the_global_generators() -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]  # noqa: NPY002
    next(iter(sweep(SUBJECTS[0], FLOAT32, QUICK)))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # type: ignore[index,arg-type]  # noqa: NPY002


def test_points_give_an_absent_weight_as_one() -> None:
    batch = next(iter(sweep(SUBJECTS[0], FLOAT32, QUICK)))
    points = batch.points(SUBJECTS[0].contract, batch.truth(SUBJECTS[0].contract))
    assert isinstance(points, Points)
    assert points["no such weight"] == 1.0
