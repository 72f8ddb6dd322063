import dask
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from rs_monitor.errors import ConfigError, UnsuitableCRS
from rs_monitor.imagery.terrain_shadow import relief_margin_px, terrain_shadow

BOX = GeoBox((24, 30), Affine(10, 0, 5e5, 0, -10, 35e5), "EPSG:32650")
TIMES = np.array(["2024-06-21T03:00", "2024-12-21T03:00", "2025-01-09T03:00"], "M8[ns]")


@pytest.fixture
def ridge():
    heights = np.zeros(BOX.shape, dtype="float32")
    heights[12] = 40.5
    coords = xr_coords(BOX, dims=("y", "x"))
    return xr.DataArray(heights, dims=("y", "x"), coords=coords, name="dem")


def shadows(dem, elevations=(80.0, 45.0, np.nan), box=BOX, **more):
    suns = {"sun_azimuth_deg": [180.0] * len(elevations), "sun_elevation_deg": list(elevations)}
    return terrain_shadow(dem, box, times=TIMES, reach_m=100.0, **{**suns, **more})


def test_every_look_has_its_own_sun(ridge):
    dark = shadows(ridge)
    assert dark.dims == ("time", "y", "x")
    assert dark.dtype == bool
    assert (dark["time"].values == TIMES).all()
    # 40.5 m: nothing at 80 degrees, four rows north of it at 45; no sun given: nothing claimed
    assert dark.sum(("y", "x")).values.tolist() == [0, 4 * 30, 0]
    assert np.flatnonzero(dark.values[1, :, 0]).tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("chunk", [5, 12, 24])
def test_a_ridge_shades_the_next_chunk(ridge, chunk):
    with dask.config.set(scheduler="synchronous"):
        lazy = shadows(ridge.chunk(y=chunk, x=chunk))
        assert lazy.chunks is not None
        xr.testing.assert_identical(lazy.compute(), shadows(ridge))


def test_the_margin_is_the_reach():
    assert relief_margin_px(3000.0, 10.0) == 301
    assert relief_margin_px(95.0, 10.0) == 11


def test_refusals(ridge):
    with pytest.raises(ConfigError, match="3 looks, 3 and 2 angles"):
        shadows(ridge, sun_elevation_deg=[30.0, 30.0])
    with pytest.raises(ConfigError, match="elevation -2 degrees"):
        shadows(ridge, (30.0, -2.0, 30.0))
    degrees = GeoBox(BOX.shape, Affine(1e-4, 0, 117, 0, -1e-4, 32), "EPSG:4326")
    with pytest.raises(UnsuitableCRS):
        shadows(ridge, box=degrees)
