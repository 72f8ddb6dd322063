import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from rs_monitor.kernels.geomedian import GRADIENT_TOLERANCE, LANES, geomedian
from rs_monitor.kernels.medoid import medoid_index
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=60)
NAN = float("nan")
values = st.integers(-100, 100).map(lambda v: v / 8)
looks_of = st.tuples(st.integers(1, 9), st.integers(1, 4))
clouds = looks_of.flatmap(lambda shape: arrays("float32", shape, elements=values))


def one_pixel(points):
    """Points (time, band) as a stack of one pixel."""
    return np.asarray(points, "float32")[:, :, np.newaxis, np.newaxis]


def solve(points):
    return geomedian(one_pixel(points))[:, 0, 0]


def mean_distance(points, place):
    gaps = np.asarray(points, "float64") - np.asarray(place, "float64")
    return float(np.sqrt((gaps**2).sum(axis=1)).mean())


def width(points):
    return max(float(np.ptp(points, axis=0).max()), 1e-3)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[3, 4]], [3, 4]),  # one look: the look
        ([[0, 0], [2, 6]], [1, 3]),  # two: their middle
        ([[5, 5], [5, 5]], [5, 5]),
        ([[1, 2], [1, 2], [9, 9]], [1, 2]),  # twice the same outvotes the third
        ([[0, 0], [1, 0], [10, 0]], [1, 0]),  # on a line: the median
        ([[0, 0], [0, 1], [1, 0], [1, 1]], [0.5, 0.5]),
        ([[0, 0], [4, 0], [0, 4], [4, 4], [2, 2]], [2, 2]),  # the start is a look
        ([[-1, 0], [1, 0], [0, 0.1]], [0, 0.1]),  # an angle over 120 degrees: that look
        ([[0, 0], [1, 0], [0.5, 3**0.5 / 2]], [0.5, 3**0.5 / 6]),  # Fermat's point
        ([[NAN, NAN], [3, 4], [NAN, 7]], [3, 4]),  # a look without one band is none
        ([[NAN, 1], [2, NAN]], [NAN, NAN]),
        ([[float("inf"), 1], [2, 3]], [2, 3]),
    ],
)
def test_geomedian_by_hand(points, expected):
    assert_close(solve(points), np.array(expected, "float32"), atol=2e-4)


def test_start_on_a_look_that_is_not_the_minimum():
    # the mean of these is the last look, and the minimum lies elsewhere
    points = np.array([[0, 0], [1, 0], [0, 1], [9, 0], [0, 9], [2, 2]], "float32")
    assert points[:5].mean(axis=0).tolist() == points[5].tolist()
    best = minimize(lambda p: mean_distance(points, p), points[5], method="Nelder-Mead").fun
    assert mean_distance(points, points[5]) > best + 0.1
    assert mean_distance(points, solve(points)) <= best + 1e-4


def test_a_look_that_is_barely_the_minimum_is_taken():
    # the two others pull it by 0.999 of its own weight: an iteration alone never gets there
    points = np.array([[-1, 0], [1, 0], [0, 0.5765]], "float32")
    assert_close(solve(points), points[2], atol=1e-6)


def test_one_band_is_the_median():
    points = np.array([[5], [1], [9], [2], [7]], "float32")
    assert_close(solve(points), np.array([5], "float32"), atol=0)


def test_no_date():
    assert np.isnan(geomedian(np.empty((0, 2, 3, 4), "float32"))).all()


@LAW
@given(clouds)
def test_no_point_is_nearer_on_the_mean(points):
    """Against the median, every look, and an independent minimiser."""
    found = solve(points)
    best = minimize(lambda p: mean_distance(points, p), found, method="Nelder-Mead")
    rivals = [np.median(points, axis=0), *points, best.x]
    excess = GRADIENT_TOLERANCE * width(points) * points.shape[1] ** 0.5
    assert mean_distance(points, found) <= min(mean_distance(points, r) for r in rivals) + excess


@LAW
@given(clouds, st.randoms(use_true_random=False))
def test_the_order_of_dates_does_not_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    one, other = solve(points), solve(points[order])
    assert mean_distance(points, one) == pytest.approx(
        mean_distance(points, other), abs=GRADIENT_TOLERANCE * width(points)
    )


def scattered(seed, times=7, bands=3):
    """Looks in general position: there the minimum is one point."""
    return np.random.default_rng(seed).normal(0, 1, (times, bands)).astype("float32")


@LAW
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_turned_looks_give_the_turned_point(seed, turn):
    points = scattered(seed)
    rotation = np.linalg.qr(np.random.default_rng(turn).normal(size=(3, 3)))[0].astype("float32")
    assert_close(solve(points @ rotation), solve(points) @ rotation, atol=5e-3)


@LAW
@given(st.integers(0, 10**6), st.integers(-12, 12), st.integers(-8, 8))
def test_moved_and_scaled_looks_give_the_moved_and_scaled_point(seed, power, move):
    points, scale = scattered(seed), np.float32(2.0**power)
    # powers of two are exact: the iteration takes the same steps
    assert_close(solve(points * scale), solve(points) * scale, atol=0)
    assert_close(solve(points + np.float32(move)), solve(points) + np.float32(move), atol=5e-3)


def stack_with_gaps(times=9, bands=4, rows=7, cols=61):
    rng = np.random.default_rng(3)
    stack = rng.uniform(0, 1, (times, bands, rows, cols)).astype("float32")
    stack[:, :, rng.random((rows, cols)) < 0.1] = np.nan
    return np.where(rng.random((times, 1, rows, cols)) < 0.4, np.nan, stack).astype("float32")


@pytest.mark.parametrize("kernel", [geomedian, medoid_index])
def test_tiles_do_not_matter(kernel):
    stack = stack_with_gaps()
    assert stack[0, 0].size > 2 * LANES
    whole = kernel(stack)
    for rows, cols in [((0, 3), (0, 61)), ((3, 7), (5, 40)), ((6, 7), (60, 61))]:
        part = kernel(stack[:, :, slice(*rows), slice(*cols)])
        assert_close(part, whole[..., slice(*rows), slice(*cols)], atol=0)


def test_equals_an_independent_minimiser():
    stack = stack_with_gaps(rows=1, cols=40)
    found = geomedian(stack)
    for column in range(40):
        points = stack[:, :, 0, column]
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < 3:
            continue
        best = minimize(
            lambda p, points=points: mean_distance(points, p),
            np.median(points, axis=0),
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000},
        )
        assert mean_distance(points, found[:, 0, column]) <= best.fun + 1e-6
        assert_close(found[:, 0, column], best.x.astype("float32"), atol=3e-3)
