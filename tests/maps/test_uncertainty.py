import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from rs_monitor.kernels.uncertainty import LANES, entropy_and_margin
from rs_monitor.maps.uncertainty import error_ranking_auc, uncertainty

LAW = settings(deadline=None, derandomize=True, max_examples=25)
FEW = st.integers(2, 13)
SEEDS = st.integers(0, 10_000)


def shares(seed, classes, pixels=2 * LANES + 5, concentration=0.3):
    drawn = np.random.default_rng(seed).dirichlet(np.full(classes, concentration), pixels)
    return np.ascontiguousarray(drawn.T, dtype=np.float32)


def reference(probabilities):
    p = probabilities.astype(np.float64)
    entropy = -np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0), axis=0)
    ranked = np.sort(p, axis=0)
    return np.stack([entropy / np.log(len(p)), ranked[-1] - ranked[-2]])


@LAW
@given(SEEDS, FEW)
def test_entropy_and_margin_are_the_textbooks(seed, classes):
    p = shares(seed, classes)
    np.testing.assert_allclose(entropy_and_margin(p), reference(p), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 7, 13])
def test_certain_is_zero_and_equal_is_one(classes):
    certain = np.zeros((classes, 3), dtype=np.float32)
    certain[-1] = 1
    assert entropy_and_margin(certain).tolist() == [[0, 0, 0], [1, 1, 1]]
    equal = np.full((classes, 3), 1 / classes, dtype=np.float32)
    np.testing.assert_allclose(entropy_and_margin(equal), [[1] * 3, [0] * 3], atol=2e-7)


def test_a_single_class_is_certain():
    assert entropy_and_margin(np.ones((1, 2), dtype=np.float32)).tolist() == [[0, 0], [1, 1]]


@LAW
@given(SEEDS, FEW)
def test_the_order_of_classes_does_not_matter(seed, classes):
    p = shares(seed, classes)
    order = np.random.default_rng(seed).permutation(classes)
    np.testing.assert_allclose(entropy_and_margin(p[order]), entropy_and_margin(p), atol=3e-7)


@LAW
@given(SEEDS, FEW)
def test_both_stay_between_zero_and_one(seed, classes):
    both = entropy_and_margin(shares(seed, classes, concentration=0.02))
    assert both.min() >= 0
    assert both.max() <= 1


@pytest.mark.parametrize("pixel", [0, LANES - 1, LANES, 2 * LANES + 4])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_what_was_not_seen_stays_nan_and_touches_no_other(pixel, layer):
    p = shares(1, 4)
    whole = entropy_and_margin(p)
    p[layer, pixel] = np.nan
    both = entropy_and_margin(p)
    assert np.isnan(both[:, pixel]).all()
    assert np.array_equal(np.delete(both, pixel, axis=1), np.delete(whole, pixel, axis=1))


def test_a_window_gives_the_bytes_of_the_whole():
    p = shares(2, 5)
    assert np.array_equal(entropy_and_margin(p[:, 7:150]), entropy_and_margin(p)[:, 7:150])


def test_out_is_written_to():
    p = shares(3, 4).reshape(4, 9, 29)
    out = np.empty((2, 9, 29), dtype=np.float32)
    assert entropy_and_margin(p, out=out) is out
    assert np.array_equal(out, entropy_and_margin(p))


def test_rasters_keep_their_grid_and_say_what_they_are():
    p = shares(4, 3, pixels=12).reshape(3, 3, 4)
    y, x = np.arange(3.0), np.arange(4.0)
    layers = uncertainty(
        xr.DataArray(p, dims=("class", "y", "x"), coords={"class": [1, 4, 8], "y": y, "x": x})
    )
    assert list(layers) == ["entropy", "margin"]
    assert set(layers.coords) == {"y", "x"}
    assert [layers[name].attrs["units"] for name in layers] == ["1", "1"]
    np.testing.assert_allclose([layers[name] for name in layers], reference(p), atol=1e-6)


def test_ranking_of_errors():
    assert error_ranking_auc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1
    assert error_ranking_auc([0.9, 0.8, 0.2, 0.1], [False, False, True, True]) == 0
    assert error_ranking_auc([0.5] * 4, [False, False, True, True]) == 0.5
    # pairs of a wrong and a right one: 0.3 > 0.2 only, of two
    assert error_ranking_auc([0.2, 0.3, 0.4], [False, True, False]) == 0.5


def test_pixels_not_seen_are_not_ranked():
    assert error_ranking_auc([0.1, np.nan, 0.8], [False, True, True]) == 1
    assert np.isnan(error_ranking_auc([0.1, 0.8], [False, False]))
    assert np.isnan(error_ranking_auc([np.nan], [True]))


def test_entropy_ranks_the_errors_of_honest_probabilities():
    """Labels drawn from the probabilities themselves: errors sit where these are undecided."""
    rng = np.random.default_rng(5)
    p = shares(5, 4, pixels=4000)
    labels = (rng.random(4000) > np.cumsum(p, axis=0)).sum(axis=0).clip(max=3)
    entropy, margin = entropy_and_margin(p)
    wrong = p.argmax(axis=0) != labels
    assert error_ranking_auc(entropy, wrong) > 0.7
    assert error_ranking_auc(1 - margin, wrong) > 0.7
    assert 0.45 < error_ranking_auc(entropy, rng.permutation(wrong)) < 0.55
