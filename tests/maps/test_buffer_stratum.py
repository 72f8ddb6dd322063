import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from rs_monitor.errors import MissingCRS, QuantityError, UnsuitableCRS
from rs_monitor.maps.buffer_stratum import buffer_depth_px, buffer_stratum, with_buffer

LAW = settings(deadline=None, derandomize=True, max_examples=40)


def grid(edge=10.0, crs="EPSG:32650"):
    return GeoBox((7, 7), Affine(edge, 0, 500000, 0, -edge, 3500000), crs)


def test_a_disk_by_hand():
    classes = np.ones((7, 7), np.uint8)
    classes[3, 3], classes[3, 4], classes[0, 0] = 9, 0, 2
    strata = buffer_stratum(
        xr.DataArray(classes, dims=("y", "x")), grid(), around=(9,), width_m=22.5, code=20
    )
    near = [[abs(y - 3) ** 2 + abs(x - 3) ** 2 <= 5 for x in range(7)] for y in range(7)]
    expected = np.where(near, 20, classes)
    expected[3, 3], expected[3, 4] = 9, 0
    np.testing.assert_array_equal(strata, expected)
    assert strata.attrs["buffer_m"] == 22.5


def test_the_rim_itself_is_near():
    # 3 pixels of 9.9 m: 29.7 m, whatever floats make of it
    classes = np.ones((1, 9), np.uint8)
    classes[0, 4] = 9
    strata = with_buffer(classes, around=(9,), width_m=29.7, code=20, pixel_m=(9.9, 9.9))
    assert strata[0].tolist() == [1, 20, 20, 20, 9, 20, 20, 20, 1]
    assert buffer_depth_px(grid(9.9), 29.7) == 3


@LAW
@given(st.integers(0, 99), st.floats(10, 60), st.sampled_from([(10.0, 10.0), (10.0, 7.0)]))
def test_every_pixel_by_itself(seed, width_m, pixel_m):
    classes = np.random.default_rng(seed).choice([0, 1, 2, 9], (9, 11), p=[0.1, 0.5, 0.36, 0.04])
    classes = classes.astype(np.uint8)
    strata = with_buffer(classes, around=(9,), width_m=width_m, code=20, pixel_m=pixel_m)
    change = np.argwhere(classes == 9)
    for (y, x), code in np.ndenumerate(classes):
        steps = (change - (y, x)) * pixel_m
        reached = bool(len(change)) and np.hypot(*steps.T).min() <= width_m * (1 + 1e-9)
        assert strata[y, x] == (20 if reached and code not in (0, 9) else code)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"width_m": 9.0}, QuantityError),
        ({"code": 0}, QuantityError),
        ({"code": 256}, QuantityError),
        ({"geobox": grid(crs="EPSG:4490")}, UnsuitableCRS),
        ({"geobox": grid(crs=None)}, MissingCRS),
    ],
)
def test_what_is_refused(given, error):
    classes = xr.DataArray(np.ones((7, 7), np.uint8), dims=("y", "x"))
    asked = {"geobox": grid(), "around": (9,), "width_m": 30.0, "code": 20} | given
    with pytest.raises(error, match="need"):
        buffer_stratum(classes, **asked)
