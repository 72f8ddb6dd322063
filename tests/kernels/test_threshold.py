import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu
from sklearn.cluster import KMeans

from rs_monitor.kernels.threshold import (
    BIN_WIDTH,
    BINS,
    histogram,
    otsu,
    quantile,
    two_means,
)
from tests.comparison import assert_close

LAW = settings(deadline=None, derandomize=True, max_examples=50)
bins = st.lists(st.integers(0, 3000), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1)


def centres(numbers):
    """One value in the middle of each bin, so that no rounding moves it to another."""
    return (np.array(numbers) + 0.5) * BIN_WIDTH


def brute_force(values):
    """Midpoint of the two groups of least squared deviation over every split, and that sum."""
    ordered = np.sort(values)
    best = None
    for k in np.flatnonzero(np.diff(ordered)) + 1:
        low, high = ordered[:k], ordered[k:]
        spread = low.var() * low.size + high.var() * high.size
        if best is None or spread < best[0]:
            best = (spread, (low.mean() + high.mean()) / 2)
    return best


def spread_of(values, threshold):
    low, high = values[values <= threshold], values[values > threshold]
    return low.var() * low.size + high.var() * high.size


def test_two_groups_by_hand():
    values = np.array([1.005, 1.005, 1.025, 9.005])
    assert two_means(histogram(values)) == pytest.approx(((1.005 * 2 + 1.025) / 3 + 9.005) / 2)


def test_histogram_counts_and_sums():
    table = histogram(np.array([0.005, 0.006, np.nan, 0.025, 1e30, 200.5], "float32"))
    assert table.shape == (2, BINS)
    assert table[0, [0, 1, 2, BINS - 1]].tolist() == [2, 0, 1, 2]
    assert table[0].sum() == 5
    assert table[1, 0] == pytest.approx(0.011)


def test_one_value_cannot_be_split():
    for values in ([], [3.0, 3.0], [np.nan]):
        with pytest.raises(ValueError, match="nothing to split"):
            two_means(histogram(np.array(values)))


@LAW
@given(bins)
def test_no_split_is_better(numbers):
    values = centres(numbers)
    spread, midpoint = brute_force(values)
    found = two_means(histogram(values))
    assert spread_of(values, found) == pytest.approx(spread, rel=1e-9, abs=1e-9)
    if np.isclose(spread_of(values, midpoint), spread) and len(set(numbers)) == 2:
        assert found == pytest.approx(midpoint)


@pytest.mark.parametrize("seed", range(3))
def test_is_scikit_learns_kmeans(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.gamma(3, 0.6, 900), 9 + rng.normal(size=150)])
    values = centres((values / BIN_WIDTH).astype(int))
    means = KMeans(2, n_init=5, tol=0, random_state=0).fit(values[:, None]).cluster_centers_
    assert two_means(histogram(values)) == pytest.approx(means.mean(), abs=1e-6)


@LAW
@given(bins, st.integers(1, 39))
def test_blocks_add_up_to_the_whole(numbers, cut):
    values = centres(numbers)
    parts = histogram(values[:cut]) + histogram(values[cut:])
    assert_close(parts, histogram(values), atol=1e-9)


@LAW
@given(bins)
def test_otsu_names_scikit_images_bin(numbers):
    table = histogram(centres(numbers))
    middles = (np.arange(BINS) + 0.5) * BIN_WIDTH
    last = int(np.flatnonzero(table[0])[-1]) + 1
    expected = threshold_otsu(hist=(table[0, :last].astype(int), middles[:last]))
    values = centres(numbers)
    found = otsu(table)
    # equally good splits may differ by rounding: both must be equally good
    assert spread_of(values, found) == pytest.approx(
        spread_of(values, expected), rel=1e-9, abs=1e-9
    )
    assert spread_of(values, found) == pytest.approx(brute_force(values)[0], rel=1e-9, abs=1e-9)


def test_otsu_cuts_where_the_lower_group_ends():
    table = histogram(np.array([1.005, 1.005, 1.025, 9.005]))
    assert otsu(table) == pytest.approx(1.03)


def test_otsu_needs_two_values():
    with pytest.raises(ValueError, match="nothing to split"):
        otsu(histogram(np.array([3.0, 3.0])))


@LAW
@given(bins, st.floats(0.01, 1))
def test_quantile_is_numpys_within_a_bin(numbers, share):
    values = centres(numbers)
    expected = np.quantile(values, share, method="inverted_cdf")
    assert abs(quantile(histogram(values), share) - expected) <= BIN_WIDTH / 2 + 1e-9


def test_no_value_has_no_quantile():
    with pytest.raises(ValueError, match="no value"):
        quantile(histogram(np.array([np.nan])), 0.5)


def test_a_quantile_beyond_the_histogram_is_refused():
    table = histogram(np.full(10, 2000.0))
    with pytest.raises(ValueError, match="lies beyond"):
        quantile(table, 0.5)
