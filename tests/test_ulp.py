"""The number lines of the dtypes, and an error that never drops out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.ulp import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    PRECISIONS,
    Precision,
    distance,
    every_pattern,
    from_ordinal,
    round_to,
    step,
    to_hex,
    to_ordinal,
)

ALL = pytest.mark.parametrize("p", PRECISIONS.values(), ids=lambda p: p.name)
HALVES = pytest.mark.parametrize("p", [FLOAT16, BFLOAT16], ids=lambda p: p.name)


@ALL
def test_constants_are_those_of_torch(p: Precision) -> None:
    info = torch.finfo(getattr(torch, p.name))
    assert p.largest == info.max
    assert p.smallest_normal == info.smallest_normal
    assert 2 * p.u == info.eps
    assert p.smallest_subnormal == info.smallest_normal * info.eps


@HALVES
def test_every_pattern_is_every_bit_pattern_of_torch(p: Precision) -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    every = bits.view(getattr(torch, p.name)).double().numpy()
    ours = every_pattern(p)
    assert len(ours) == 2**16
    assert np.isnan(ours).sum() == np.isnan(every).sum()
    assert np.array_equal(np.sort(ours[~np.isnan(ours)]), np.sort(every[~np.isnan(every)]))
    assert np.signbit(ours[ours == 0]).sum() == 1


@HALVES
def test_rounding_of_float32_numbers_is_that_of_torch(p: Precision) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-(2**31), 2**31, 200_000).astype(np.int32).view(np.float32)
    want = torch.from_numpy(x).to(getattr(torch, p.name)).double().numpy()
    with np.errstate(invalid="ignore"):  # signalling nans
        got = round_to(p, x.astype(np.float64))
    assert np.array_equal(got, want, equal_nan=True)
    assert np.array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]))


def test_rounding_of_float64_does_not_round_twice() -> None:
    just_above_a_tie = 1.0 + 2.0**-8 + 2.0**-40
    assert round_to(BFLOAT16, just_above_a_tie) == 1.0 + 2.0**-7
    assert round_to(BFLOAT16, 1.0 + 2.0**-8) == 1.0


@ALL
@given(data=st.data())
def test_ordinals_round_trip(p: Precision, data: st.DataObject) -> None:
    top = p.largest_ordinal + 1
    n = data.draw(st.integers(-top, top))
    assert to_ordinal(p, from_ordinal(p, n)) == n


@ALL
def test_neighbours_are_one_ordinal_apart(p: Precision) -> None:
    info = [0.0, 1.0, -1.0, p.smallest_subnormal, p.smallest_normal, -p.smallest_normal, p.largest / 4]
    for x in info:
        up = step(p, np.array(x), 1)
        assert up > x
        assert to_ordinal(p, up) - to_ordinal(p, x) == 1
        assert round_to(p, (float(up) + x) / 2) in (up, x)
    assert step(p, np.array(p.largest), 1) == np.inf
    assert np.isnan(step(p, np.array(np.nan), 3))


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(NUMBERS, NUMBERS)
def test_the_error_is_total_and_symmetric(a: float, b: float) -> None:
    there, back = distance(np.array(a), np.array(b)), distance(np.array(b), np.array(a))
    assert there == back
    assert there >= 0.0
    same = (a == b) or (math.isnan(a) and math.isnan(b))
    assert (there == 0.0) == same
    if math.isnan(a) != math.isnan(b):
        assert there == np.inf


@given(NUMBERS)
def test_hex_text_is_exact(x: float) -> None:
    back = float.fromhex(to_hex(x))
    assert back == x or (math.isnan(back) and math.isnan(x))


def test_float32_ordinals_are_its_bits() -> None:
    assert to_ordinal(FLOAT32, 1.0) == 0x3F800000
    assert to_ordinal(FLOAT32, -1.0) == -0x3F800000
    assert to_ordinal(FLOAT32, np.inf) == FLOAT32.largest_ordinal + 1
