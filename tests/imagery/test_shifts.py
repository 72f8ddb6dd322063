"""Scenes read where their content really lies."""

from dataclasses import replace

import dask
import numpy as np
import pytest

from rs_monitor.errors import ConfigError, QuantityError
from rs_monitor.imagery.load import load_cube, to_reflectance

ROWS, COLS = 60, 80
SLOPE = np.array([7.0, 3.0])  # of a ramp, per row and per column


def load(items, geobox, **options):
    return load_cube(items, geobox=geobox, bands=["red"], **options)["red"]


def ramp(rows=0.0, cols=0.0):
    """Values of a linear ramp where row and column are displaced."""
    y, x = np.indices((ROWS, COLS))
    return 1000 + SLOPE[0] * (y + rows) + SLOPE[1] * (x + cols)


def inside(values, margin=4):
    return values[..., margin:-margin, margin:-margin]


@pytest.fixture
def grid(make):
    return make.grid(ROWS, COLS)


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("shift", [(0.25, -0.4), (-1.5, 0.75), (2.125, 0.0), (0.0, -0.03)])
def test_a_linear_ramp_is_read_exactly_where_it_lies(scene, grid, method, shift):
    item = scene("a", ramp().astype("float32"), nodata=None)
    found = load([item], grid, resampling=method, shifts={"a": shift}).values[0]
    np.testing.assert_allclose(inside(found), inside(ramp(*shift)), atol=2e-3)


def test_a_whole_shift_is_a_plain_read_of_other_pixels(scene, grid, numbers):
    found = load([scene("a", numbers)], grid, shifts={"a": (3, -2)}).values[0]
    assert np.array_equal(found[:-3, 2:], numbers[3:, :-2])
    assert not found[-3:].any()  # nobody saw it
    assert not found[:, :2].any()


def test_a_displaced_copy_is_brought_back(scene, grid, numbers):
    displaced = np.zeros_like(numbers)
    displaced[5:, 7:] = numbers[:-5, :-7]  # the content lies 5 rows down and 7 columns right
    found = load([scene("a", displaced)], grid, shifts={"a": (5.0, 7.0)}).values[0]
    assert np.array_equal(found[:-5, :-7], numbers[:-5, :-7])


def test_codes_are_taken_not_mixed(scene, grid):
    codes = np.random.default_rng(2).choice([4, 6, 9], (ROWS, COLS)).astype("uint8")
    item = scene("a", codes, band="scl")
    cube = load_cube(
        [item], geobox=grid, bands=["scl"], resampling="cubic", shifts={"a": (0.7, -0.6)}
    )
    found = cube["scl"].values[0]
    assert found.dtype == np.uint8
    assert np.array_equal(found[1:-1, 1:-1], codes[2:, :-2])


@pytest.mark.parametrize("shifts", [None, {}, {"other": (1.5, 2.5)}, {"a": (0.0, -0.0)}])
def test_without_a_shift_nothing_is_warped(scene, grid, numbers, monkeypatch, shifts):
    monkeypatch.setattr("rs_monitor.imagery.pixels._read_warped", None)
    item = scene("a", numbers)
    assert np.array_equal(load([item], grid, shifts=shifts).values[0], numbers)
    assert load([item], grid, shifts=shifts).data.name == load([item], grid).data.name


def test_each_scene_of_a_mosaic_has_its_own_shift(scene, grid, numbers):
    left, right = numbers.copy(), numbers.copy()
    left[:, 30:], right[:, :30] = 0, 0
    items = [scene("a", left), scene("b", right, when="2024-05-01T02:50:30Z")]
    moved = np.zeros_like(right)
    moved[2:] = right[:-2]
    items[1] = scene("c", moved, when="2024-05-01T02:50:30Z")
    found = load(items, grid, shifts={"c": (2.0, 0.0)}).values[0]
    assert np.array_equal(found[:-2], numbers[:-2])


@pytest.mark.parametrize("method", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("pixel", [10.0, 7.0])
def test_windows_and_chunks_change_nothing(make, scene, numbers, monkeypatch, method, pixel):
    monkeypatch.setattr("rs_monitor.imagery.pixels.WARP_TILE_PX", 32)
    numbers[10:14, 20:31] = 0
    item, geobox = scene("a", numbers), make.grid(75, 90, pixel=pixel)
    options = {"resampling": method, "shifts": {"a": (0.37, -2.61)}}
    full = load([item], geobox, **options).values
    window = (slice(7, 51), slice(11, 83))
    part = load([item], geobox, window=window, chunk_px=9, **options).values
    assert np.array_equal(part, full[(slice(None), *window)])
    assert np.array_equal(load([item], geobox, chunk_px=17, **options).values, full)


def test_a_far_shift_still_finds_its_chunks(make, scene, numbers):
    item = scene("a", numbers)
    geobox = make.grid(ROWS, COLS, left=make.LEFT + 2000)  # out of the scene's own reach
    found = load([item], geobox, chunk_px=16, shifts={"a": (0.0, -200.0)}).values[0]
    assert np.array_equal(found, numbers)


def test_a_shift_enters_the_keys(scene, grid, numbers):
    item = scene("a", numbers)
    names = {
        load([item], grid, shifts={"a": shift}).data.name
        for shift in [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (np.float32(0.5), np.float64(0.0))]
    }
    assert len(names) == 3


def test_describing_a_shifted_cube_reads_no_pixel(scene, grid, numbers):
    def no_compute(*args, **kwargs):
        raise AssertionError("a pixel was read")

    with dask.config.set(scheduler=no_compute):
        load([scene("a", numbers)], grid, shifts={"a": (0.5, 0.5)})


@pytest.mark.parametrize("shift", [(np.nan, 0.0), (0.0, np.inf), (1.0,), (1.0, 2.0, 3.0)])
def test_a_shift_that_is_none_is_refused(scene, grid, numbers, shift):
    with pytest.raises(ConfigError, match=r"a: .*; needed rows and columns"):
        load([scene("a", numbers)], grid, shifts={"a": shift})


@pytest.mark.parametrize("shift", [(2.0, 0.0), (0.8, -1.3)], ids=["whole", "part"])
def test_the_rim_a_shift_uncovers_is_not_seen(scene, grid, numbers, shift):
    numbers[:] = 7
    item = scene("a", numbers, nodata=None)
    found = load([item], grid, shifts={"a": shift}, chunk_px=32)
    assert found.dtype == np.float32
    assert np.isnan(found.attrs["nodata"])
    values = found.values[0]
    assert np.isnan(values[-1]).all()
    assert set(np.unique(values[:-2, 2:])) == {7}
    assert np.isnan(values).sum() <= 2 * COLS + 2 * ROWS
    assert not (values == 0).any()


def test_only_shifted_scenes_without_nodata_change_the_dtype(scene, grid, numbers):
    bare = scene("a", numbers, nodata=None)
    declared = scene("b", numbers, when="2024-06-01T02:50:00Z")
    assert load([bare], grid, shifts={"b": (2.0, 0.0)}).dtype == np.uint16
    assert load([declared], grid, shifts={"b": (2.0, 0.0)}).dtype == np.uint16
    assert load([bare], grid, shifts={"a": (0.0, 0.0)}).dtype == np.uint16


def test_numbers_without_scale_stay_refused_when_held_as_floats(scene, grid, numbers):
    item = scene("a", numbers, nodata=None)
    plain = replace(item, bands={"red": replace(item.bands["red"], scale=1.0, offset=0.0)})
    cube = load_cube([plain], geobox=grid, bands=["red"], shifts={"a": (2.0, 0.0)})
    with pytest.raises(QuantityError, match="holds uint16 without a reflectance scale"):
        to_reflectance(cube, ["red"])


def test_floats_need_no_scale_beside_scaled_integers(scene, grid, numbers):
    one, two = (
        scene("a", numbers),
        scene("b", ramp().astype("float32"), when="2024-06-01T02:50:00Z"),
    )
    scaled = replace(one, bands={"red": replace(one.bands["red"], scale=1e-4, offset=0.0)})
    plain = replace(two, bands={"red": replace(two.bands["red"], scale=1.0, offset=0.0)})
    cube = load_cube([scaled, plain], geobox=grid, bands=["red"])
    assert cube["red"].dtype == np.float32
    assert to_reflectance(cube, ["red"])["red"].values[1, 0, 0] == 1000
