import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import regionprops

from rs_monitor.kernels.patch_sums import patch_sums
from tests.comparison import assert_close


def test_two_groups_counted_by_hand():
    labels = np.array([[1, 1, 0, 2], [0, 1, 0, 2]], dtype=np.int32)
    values = np.array([[2.0, 4.0, 9.0, np.nan], [9.0, 6.0, 9.0, 5.0]])
    sums = patch_sums(labels, values, 3)
    assert sums.n_px.tolist() == [3, 2, 0]
    assert sums.n_known.tolist() == [3, 1, 0]
    assert_close(sums.mean, np.array([4.0, 5.0, np.nan]), atol=0)
    assert_close(sums.sd, np.array([np.sqrt(8 / 3), 0.0, np.nan]), atol=1e-15)
    assert_close(sums.row, np.array([1 / 3, 0.5, np.nan]), atol=1e-15)
    assert_close(sums.col, np.array([2 / 3, 3.0, np.nan]), atol=1e-15)
    assert sums.box[:2].tolist() == [[0, 0, 2, 2], [0, 3, 2, 4]]


@settings(deadline=None)
@given(
    labels=arrays(
        np.int32, st.tuples(st.integers(1, 6), st.integers(1, 25)), elements=st.integers(0, 3)
    ),
    seed=st.integers(0, 99),
)
def test_it_agrees_with_scikit_image(labels, seed):
    values = np.random.default_rng(seed).normal(size=labels.shape)
    sums = patch_sums(labels, values, 3)
    for region in regionprops(labels, intensity_image=values):
        k = region.label - 1
        inside = values[labels == region.label]
        assert sums.n_px[k] == region.area
        assert_close(sums.mean[k], np.float64(region.intensity_mean), atol=1e-12)
        assert_close(sums.sd[k], inside.std(), atol=1e-7)
        assert_close(np.array([sums.row[k], sums.col[k]]), np.array(region.centroid), atol=1e-12)
        assert tuple(sums.box[k]) == region.bbox


def test_a_small_spread_about_a_large_mean_survives():
    labels = np.ones((1, 1000), dtype=np.int32)
    values = 1e9 + np.tile([0.0, 1e-3], 500)[None]
    assert_close(patch_sums(labels, values, 1).sd, np.array([values.std()]), atol=1e-7)
