import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from rs_monitor.kernels.change import (
    Moments,
    mad_chi2,
    mad_moments,
    mad_transform,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=25)


def two_dates(pixels, bands, seed, changed=0.15):
    """Correlated dates of other gain and offset, part of the pixels changed."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands))
    ground = mixing @ rng.normal(size=(bands, pixels))
    before = ground + 0.2 * rng.normal(size=ground.shape)
    after = 1.7 * ground + 5 + 0.2 * rng.normal(size=ground.shape)
    moved = rng.random(pixels) < changed
    after[:, moved] += 6 * rng.normal(size=(bands, int(moved.sum())))
    return before, after


def iterate(before, after, origin, times):
    transform = mad_transform(mad_moments(before, after, origin), origin)
    for _ in range(times):
        transform = mad_transform(mad_moments(before, after, origin, transform), origin)
    return transform


def plain_irmad(before, after, times):
    """The same method written with NumPy's covariance and SciPy's generalised eigenproblem."""
    p, n = before.shape
    weights = np.ones(n)
    for _ in range(times + 1):
        both = np.vstack([before, after])
        mean = np.average(both, axis=1, weights=weights)
        cov = np.cov(both, aweights=weights, ddof=0)
        sxx, syy, sxy = cov[:p, :p], cov[p:, p:], cov[:p, p:]
        rho_squared, a = scipy.linalg.eigh(sxy @ np.linalg.inv(syy) @ sxy.T, sxx)
        b = np.linalg.inv(syy) @ sxy.T @ a
        b /= np.sqrt(np.diag(b.T @ syy @ b))
        rho = np.sqrt(rho_squared)
        variates = a.T @ (before - mean[:p, None]) - b.T @ (after - mean[p:, None])
        statistic = np.sum(variates**2 / (2 * (1 - rho))[:, None], axis=0)
        weights = chi2.sf(statistic, p)
    return statistic, rho[::-1]


def test_moments_of_four_pixels_by_hand():
    before = np.array([[1.0, 2.0, np.nan, 4.0]])
    after = np.array([[3.0, 5.0, 7.0, np.nan]])
    moments = mad_moments(before, after, np.array([1.0, 3.0]))
    assert moments.weight == 2.0
    assert_close(moments.first, np.array([1.0, 2.0]), atol=0)
    assert_close(moments.second, np.array([[1.0, 2.0], [2.0, 4.0]]), atol=0)


@pytest.mark.parametrize("times", [0, 1, 4])
@pytest.mark.parametrize("bands", [1, 2, 5])
def test_is_the_plain_twin(bands, times):
    before, after = two_dates(400, bands, seed=bands)
    origin = np.concatenate([before.mean(axis=1), after.mean(axis=1)])
    transform = iterate(before, after, origin, times)
    statistic, rho = plain_irmad(before, after, times)
    assert_close(transform.correlations, rho, atol=2e-6)
    found = np.log1p(mad_chi2(before, after, transform).astype("float64"))
    assert_close(found, np.log1p(statistic), atol=1e-4)


def test_weights_find_the_changed_pixels():
    before, after = two_dates(2000, 4, seed=3)
    quiet_before, quiet_after = two_dates(2000, 4, seed=3, changed=0.0)
    origin = np.zeros(8)
    transform = iterate(before, after, origin, 20)
    moved = np.any(after != quiet_after, axis=0)
    assert np.array_equal(before, quiet_before)
    statistic = mad_chi2(before, after, transform)
    assert np.median(statistic[moved]) > 20 * np.median(statistic[~moved])


@pytest.mark.parametrize("bands", [1, 3, 6])
def test_mean_statistic_is_the_number_of_bands(bands):
    before, after = two_dates(500, bands, seed=8)
    transform = iterate(before, after, np.zeros(2 * bands), 0)
    statistic = mad_chi2(before, after, transform)
    assert statistic.mean(dtype="float64") == pytest.approx(bands, rel=1e-5)


def test_missing_values_do_not_count_and_stay_missing():
    before, after = two_dates(300, 3, seed=5)
    holed_before = np.concatenate([before, np.full((3, 2), 9.0)], axis=1)
    holed_after = np.concatenate([after, np.full((3, 2), -9.0)], axis=1)
    holed_before[1, 300] = np.nan
    holed_after[2, 301] = np.nan
    transform = iterate(before, after, np.zeros(6), 3)
    holed = iterate(holed_before, holed_after, np.zeros(6), 3)
    assert_close(holed.correlations, transform.correlations, atol=1e-6)
    statistic = mad_chi2(holed_before, holed_after, holed)
    assert statistic.dtype == np.float32
    assert np.flatnonzero(np.isnan(statistic)).tolist() == [300, 301]


def test_nothing_seen_is_refused():
    nothing = np.full((2, 3), np.nan)
    with pytest.raises(ZeroDivisionError, match="no pixel is seen"):
        mad_transform(mad_moments(nothing, nothing, np.zeros(4)), np.zeros(4))


def test_a_constant_band_is_refused():
    before, after = two_dates(50, 2, seed=1)
    before[0] = 7.0
    with pytest.raises(np.linalg.LinAlgError):
        mad_transform(mad_moments(before, after, np.zeros(4)), np.zeros(4))


gains = st.lists(
    st.floats(0.05, 20).flatmap(lambda g: st.sampled_from([g, -g])), min_size=6, max_size=6
)
offsets = st.lists(st.floats(-100, 100), min_size=6, max_size=6)


@LAW
@given(gains, offsets)
def test_gain_and_offset_of_a_band_change_nothing(gain, offset):
    before, after = two_dates(200, 3, seed=11)
    scale, shift = np.array(gain)[:, None], np.array(offset)[:, None]
    other_before = before * scale[:3] + shift[:3]
    other_after = after * scale[3:] + shift[3:]
    found = []
    for one, two in [(before, after), (other_before, other_after)]:
        origin = np.concatenate([one.mean(axis=1), two.mean(axis=1)])
        found.append(mad_chi2(one, two, iterate(one, two, origin, 4)))
    assert_close(found[1], found[0], atol=1e-4, rtol=1e-4)


mixings = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed))


@LAW
@given(mixings)
def test_mixing_the_bands_changes_nothing(rng):
    """Nielsen's invariance: any invertible map of the bands, another at each date."""
    before, after = two_dates(300, 4, seed=12)
    found = [mad_chi2(before, after, iterate(before, after, np.zeros(8), 3))]
    turned = [np.linalg.qr(rng.normal(size=(4, 4)))[0] * rng.uniform(0.3, 3, 4) for _ in range(2)]
    one, two = turned[0] @ before + 3, turned[1] @ after - 2
    found.append(mad_chi2(one, two, iterate(one, two, np.zeros(8), 3)))
    assert_close(np.log1p(found[1]), np.log1p(found[0]), atol=2e-4)


@pytest.mark.parametrize("pixels", [1, 255, 256, 257, 1000])
def test_a_pixel_does_not_know_its_place(pixels):
    before, after = two_dates(1000, 3, seed=7)
    transform = iterate(before, after, np.zeros(6), 1)
    whole = mad_chi2(before, after, transform)
    part = mad_chi2(before[:, -pixels:], after[:, -pixels:], transform)
    assert_close(part, whole[-pixels:], atol=0)


@LAW
@given(st.sets(st.integers(1, 119), max_size=8), st.booleans())
def test_moments_of_blocks_add_up_to_the_whole(cuts, weighted):
    before, after = two_dates(120, 3, seed=2)
    before[0, 17] = np.nan
    origin = np.nanmean(np.concatenate([before, after]), axis=1)
    transform = iterate(before, after, origin, 2) if weighted else None
    whole = mad_moments(before, after, origin, transform)
    edges = [0, *sorted(cuts), 120]
    parts = [
        mad_moments(before[:, a:b], after[:, a:b], origin, transform)
        for a, b in itertools.pairwise(edges)
    ]
    total = sum(parts[1:], parts[0])
    assert isinstance(total, Moments)
    assert total.weight == pytest.approx(whole.weight, rel=1e-6)
    assert_close(total.first, whole.first, atol=1e-4)
    assert_close(total.second, whole.second, atol=1e-3)


@LAW
@given(st.integers(0, 10_000))
def test_swapping_the_dates_keeps_the_statistic(seed):
    before, after = two_dates(150, 3, seed=seed)
    forth = iterate(before, after, np.zeros(6), 2)
    back = iterate(after, before, np.zeros(6), 2)
    assert_close(
        mad_chi2(after, before, back), mad_chi2(before, after, forth), atol=1e-4, rtol=1e-4
    )
