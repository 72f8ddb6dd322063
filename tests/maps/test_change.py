import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rs_monitor.codes import Change, LandCover, separable
from rs_monitor.kernels.change import mad_moments
from rs_monitor.maps.change import (
    change_mask,
    change_probability,
    fit_irmad,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=40)
CLASSES = (LandCover.PADDY, LandCover.UPLAND_CROP, LandCover.FOREST, LandCover.BUILT)
weights = arrays("float32", (4, 2, 3), elements=st.floats(0.015625, 1, width=32))


def column(*shares):
    return np.array(shares, "float32").reshape(-1, 1, 1)


def posterior(values):
    return values / values.sum(axis=0)


def test_probability_counted_by_hand():
    before = column(0.5, 0.3, 0.1, 0.1)
    after = column(0.1, 0.1, 0.2, 0.6)
    # paddy and upland crop are one to the sensor: both to forest or built, back, and across
    by_hand = 0.8 * (0.2 + 0.6) + 0.1 * (0.1 + 0.1 + 0.6) + 0.1 * (0.1 + 0.1 + 0.2)
    found = change_probability(before, after, CLASSES)
    assert_close(found, np.array([[by_hand]], "float32"), atol=1e-6)


def test_all_pairs_of_certain_classes():
    certain = np.eye(len(LandCover), dtype="float32")
    covers = list(LandCover)
    for i, one in enumerate(covers):
        for j, other in enumerate(covers):
            pair = [certain[:, k].reshape(-1, 1, 1) for k in (i, j)]
            found = change_probability(*pair, covers)
            assert_close(found, np.array([[separable(one, other)]], "float32"), atol=0)


@LAW
@given(arrays("int64", (2, 3), elements=st.integers(0, 3)))
def test_the_same_certain_map_twice_is_no_change(index):
    certain = np.moveaxis(np.eye(4, dtype="float32")[index], -1, 0)
    found = change_probability(certain, certain, CLASSES)
    assert_close(found, np.zeros((2, 3), "float32"), atol=0)


@LAW
@given(weights, weights)
def test_swapping_the_dates_keeps_the_probability(one, other):
    before, after = posterior(one), posterior(other)
    forth = change_probability(before, after, CLASSES)
    assert_close(change_probability(after, before, CLASSES), forth, atol=1e-6)
    assert (forth >= 0).all()
    assert (forth <= 1 + 1e-6).all()


@pytest.mark.parametrize("classes", [CLASSES, (LandCover.PADDY, LandCover.UPLAND_CROP)])
@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1)])
def test_a_date_not_seen_is_never_no_change(classes, missing):
    share = np.full((len(classes), 1, 2), 1 / len(classes), "float32")
    dates = [share.copy(), share.copy()]
    for date in missing:
        dates[date][:, 0, 1] = np.nan
    found = change_probability(*dates, classes)
    assert np.isnan(found).tolist() == [[False, True]]


def test_mask_keeps_not_seen_apart_from_no_change():
    magnitude = np.array([1.0, 2.0, 2.1, np.nan, 9.0, 0.0], "float32")
    seen = np.array([1, 1, 1, 1, 0, 0], bool)
    expected = [
        Change.NO_CHANGE,
        Change.NO_CHANGE,
        Change.CHANGE,
        Change.NOT_SEEN,
        Change.NOT_SEEN,
        Change.NOT_SEEN,
    ]
    assert_close(change_mask(magnitude, 2.0, seen), np.array(expected, "uint8"), atol=0)


@LAW
@given(arrays(bool, 8), arrays(bool, 8))
def test_blanking_looks_never_makes_no_change(seen, blank):
    magnitude = np.linspace(0, 4, 8, dtype="float32")
    full = change_mask(magnitude, 2.0, seen)
    less = change_mask(magnitude, 2.0, seen & ~blank)
    assert ((less == full) | (less == Change.NOT_SEEN)).all()


@pytest.fixture
def measured():
    rng = np.random.default_rng(6)
    before = rng.normal(size=(3, 500))
    after = before + 0.3 * rng.normal(size=(3, 500))
    after[:, :60] += 5
    calls = []

    def measure(transform):
        calls.append(transform)
        return mad_moments(before, after, np.zeros(6), transform)

    return measure, calls


def test_fit_stops_when_the_correlations_stand(measured):
    measure, calls = measured
    transform, iterations = fit_irmad(measure, np.zeros(6), max_iterations=200, tolerance=1e-3)
    assert len(calls) == iterations + 1
    assert 1 < iterations < 200
    assert calls[0] is None
    moves = [
        np.abs(b.correlations - a.correlations).max()
        for a, b in zip(calls[1:], [*calls[2:], transform], strict=True)
    ]
    assert moves[-1] < 1e-3
    assert min(moves[:-1]) >= 1e-3


def test_fit_ends_after_the_last_allowed_iteration(measured):
    measure, calls = measured
    _, iterations = fit_irmad(measure, np.zeros(6), max_iterations=2, tolerance=1e-15)
    assert iterations == 2
    assert len(calls) == 3
