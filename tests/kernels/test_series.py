import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.kernels.series import (
    CYCLES_NOT_SEEN,
    crop_cycles,
    longest_gap_days,
    time_quantiles,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=50)
NAN = float("nan")
FRACTIONS = np.array([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
values = st.one_of(st.floats(-100, 100, width=32), st.just(NAN))
stacks = arrays("float32", st.tuples(st.integers(1, 9), st.just(2), st.just(3)), elements=values)


def series(*looks):
    return np.array(looks, "float32").reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([3, 1, 2], [1.0, 1.5, 2.0, 2.5, 3.0]),
        ([3, NAN, 1], [1.0, 1.5, 2.0, 2.5, 3.0]),
        ([5, NAN, NAN], [5.0] * 5),
        ([NAN, NAN, NAN], [NAN] * 5),
        ([0, 0, 8], [0.0, 0.0, 0.0, 4.0, 8.0]),
    ],
)
def test_quantiles_of_three_dates(looks, expected):
    found = time_quantiles(series(*looks), np.array([0, 0.25, 0.5, 0.75, 1]))
    assert_close(found[:, 0, 0], np.array(expected, "float32"), atol=0)


def test_no_date_is_not_seen():
    found = time_quantiles(np.empty((0, 2, 3), "float32"), FRACTIONS)
    assert_close(found, np.full((6, 2, 3), np.nan, "float32"), atol=0)


def test_an_infinity_is_no_look():
    stack = np.array([0.1, np.inf, 0.3, -np.inf, NAN], "float32")[:, None, None]
    found = time_quantiles(stack, np.array([0.0, 0.5, 1.0])).ravel()
    assert_close(found, np.array([0.1, 0.2, 0.3], "float32"), atol=1e-7)


@LAW
@given(stacks)
def test_quantiles_are_numpys(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = np.nanquantile(stack.astype("float64"), FRACTIONS, axis=0)
    assert_close(time_quantiles(stack, FRACTIONS), expected.astype("float32"), atol=2e-5)


@LAW
@given(stacks, st.randoms(use_true_random=False))
def test_quantiles_do_not_know_the_order_of_dates(stack, random):
    order = list(range(len(stack)))
    random.shuffle(order)
    assert_close(time_quantiles(stack[order], FRACTIONS), time_quantiles(stack, FRACTIONS), atol=0)


@LAW
@given(stacks)
def test_quantiles_ascend_between_least_and_most(stack):
    found = time_quantiles(stack, FRACTIONS)
    seen = np.isfinite(stack).any(axis=0)
    low = np.where(np.isnan(stack), np.inf, stack).min(axis=0)
    high = np.where(np.isnan(stack), -np.inf, stack).max(axis=0)
    assert np.array_equal(np.isfinite(found), np.broadcast_to(seen, found.shape))
    assert np.array_equal(found[0][seen], low[seen])
    assert np.array_equal(found[-1][seen], high[seen])
    assert (np.diff(found[:, seen], axis=0) >= -1e-5).all()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([1, 1, 1], 10),
        ([0, 1, 1], 20),
        ([1, 0, 0], 30),
        ([0, 0, 1], 30),
        ([0, 1, 0], 20),
        ([0, 0, 0], 40),
    ],
)
def test_longest_gap_by_hand(seen, expected):
    clear = np.array(seen, bool).reshape(3, 1, 1)
    found = longest_gap_days(clear, np.array([10.0, 20.0, 30.0]), 0.0, 40.0)
    assert_close(found, np.array([[expected]], "float32"), atol=0)


def test_no_look_at_all_is_the_whole_period():
    found = longest_gap_days(np.empty((0, 1, 2), bool), np.empty(0), 3.0, 33.0)
    assert_close(found, np.full((1, 2), 30, "float32"), atol=0)


@LAW
@given(arrays(bool, (6, 2, 2)), st.integers(0, 5))
def test_another_look_never_lengthens_the_gap(clear, index):
    days = np.array([0.0, 3, 9, 15, 16, 40])
    more = clear.copy()
    more[index] = True
    gap = longest_gap_days(clear, days, 0.0, 60.0)
    assert (longest_gap_days(more, days, 0.0, 60.0) <= gap).all()
    assert (gap <= 60).all()


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([0.1, 0.8], 1),  # sown and grown
        ([0.8, 0.1], 0),  # forest cleared, or a winter crop seen only while falling
        ([0.8, 0.8, 0.4, 0.1, 0.1], 0),
        ([0.1, 0.8, 0.1], 1),
        ([0.1, 0.8, 0.1, 0.8], 2),
        ([0.8, 0.1, 0.8], 1),
        ([0.1, 0.8, 0.1, 0.8, 0.1], 2),
        ([0.1, 0.8, 0.4, 0.8, 0.1], 1),  # thinned, never bare
        ([0.1, 0.4, 0.8, 0.4], 1),
        ([0.1, NAN, 0.8, NAN, 0.1], 1),
        ([0.8, 0.8, 0.8], 0),  # woods
        ([0.1, 0.1, 0.1], 0),  # bare all the time
        ([0.1, 0.4, 0.1], 0),  # weeds
        ([0.3, 0.55], 1),  # the limits belong to their side
        ([0.31, 0.55, 0.54], 0),
        ([0.8, NAN], CYCLES_NOT_SEEN),
        ([NAN, NAN], CYCLES_NOT_SEEN),
    ],
)
def test_crop_cycles(looks, expected):
    found = crop_cycles(series(*looks), np.float32(0.3), np.float32(0.55), 2)
    assert_close(found, np.array([[expected]], "uint8"), atol=0)


@LAW
@given(st.lists(st.sampled_from([0.1, 0.4, 0.8, NAN]), min_size=1, max_size=12))
def test_crop_cycles_are_the_rises_from_bare_to_closed(looks):
    decided = "".join({0.1: "b", 0.8: "c"}.get(v, "") for v in looks)
    seen = any(v == v for v in looks)
    expected = decided.count("bc") if seen else CYCLES_NOT_SEEN
    found = crop_cycles(series(*looks), 0.3, 0.55, 1)
    assert_close(found, np.array([[expected]], "uint8"), atol=0)
