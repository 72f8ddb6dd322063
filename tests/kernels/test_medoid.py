import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.kernels.medoid import medoid_index
from rs_monitor.kernels.series import NO_LOOK, nearest_look
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=60)
NAN = float("nan")
values = st.integers(0, 20).map(float)
looks_of = st.tuples(st.integers(1, 8), st.integers(1, 3))
clouds = looks_of.flatmap(lambda shape: arrays("float32", shape, elements=values))


def choose(points):
    return int(medoid_index(np.asarray(points, "float32")[:, :, None, None])[0, 0])


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[3, 4]], 0),
        ([[3, 4], [5, 6]], 0),  # equals: the earliest
        ([[0, 0], [9, 9], [1, 1]], 2),
        ([[7, 7], [1, 2], [7, 7]], 0),
        ([[1, 0], [0, 1], [1, 1], [0, 0]], 0),  # a square: all alike
        ([[0, 1], [1, 0], [0, 0], [1, 1]], 0),
        ([[NAN, 1], [2, 2], [3, NAN]], 1),  # a look without one band is none
        ([[NAN, NAN], [3, NAN]], NO_LOOK),
        ([[0, 0], [NAN, 0], [1, 1], [5, 5]], 2),
    ],
)
def test_medoid_by_hand(points, expected):
    assert choose(points) == expected


def test_no_date():
    assert (medoid_index(np.empty((0, 2, 3, 4), "float32")) == NO_LOOK).all()


@LAW
@given(clouds)
def test_no_look_lies_less_far_from_the_others(points):
    exact = points.astype("float64")
    totals = np.sqrt(((exact[:, None] - exact[None]) ** 2).sum(axis=2)).sum(axis=1)
    assert totals[choose(points)] <= totals.min() + 1e-4


@LAW
@given(clouds, st.randoms(use_true_random=False))
def test_the_order_of_dates_only_matters_between_equals(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    one, other = points[choose(points)], points[order][choose(points[order])]
    exact = points.astype("float64")
    totals = [np.sqrt(((exact - look) ** 2).sum(axis=1)).sum() for look in (one, other)]
    assert totals[0] == pytest.approx(totals[1], abs=1e-4)


@LAW
@given(clouds, st.integers(0, 7))
def test_of_repeated_looks_the_earliest_is_taken(points, index):
    again = np.concatenate([points, points[index % len(points)][np.newaxis]])
    assert choose(again) < len(points)


def test_nearest_look():
    seen = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0]], bool)[:, np.newaxis]
    found = nearest_look(seen, np.array([4, 2, 4], "float32"))
    assert_close(found, np.array([[1, 2, 0, 1]], "int32"), atol=0)
    nothing = nearest_look(np.zeros((3, 1, 2), bool), np.array([4, 2, 4], "float32"))
    assert_close(nothing, np.full((1, 2), NO_LOOK, "int32"), atol=0)
