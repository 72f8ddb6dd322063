"""Every DEM of the reference data against a gdaldem run here and now.

gdaldem has limits of its own, measured and printed below (``-s``):

* Horn's sums of float32 elevations. Its answer to the plain DEM is asserted where it can hold; the
  1e-3 degrees are asserted on the same nine cells given as differences.
* Its aspect takes pixels for squares. It is set right by the pixel's edges.
* It knows one scale for a whole geographic raster. Every row is given as a strip in metres.
"""

import os
import shutil
import sys
from functools import cache

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.grid import row_spacing_m
from rs_monitor.maps import terrain
from tests.comparison import assert_close
from tests.peers import gdaldem

pytestmark = [pytest.mark.service, pytest.mark.shared]

PROJECTED = [
    "dem_ecuador_saga/elevation_10m.tif",
    "pennsylvania_etm_2002/dem.tif",
    "lidar_dsm_dtm_2m/dsm.tif",
    "lidar_dsm_dtm_2m/dtm.tif",
    "lidar_dsm_dtm_2m/hag.tif",
    "slovenia_eopatch/dem.tif",
]
GEOGRAPHIC = [
    "costa_rica_l5_1986_2001/aster_gdem_v2_west.tif",
    "costa_rica_l5_1986_2001/aster_gdem_v2_east.tif",
]
LABELLED_NORTH_DEG = [45.0, 27.0]
EVERY_ROW, SOME_ROWS = 1, 16
REQUIRE_VARIABLE = "RS_MONITOR_REQUIRE_SERVICES"


@pytest.fixture(scope="module", autouse=True)
def _program():
    if shutil.which("gdaldem") is None:
        reason = "gdaldem absent: install gdal-bin"
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def say(text):
    sys.stdout.write(f"\n{text}\n")


@cache
def read(path):
    with rasterio.open(path) as source:
        values, nodata = source.read(1).astype("float32"), source.nodata
        grid = GeoBox(source.shape, source.transform, str(source.crs))
    if nodata is not None:
        values[values == nodata] = np.nan
    return values, grid


def ours(mode, values, grid):
    """The public map of a mode of gdaldem, on its scale."""
    dem = xr.DataArray(values, dims=("y", "x"))
    name, *method = mode.split()
    if name in {"riley", "wilson"}:
        return terrain.terrain_ruggedness(dem, grid, method=name).values
    if name in {"roughness", "position"}:
        made = terrain.roughness if name == "roughness" else terrain.topographic_position
        return made(dem, grid).values
    made = getattr(terrain, name)(dem, grid, method=method[0]).values
    return np.rint(1 + 254 * made) if name == "hillshade" else made


def squared(aspect_deg, dx_m, dy_m):
    """Aspect of gdaldem set right for pixels that are no squares."""
    azimuth = np.radians(aspect_deg.astype("float64"))
    right = np.degrees(np.arctan2(np.sin(azimuth) / dx_m, np.cos(azimuth) / dy_m)) % 360
    return right.astype("float32")


def agree(mode, found, expected):
    kind = mode.split()[0]
    circular = 360 if kind == "aspect" else None
    assert_close(found, expected, atol=1 if kind == "hillshade" else 1e-3, circular=circular)


def expected_of(mode, made, dx_m, dy_m):
    return squared(made, dx_m, dy_m) if mode.startswith("aspect") else made


@pytest.mark.parametrize("mode", gdaldem.MODES)
@pytest.mark.parametrize("path", PROJECTED)
def test_window_by_window(shared_data, tmp_path, path, mode):
    values, grid = read(shared_data / path)
    dx, dy = grid.affine.a, -grid.affine.e
    source = gdaldem.write(tmp_path / "windows.tif", gdaldem.single_windows(values), dx, dy)
    expected = expected_of(mode, gdaldem.run(source, mode)[1::3, 1::3], dx, dy)
    assert np.isfinite(expected).mean() > 0.9
    agree(mode, ours(mode, values, grid)[1:-1, 1:-1], expected)


@pytest.mark.parametrize("mode", gdaldem.MODES)
@pytest.mark.parametrize("path", PROJECTED)
def test_the_plain_dem(shared_data, tmp_path, path, mode):
    values, grid = read(shared_data / path)
    dx, dy = grid.affine.a, -grid.affine.e
    source = gdaldem.write(tmp_path / "dem.tif", values, dx, dy)
    expected = expected_of(mode, gdaldem.run(source, mode)[1:-1, 1:-1], dx, dy)
    found = ours(mode, values, grid)[1:-1, 1:-1]
    if mode not in {"slope horn", "aspect horn"}:
        agree(mode, found, expected)
        return
    error = np.abs(found.astype("float64") - expected)
    error = np.minimum(error, 360 - error)
    off = error > 1e-3
    say(f"{path}, {mode}: max {np.nanmax(error):.2g}, {off.sum()} of {off.size} cells > 1e-3")
    if mode == "slope horn":
        assert np.nanmax(error) <= 2e-3
        assert off.mean() <= 1e-3
    else:
        # what gdaldem rounds: its sums of four float32 elevations, over the differences
        slope = ours("slope horn", values, grid)[1:-1, 1:-1].astype("float64")
        step = 8 * np.spacing(np.float32(4 * np.nanmax(np.abs(values))))
        known = np.isfinite(error) & (slope > 0)
        with np.errstate(divide="ignore"):
            rounding_deg = np.degrees(step / (8 * min(dx, dy) * np.tan(np.radians(slope))))
        assert (error[known] <= 1e-3 + rounding_deg[known]).all()


def each_row(tmp_path, values, grid, mode, every):
    """Compare rows with gdaldem on strips of three, given as windows in metres of that row."""
    found = ours(mode, values, grid)
    dx, dy = row_spacing_m(grid)
    for y in range(1, len(values) - 1, every):
        strip = gdaldem.single_windows(values[y - 1 : y + 2])
        source = gdaldem.write(tmp_path / "strip.tif", strip, dx[y], dy[y])
        expected = expected_of(mode, gdaldem.run(source, mode)[1::3, 1::3][0], dx[y], dy[y])
        agree(mode, found[y, 1:-1], expected)


ROWS = [
    ("slope horn", EVERY_ROW),
    ("slope zevenbergen_thorne", SOME_ROWS),
    ("aspect horn", SOME_ROWS),
    ("hillshade horn", SOME_ROWS),
    ("riley", SOME_ROWS),
    ("roughness", SOME_ROWS),
]


@pytest.mark.parametrize(("mode", "every"), ROWS)
@pytest.mark.parametrize("path", GEOGRAPHIC)
def test_degrees_row_by_row(shared_data, tmp_path, path, mode, every):
    values, grid = read(shared_data / path)
    each_row(tmp_path, values, grid, mode, every)


@pytest.mark.parametrize(("mode", "every"), ROWS)
@pytest.mark.parametrize("north_deg", LABELLED_NORTH_DEG)
def test_steep_ground_labelled_in_arc_seconds(shared_data, tmp_path, north_deg, mode, every):
    values = read(shared_data / PROJECTED[0])[0][150:200, 100:250]
    step = 1 / 3600
    grid = GeoBox(values.shape, Affine(step, 0, 116, 0, -step, north_deg), "EPSG:4326")
    each_row(tmp_path, values, grid, mode, every)


def test_one_scale_for_a_geographic_raster_is_wrong(shared_data, tmp_path):
    """Why the peer is asked row by row: gdaldem's way of 111,120 m to the degree, at 45 N."""
    values = read(shared_data / PROJECTED[0])[0][150:200, 100:250]
    step = 1 / 3600
    grid = GeoBox(values.shape, Affine(step, 0, 116, 0, -step, 45.0), "EPSG:4326")
    source = gdaldem.write(tmp_path / "dem.tif", values, step * 111120, step * 111120)
    error = np.abs(ours("slope horn", values, grid) - gdaldem.run(source, "slope horn"))
    say(f"one scale at 45 N: up to {np.nanmax(error):.1f} degrees of slope")
    assert np.nanmax(error) > 5
