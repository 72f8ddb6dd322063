"""Stored maps of gdaldem 3.6.2 and SAGA on real DEMs (spDataLarge; see the data's own README)."""

import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox

from rs_monitor.maps.terrain import curvature, slope
from tests.comparison import assert_close

pytestmark = pytest.mark.shared

ECUADOR = ("dem_ecuador_saga", "elevation_10m.tif")
PENNSYLVANIA = ("pennsylvania_etm_2002", "dem.tif")


def read(path):
    with rasterio.open(path) as source:
        values = source.read(1)
        grid = GeoBox(source.shape, source.transform, str(source.crs))
        return np.where(values == source.nodata, np.float32(np.nan), values), grid


def dem_of(shared_data, place):
    values, grid = read(shared_data.joinpath(*place))
    return xr.DataArray(values, dims=("y", "x")), grid


@pytest.mark.parametrize("place", [ECUADOR, PENNSYLVANIA])
@pytest.mark.parametrize(
    ("stored", "method", "most", "share"),
    [
        # gdaldem adds float32 elevations of 3,000 m: 95 of 156,734 cells of the first DEM
        ("gdaldem_slope_horn_deg.tif", "horn", 2e-3, 0.999),
        ("gdaldem_slope_zt_deg.tif", "zevenbergen_thorne", 1e-3, 1.0),
    ],
)
def test_slope_is_gdals(shared_data, place, stored, method, most, share):
    dem, grid = dem_of(shared_data, place)
    found = slope(dem, grid, method=method).values
    expected, _ = read(shared_data / place[0] / stored)
    # their edges and the cells beside gaps are guesses: ours are unknown
    expected = np.where(np.isnan(found), np.float32(np.nan), expected)
    assert_close(found, expected, atol=most)
    interior = np.isfinite(found)
    assert np.mean(np.abs(found - expected)[interior] <= 1e-3) >= share
    assert interior.mean() > 0.98


def test_zevenbergen_thorne_is_sagas_slope(shared_data):
    dem, grid = dem_of(shared_data, ECUADOR)
    found = slope(dem, grid, method="zevenbergen_thorne").values
    expected, _ = read(shared_data / ECUADOR[0] / "saga_slope_deg.tif")
    interior = np.isfinite(found)
    assert interior.sum() == 156_734
    assert np.isfinite(expected[interior]).all()
    # measured: all of them; what differs in the stored map lies beside nodata
    assert np.mean(np.abs(found - expected)[interior] <= 1e-3) >= 0.999


def test_horn_is_not_sagas_slope(shared_data):
    dem, grid = dem_of(shared_data, ECUADOR)
    expected, _ = read(shared_data / ECUADOR[0] / "saga_slope_deg.tif")
    error = (slope(dem, grid).values - expected)[1:-1, 1:-1]
    assert np.nanmean(error) == pytest.approx(-0.32, abs=0.02)


@pytest.mark.parametrize("kind", ["profile", "plan"])
def test_curvature_is_sagas(shared_data, kind):
    """SAGA's values are curvatures of lines, not the second derivatives the paper prints."""
    dem, grid = dem_of(shared_data, ECUADOR)
    found = curvature(dem, grid, kind=kind).values.astype("float64")
    expected, _ = read(shared_data / ECUADOR[0] / f"saga_{kind}_curvature.tif")
    known = np.isfinite(found)
    assert known.sum() == 156_732
    # values reach 0.3 and 26 per metre
    assert_close(found[known], expected[known].astype("float64"), atol=1e-6, rtol=1e-5)
