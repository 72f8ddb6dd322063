import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import graycomatrix, graycoprops

from rs_monitor.errors import ConfigError, GridMismatch
from rs_monitor.kernels.texture import MEASURES, window_texture
from rs_monitor.maps.texture import texture
from tests.comparison import assert_close

ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def plane(values):
    return xr.DataArray(np.asarray(values, "float32"), dims=("y", "x"), name="ndvi")


def texture_of(values, window_px=3, measures=MEASURES, step=1.0):
    values = np.asarray(values, "float32")
    radius = window_px // 2
    found = window_texture(values, radius_px=radius, measures=measures, step=step)
    return dict(zip(measures, found, strict=True))


def windows(values, radius):
    for y, x in np.ndindex(values.shape):
        rows, cols = (
            slice(max(y - radius, 0), y + radius + 1),
            slice(max(x - radius, 0), x + radius + 1),
        )
        yield (y, x), values[rows, cols]


@pytest.mark.parametrize("radius", [1, 2])
def test_contrast_and_homogeneity_are_those_of_the_cooccurrence_matrix(radius):
    levels = np.random.default_rng(0).integers(0, 8, (7, 6)).astype("uint8")
    expected = np.empty((2, *levels.shape))
    for place, window in windows(levels, radius):
        matrix = graycomatrix(window, [1], ANGLES, levels=8, symmetric=True, normed=True)
        for k, name in enumerate(("contrast", "homogeneity")):
            expected[k][place] = graycoprops(matrix, name).mean()
    found = texture_of(levels, 2 * radius + 1)
    got = np.stack([found["contrast"], found["homogeneity"]])
    assert_close(got, expected.astype("float32"), atol=0, rtol=1e-6)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_deviation_and_range_of_what_is_known_of_the_window(radius):
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, (8, 9)).astype("float32")
    values[rng.random(values.shape) < 0.2] = np.nan
    expected = np.full((2, *values.shape), np.nan, "float32")
    for place, window in windows(values, radius):
        if np.isfinite(values[place]) and np.isfinite(window).sum() > 1:
            expected[0][place] = np.nanstd(window.astype("float64"))
            expected[1][place] = np.nanmax(window) - np.nanmin(window)
    found = texture_of(values, 2 * radius + 1)
    assert_close(np.stack([found["std"], found["range"]]), expected, atol=1e-6)


def test_a_pixel_that_is_unknown_or_alone_has_no_texture():
    alone = np.full((5, 5), np.nan)
    alone[2, 2] = 0.4
    assert all(np.isnan(layer).all() for layer in texture_of(alone).values())
    two = alone.copy()
    two[2, 3] = 0.6
    found = texture_of(two, step=0.2)
    for name, value in (("std", 0.1), ("range", 0.2), ("contrast", 0.04), ("homogeneity", 0.5)):
        assert found[name][2, 2] == pytest.approx(value, abs=1e-6)
        assert np.isfinite(found[name]).sum() == 2


def test_what_is_infinite_is_unknown():
    values = np.random.default_rng(2).normal(size=(6, 6))
    values[2, 3], values[5, 5] = np.inf, -np.inf
    blank = np.where(np.isfinite(values), values, np.nan)
    for name, layer in texture_of(values).items():
        assert_close(layer, texture_of(blank)[name], atol=0)


def test_what_is_even_far_from_zero_has_no_texture():
    found = texture_of(np.full((4, 4), 721.3))
    assert found["std"].max() == found["range"].max() == found["contrast"].max() == 0
    assert found["homogeneity"].min() == 1


def test_an_edge_between_two_fields_is_seen_and_their_insides_are_even():
    fields = np.repeat([[0.2] * 6 + [0.8] * 6], 6, axis=0)
    for layer in (texture_of(fields)[name] for name in ("std", "range", "contrast")):
        assert (layer[:, 5:7] > 0.05).all()
        assert (np.delete(layer, [5, 6], axis=1) < 1e-6).all()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([3, 5]), st.integers(0, 2**16))
def test_chunks_leave_no_trace(rows, cols, window_px, seed):
    rng = np.random.default_rng(seed)
    values = plane(np.where(rng.random((9, 8)) < 0.2, np.nan, rng.normal(size=(9, 8))))
    told = {"window_px": window_px, "measures": MEASURES, "step": 0.3}
    lazy = texture(values.chunk(y=rows, x=cols), **told).compute(scheduler="synchronous")
    xr.testing.assert_identical(lazy, texture(values, **told))


def test_measures_come_as_asked_and_named():
    found = texture(plane(np.eye(4)), window_px=3, measures=("contrast", "std"), step=0.0)
    assert found["measure"].values.tolist() == ["contrast", "std"]
    assert found.dtype == np.float32
    assert_close(found.values[1], texture_of(np.eye(4))["std"], atol=0)


def test_windows_without_a_centre_and_stacks_are_refused():
    with pytest.raises(ConfigError, match="window of 4 px"):
        texture(plane(np.eye(4)), window_px=4, measures=("std",), step=0.0)
    with pytest.raises(ConfigError, match=r"step of 0\.0"):
        texture(plane(np.eye(4)), window_px=3, measures=("homogeneity",), step=0.0)
    with pytest.raises(GridMismatch, match="needed y, x"):
        texture(plane(np.eye(4)).expand_dims("time"), window_px=3, measures=("std",), step=0.0)
