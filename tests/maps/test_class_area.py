import math
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError
from rs_monitor.grid import true_pixel_area_m2
from rs_monitor.maps.class_area import (
    area_of_counts,
    area_of_tiles,
    class_area,
    count_tile,
    merge_counts,
    strip_px_of,
)

LAW = settings(deadline=None, derandomize=True, max_examples=12)
GRID = GeoBox((70, 2500), Affine(10, 0, 600000, 0, -10, 3500000), "EPSG:32650")


def raster(values):
    return xr.DataArray(values, dims=("y", "x"))


def a_map(shape, seed=0):
    """Fields, a class that thickens to the right, a lone pixel, nodata."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, 5, (-(-shape[0] // 8), -(-shape[1] // 8))).astype(np.uint8)
    classes = fields.repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]].copy()
    classes[rng.random(shape) < np.linspace(0, 0.8, shape[1])] = 7
    classes[-1, -1] = 200
    return classes


CLASSES = a_map(GRID.shape)
WHOLE = class_area(raster(CLASSES), GRID)


def bits(table):
    return table.to_dict("list") | {"area_m2": [a.hex() for a in table["area_m2"]]}


def cuts(length):
    inner = st.lists(st.integers(1, length - 1), max_size=4, unique=True).map(sorted)
    return inner.map(lambda at: [0, *at, length])


def test_by_hand():
    square = GeoBox((2, 3), Affine(10, 0, 500000, 0, -10, 3500000), "EPSG:4548")
    found = class_area(raster(np.array([[1, 1, 0], [2, 1, 0]], np.uint8)), square)
    assert found["class"].tolist() == [1, 2]
    assert found["pixels"].tolist() == [3, 1]
    # scale 1 on the central meridian of a Gauss-Krueger zone
    np.testing.assert_allclose(found["area_m2"], [300, 100], rtol=1e-9)


@LAW
@given(cuts(70), cuts(2500))
def test_any_chunking_gives_the_same_bits(rows, cols):
    chunks = (tuple(np.diff(rows).tolist()), tuple(np.diff(cols).tolist()))
    lazy = raster(da.from_array(CLASSES, chunks=chunks))
    assert bits(class_area(lazy, GRID)) == bits(WHOLE)


@LAW
@given(cuts(70), cuts(2500), st.randoms(use_true_random=False))
def test_any_order_of_tiles_gives_the_same_bits(rows, cols, random):
    tiles = [
        count_tile(CLASSES[y0:y1, x0:x1], GRID, row=y0, col=x0)
        for y0, y1 in pairwise(rows)
        for x0, x1 in pairwise(cols)
    ]
    random.shuffle(tiles)
    assert bits(area_of_counts(merge_counts(tiles, GRID), GRID)) == bits(WHOLE)


@pytest.mark.parametrize(
    ("crs", "left", "top", "edge"),
    [
        ("EPSG:32650", 200_000, 3_500_000, 10.0),  # 300 to 150 km from the central meridian
        ("EPSG:32650", 680_000, 5_500_000, 30.0),
        ("EPSG:4548", 425_000, 3_500_000, 10.0),
        ("EPSG:4525", 37_425_000, 2_500_000, 30.0),
        ("EPSG:4490", 118.0, 31.0, 1e-4),
    ],
)
@pytest.mark.parametrize("turned_deg", [0, 20])
def test_strips_agree_with_every_pixel_by_itself(crs, left, top, edge, turned_deg):
    width = round(150_000 / edge) if edge > 1 else 3000
    turn = Affine(edge, 0, left, 0, -edge, top) @ Affine.rotation(turned_deg)
    geobox = GeoBox((24, width), turn, crs)
    classes = a_map((24, width))
    found = class_area(raster(classes), geobox)
    each_m2 = true_pixel_area_m2(geobox, np.arange(width))
    by_pixel = [math.fsum(each_m2[classes == code]) for code in found["class"]]
    assert set(found["class"]) >= {1, 7, 200}
    np.testing.assert_allclose(found["area_m2"], by_pixel, rtol=1e-9)
    if crs == "EPSG:32650":
        # what the middle column of every row would have said
        assert np.ptp(each_m2[0]) / each_m2[0].mean() > 1e-4


def test_strips_follow_the_pixel():
    def strip(edge):
        return strip_px_of(GeoBox((1, 1), Affine(edge, 0, 0, 0, -edge, 0), "EPSG:32650"))

    assert [strip(edge) for edge in (2, 30, 50, 1000, 50_000)] == [1024, 1024, 512, 32, 1]


def test_nothing_mapped():
    found = class_area(raster(np.zeros((2, 2), np.uint8)), GRID[:2, :2])
    assert found.columns.tolist() == ["class", "pixels", "area_m2"]
    assert found.empty


def test_what_is_refused():
    small = GRID[:2, :2]
    with pytest.raises(QuantityError, match="uint8"):
        class_area(raster(np.zeros((2, 2), np.float32)), small)
    with pytest.raises(GridMismatch, match="own geobox"):
        class_area(raster(np.zeros((2, 3), np.uint8)), small)
    with pytest.raises(MissingCRS, match="assign"):
        class_area(raster(np.zeros((2, 2), np.uint8)), GeoBox((2, 2), small.affine, None))
    with pytest.raises(GridMismatch, match="inside"):
        count_tile(np.zeros((2, 2), np.uint8), small, row=1, col=0)
    other = count_tile(np.zeros((2, 2), np.uint8), small, row=0, col=0)
    coarse = GeoBox((2, 2), Affine(1000, 0, 0, 0, -1000, 0), "EPSG:32650")
    with pytest.raises(GridMismatch, match="strips"):
        merge_counts([other], coarse)


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox((20, 600), Affine(0.05, 0, 110, 0, -0.05, 20) @ Affine.rotation(90), "EPSG:4490"),
        GeoBox((10, 1500), Affine(1, 0, -500, 0, -1, 3500), "+proj=utm +zone=50 +units=km"),
        GeoBox((40, 300), Affine(0.05, 0, 175, 0, 0.05, 30), "EPSG:4490"),
    ],
    ids=["turned degrees", "kilometres", "south up over the antimeridian"],
)
def test_grids_on_which_a_strip_is_easily_too_wide(grid):
    classes = np.where(np.arange(grid.shape.x) < grid.shape.x // 3, 1, 2).astype(np.uint8)
    classes = np.broadcast_to(classes, grid.shape).copy()
    each = true_pixel_area_m2(grid, np.arange(grid.shape.x))
    found = class_area(raster(classes), grid).set_index("class")["area_m2"]
    for code in (1, 2):
        assert found[code] == pytest.approx(each[classes == code].sum(), rel=1e-9)


def test_tiles_that_do_not_make_the_whole_are_refused():
    half = count_tile(CLASSES[:40], GRID, row=0, col=0)
    rest = count_tile(CLASSES[40:], GRID, row=40, col=0)
    with pytest.raises(GridMismatch, match="lack 75000 pixels"):
        area_of_counts(merge_counts([half], GRID), GRID)
    with pytest.raises(GridMismatch, match="overlap"):
        merge_counts([half, rest, half], GRID)
    edge = count_tile(CLASSES[39:], GRID, row=39, col=0)
    with pytest.raises(GridMismatch, match="overlap"):
        merge_counts([half, edge], GRID)
    # as many pixels as the grid, but some columns twice and others never
    left, middle, right = (
        count_tile(CLASSES[:, a:b], GRID, row=0, col=at)
        for a, b, at in ((0, 300, 0), (300, 600, 200), (600, 2500, 600))
    )
    with pytest.raises(GridMismatch, match="hold some twice"):
        area_of_counts(merge_counts([left, middle, right], GRID), GRID)
    longer = GeoBox((90, 2500), GRID.affine, GRID.crs)
    with pytest.raises(GridMismatch, match="70 rows"):
        merge_counts([count_tile(a_map((90, 2500)), longer, row=0, col=0)], GRID)


def tiles_of(count, rows, cols, *rasters):
    return [
        count(*(values[y0:y1, x0:x1] for values in rasters), GRID, row=y0, col=x0)
        for y0, y1 in pairwise(rows)
        for x0, x1 in pairwise(cols)
    ]


@LAW
@given(cuts(70), cuts(2500))
def test_tiles_by_rows_give_the_bits_of_the_whole(rows, cols):
    tiles = iter(tiles_of(count_tile, rows, cols, CLASSES))
    assert bits(area_of_tiles(tiles, GRID)) == bits(WHOLE)


def test_tiles_out_of_order_or_missing_are_refused():
    upper, lower = tiles_of(count_tile, [0, 40, 70], [0, 2500], CLASSES)
    for tiles in ([lower, upper], [lower]):
        with pytest.raises(GridMismatch, match="were due"):
            area_of_tiles(tiles, GRID)
    with pytest.raises(GridMismatch, match="overlap"):
        area_of_tiles([upper, upper, lower], GRID)
    with pytest.raises(GridMismatch, match="lack 75000 pixels"):
        area_of_tiles([upper], GRID)
    left, _right = tiles_of(count_tile, [0, 70], [0, 1500, 2500], CLASSES)
    with pytest.raises(GridMismatch, match="lack 70000 pixels"):
        area_of_tiles([left], GRID)
