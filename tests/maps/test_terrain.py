import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rs_monitor.errors import GridMismatch, MissingCRS, QuantityError, UnsuitableCRS
from rs_monitor.grid import row_spacing_m
from rs_monitor.kernels.terrain import slope_deg
from rs_monitor.maps.terrain import (
    aspect,
    curvature,
    hillshade,
    relief,
    roughness,
    slope,
    slope_aspect_and_hillshade,
    terrain_ruggedness,
    topographic_position,
)
from tests.comparison import assert_close

UTM = GeoBox((64, 80), Affine(30, 0, 500000, 0, -20, 3500000), "EPSG:32650")
ARC_SECOND = GeoBox((64, 80), Affine(1 / 3600, 0, 116, 0, -1 / 3600, 45), "EPSG:4326")
MAPS = {
    "slope": slope,
    "slope_zt": lambda dem, box: slope(dem, box, method="zevenbergen_thorne"),
    "aspect": aspect,
    "hillshade": hillshade,
    "three": slope_aspect_and_hillshade,
    "profile": lambda dem, box: curvature(dem, box, kind="profile"),
    "plan": lambda dem, box: curvature(dem, box, kind="plan"),
    "riley": terrain_ruggedness,
    "wilson": lambda dem, box: terrain_ruggedness(dem, box, method="wilson"),
    "roughness": roughness,
    "position": topographic_position,
    "relief": lambda dem, box: relief(dem, box, radius_px=3),
}
METRIC = ["slope", "aspect", "hillshade", "three", "profile", "plan"]


def height(shape=(4, 5)):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return xr.DataArray((3.0 * cols + 8.0 * rows).astype("float32"), dims=("y", "x"), name="dem")


def ground(geobox, seed=5):
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(0, 5, geobox.shape), axis=1).astype("float32")
    values[11, 13] = values[31:33, 40] = np.nan
    coords = xr_coords(geobox, dims=("y", "x"))
    return xr.DataArray(values, dims=("y", "x"), coords=coords, name="dem")


def test_pixel_edges_come_from_the_grid():
    geobox = GeoBox((4, 5), Affine(30, 0, 500000, 0, -20, 3500000), "EPSG:32650")
    found = slope(height(), geobox)
    expected = np.degrees(np.arctan(np.hypot(3 / 30, 8 / 20)))
    assert_close(found.values[1:-1, 1:-1], np.full((2, 3), expected, "float32"), atol=1e-5)
    assert found.attrs["units"] == "degree"
    assert found.attrs["method"] == "horn"
    assert "10.1109/PROC.1981.11918" in found.attrs["citation"]
    assert found.name == "slope_deg"


def test_edges_of_degrees_are_metres_of_their_row():
    """A plane in degrees is as steep towards the north as the meridian is long."""
    geobox = GeoBox((60, 5), Affine(1, 0, 100, 0, -1, 60), "EPSG:4326")
    rows, cols = np.mgrid[:60, :5]
    towards_east = xr.DataArray(1e5 * cols.astype("float32"), dims=("y", "x"))
    towards_north = xr.DataArray(-1e5 * rows.astype("float32"), dims=("y", "x"))
    dx, dy = row_spacing_m(geobox)
    for dem, spacing in [(towards_east, dx), (towards_north, dy)]:
        expected = np.degrees(np.arctan(1e5 / spacing)).astype("float32")[1:-1, None]
        found = slope(dem, geobox).values[1:-1, 1:-1]
        assert_close(found, np.broadcast_to(expected, (58, 3)), atol=1e-4)
    assert dx[0] < 0.52 * dx[-1]
    assert aspect(towards_east, geobox).values[30, 2] == 270
    assert aspect(towards_north, geobox).values[30, 2] == 180


@pytest.mark.parametrize("name", METRIC)
def test_a_row_of_degrees_is_a_row_of_metres(name):
    dem = ground(ARC_SECOND)
    whole = MAPS[name](dem, ARC_SECOND)
    dx, dy = row_spacing_m(ARC_SECOND)
    for y in (1, 30, 62):
        strip = GeoBox((3, 80), Affine(dx[y], 0, 5e5, 0, -dy[y], 5e6), "EPSG:32650")
        here = xr.DataArray(dem.values[y - 1 : y + 2], dims=("y", "x"))
        found, expected = (
            made.isel(y=row) for made, row in [(whole, y), (MAPS[name](here, strip), 1)]
        )
        for one, other in _pairs(found, expected):
            assert_close(one, other, atol=0)


def _pairs(one, other):
    if isinstance(one, xr.Dataset):
        return [(one[key].values, other[key].values) for key in one.data_vars]
    return [(one.values, other.values)]


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("geobox", [UTM, ARC_SECOND], ids=["metres", "degrees"])
@pytest.mark.parametrize(
    "chunks",
    [(32, 40), ((33, 31), (9, 71)), (64, 27), ((1, 2, 40, 21), (2, 3, 75)), (7, 80), (5, 5)],
)
def test_blocks_wide_and_narrow_have_the_same_bits(name, geobox, chunks):
    dem = ground(geobox)
    expected = MAPS[name](dem, geobox)
    lazy = dem.copy(data=da.from_array(dem.values, chunks=chunks))
    found = MAPS[name](lazy, geobox)
    with dask.config.set(scheduler="synchronous"):
        found = found.compute()
    xr.testing.assert_identical(found, expected)
    for one, other in _pairs(found, expected):
        assert_close(one, other, atol=0)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.floats(0.5, 60), st.floats(0, 359.9), st.sampled_from(["horn", "zevenbergen_thorne"]))
def test_planes_of_known_slope_and_aspect(steep, facing, method):
    rows, cols = np.mgrid[:6, :7]
    fall = np.tan(np.radians(steep))
    east, north = np.sin(np.radians(facing)), np.cos(np.radians(facing))
    values = 1000 - fall * (cols * 30 * east - rows * 20 * north)
    geobox = GeoBox((6, 7), Affine(30, 0, 5e5, 0, -20, 3e6), "EPSG:32650")
    dem = xr.DataArray(values, dims=("y", "x"))
    inner = np.s_[1:-1, 1:-1]
    of = slope_aspect_and_hillshade(dem, geobox, method=method)
    full = np.full((4, 5), 1.0, "float32")
    assert_close(of["slope_deg"].values[inner], full * np.float32(steep), atol=2e-4)
    assert_close(of["aspect_deg"].values[inner], full * np.float32(facing), atol=2e-4, circular=360)


def test_the_light_is_named():
    found = hillshade(height(), GeoBox((4, 5), UTM.affine, UTM.crs), sun_elevation_deg=30.0)
    assert found.attrs["sun_azimuth_deg"] == 315.0
    assert found.attrs["sun_elevation_deg"] == 30.0
    assert "sun_azimuth_deg" not in slope(height(), GeoBox((4, 5), UTM.affine, UTM.crs)).attrs


@pytest.mark.parametrize(("crs", "error"), [("EPSG:2263", UnsuitableCRS), (None, MissingCRS)])
@pytest.mark.parametrize("name", METRIC)
def test_other_units_are_refused(crs, error, name):
    geobox = GeoBox((4, 5), Affine(1, 0, 100, 0, -1, 30), crs)
    with pytest.raises(error, match="needs"):
        MAPS[name](height(), geobox)


@pytest.mark.parametrize("name", MAPS)
def test_another_grid_and_whole_numbers_are_refused(name):
    with pytest.raises(GridMismatch, match="needs y, x of that grid"):
        MAPS[name](height((5, 4)), GeoBox((4, 5), UTM.affine, UTM.crs))
    with pytest.raises(QuantityError, match="int16"):
        MAPS[name](height().astype("int16"), GeoBox((4, 5), UTM.affine, UTM.crs))


@pytest.mark.parametrize("affine", [Affine(30, 0, 0, 0, 20, 0), Affine(-30, 0, 0, 0, -20, 0)])
def test_directions_on_a_mirrored_grid_are_refused(affine):
    geobox = GeoBox((4, 5), affine, "EPSG:32650")
    for name in ("aspect", "hillshade", "three"):
        with pytest.raises(UnsuitableCRS, match="flip the array"):
            MAPS[name](height(), geobox)
    upright = GeoBox((4, 5), UTM.affine, UTM.crs)
    assert_close(slope(height(), geobox).values, slope(height(), upright).values, atol=0)


def test_the_kernel_is_what_the_map_says():
    dem = ground(UTM)
    assert_close(slope(dem, UTM).values, slope_deg(dem.values, 30, 20), atol=0)
