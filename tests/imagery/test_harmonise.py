import numpy as np
import pytest
import xarray as xr

from rs_monitor.errors import CatalogError, QuantityError
from rs_monitor.imagery.harmonise import gain_to_sentinel2, load_harmonisation, to_sentinel2
from tests.comparison import assert_close

TABLE = load_harmonisation()
# hls.gsfc.nasa.gov/algorithms/bandpass-adjustment, OLI = slope x MSI(2A) + offset
HLS = {
    "blue": (0.9778, -0.0040),
    "green": (1.0053, -0.0009),
    "red": (0.9765, 0.0009),
    "nir08": (0.9983, -0.0001),
    "swir16": (0.9987, -0.0011),
    "swir22": (1.0030, -0.0012),
}
# Roy et al. 2016, Table 2, surface reflectance, RMA, OLI = slope x ETM+ + offset
ROY = {
    "blue": (0.9785, -0.0095),
    "green": (0.9542, -0.0016),
    "red": (0.9825, -0.0022),
    "nir08": (1.0073, -0.0021),
    "swir16": (1.0171, -0.0030),
    "swir22": (0.9949, 0.0029),
}


def cube(values, bands=("red",), quantity="reflectance"):
    data = {
        band: (("time", "y", "x"), np.array(values, "float32").reshape(-1, 1, 1), {"units": "1"})
        for band in bands
    }
    return xr.Dataset(data, attrs={"quantity": quantity})


@pytest.mark.parametrize("band", HLS)
@pytest.mark.parametrize("platform", ["landsat-8", "landsat-9"])
def test_oli_undoes_the_published_line_from_msi(band, platform):
    slope, offset = HLS[band]
    gain = gain_to_sentinel2(TABLE, platform, band)
    for msi in (0.0, 0.05, 0.3):
        assert_close(gain.slope * (slope * msi + offset) + gain.offset, msi, atol=1e-12)


@pytest.mark.parametrize("band", ROY)
@pytest.mark.parametrize("platform", ["landsat-5", "landsat-7"])
def test_etm_goes_through_oli(band, platform):
    gain = gain_to_sentinel2(TABLE, platform, band)
    (to_oli, add), (from_msi, less) = ROY[band], HLS[band]
    for etm in (0.0, 0.1, 0.4):
        expected = ((to_oli * etm + add) - less) / from_msi
        assert_close(gain.slope * etm + gain.offset, expected, atol=1e-12)


def test_each_date_takes_the_line_of_its_platform():
    before = cube([0.2, 0.2, 0.2, np.nan])
    platforms = ["landsat-7", "landsat-8", "sentinel-2b", "landsat-8"]
    after = to_sentinel2(before, ["red"], platforms=platforms, table=TABLE)
    found = after["red"].values.ravel()
    oli = (0.2 - 0.0009) / 0.9765
    etm = (0.9825 * 0.2 - 0.0022 - 0.0009) / 0.9765
    assert_close(found[:2], np.array([etm, oli], np.float32), atol=1e-6)
    assert found[2] == np.float32(0.2)
    assert np.isnan(found[3])
    assert after["red"].dtype == np.float32
    assert after["red"].attrs == {"units": "1"}
    assert before["red"].values[0, 0, 0] == np.float32(0.2)


@pytest.mark.parametrize(
    ("platform", "band", "named"),
    [
        ("gaofen-1", "red", "platform 'gaofen-1'; needed a published adjustment"),
        ("landsat-8", "rededge071", "got band rededge071 of platform 'landsat-8'"),
        ("landsat-7", "coastal", "got band coastal of platform 'landsat-7'"),
    ],
)
def test_what_no_table_covers_is_refused(platform, band, named):
    with pytest.raises(CatalogError, match=named):
        to_sentinel2(cube([0.1], (band,)), [band], platforms=[platform], table=TABLE)


@pytest.mark.parametrize("quantity", ["dn", "toa"])
def test_only_surface_reflectance_is_adjusted(quantity):
    given = cube([1000], quantity=quantity)
    with pytest.raises(QuantityError, match=f"got a cube of {quantity}; needed reflectance"):
        to_sentinel2(given, ["red"], platforms=["landsat-8"], table=TABLE)
