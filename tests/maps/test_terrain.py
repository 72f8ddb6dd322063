import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.errors import MissingCRS, UnsuitableCRS
from rs_monitor.maps.terrain import slope
from tests.comparison import assert_close


def height(shape=(4, 5)):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return xr.DataArray((3.0 * cols + 8.0 * rows).astype("float32"), dims=("y", "x"), name="dem")


def test_pixel_edges_come_from_the_grid():
    geobox = GeoBox((4, 5), Affine(30, 0, 500000, 0, -20, 3500000), "EPSG:32650")
    found = slope(height(), geobox)
    expected = np.degrees(np.arctan(np.hypot(3 / 30, 8 / 20)))
    assert_close(found.values[1:-1, 1:-1], np.full((2, 3), expected, "float32"), atol=1e-5)
    assert found.attrs["units"] == "degree"
    assert found.name == "slope_deg"


@pytest.mark.parametrize(
    ("crs", "error"),
    [("EPSG:4326", UnsuitableCRS), ("EPSG:2263", UnsuitableCRS), (None, MissingCRS)],
)
def test_other_units_than_metres_are_refused(crs, error):
    geobox = GeoBox((4, 5), Affine(1, 0, 100, 0, -1, 30), crs)
    with pytest.raises(error, match="slope needs"):
        slope(height(), geobox)
