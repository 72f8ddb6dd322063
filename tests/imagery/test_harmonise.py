import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rustac
import xarray as xr

from rs_monitor.errors import CatalogError, ConfigError, QuantityError
from rs_monitor.imagery.catalog import SceneItem, normalise_item
from rs_monitor.imagery.harmonise import (
    check_harmonisable,
    gain_to_sentinel2,
    harmonisation_key,
    keys_of_looks,
    load_harmonisation,
    to_sentinel2,
)
from rs_monitor.imagery.index import index_folder
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


ITEMS = Path(__file__).parent / "items"


def item(name, **changes):
    raw = json.loads((ITEMS / f"{name}.json").read_text()) | changes
    found = normalise_item(raw, base_href="https://example.org/item.json")
    assert SceneItem.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    return SceneItem.from_dict(found.to_dict())


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
    keys = ["landsat-7", "landsat-8", "sentinel-2b", "landsat-8"]
    after = to_sentinel2(before, ["red"], keys=keys, table=TABLE)
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
    ("key", "band", "named"),
    [
        ("gaofen-1", "red", "got band red of 'gaofen-1'; needed a published adjustment"),
        ("landsat-8", "rededge071", "got band rededge071 of 'landsat-8'"),
        ("landsat-7", "coastal", "got band coastal of 'landsat-7'"),
    ],
)
def test_what_no_table_covers_is_refused(key, band, named):
    with pytest.raises(CatalogError, match=named):
        to_sentinel2(cube([0.1], (band,)), [band], keys=[key], table=TABLE)


@pytest.mark.parametrize("quantity", ["dn", "toa"])
def test_only_surface_reflectance_is_adjusted(quantity):
    given = cube([1000], quantity=quantity)
    with pytest.raises(QuantityError, match=f"got a cube of {quantity}; needed reflectance"):
        to_sentinel2(given, ["red"], keys=["landsat-8"], table=TABLE)


@pytest.mark.parametrize("band", HLS)
def test_both_products_of_hls_keep_one_value_on_equal_ground(band):
    both = [gain_to_sentinel2(TABLE, key, band) for key in ("hls-l30", "hls-s30")]
    assert both[0] == both[1] == gain_to_sentinel2(TABLE, "landsat-8-9", band)
    slope, offset = HLS[band]
    assert_close(both[1].slope * (slope * 0.2 + offset) + both[1].offset, 0.2, atol=1e-12)


def test_hls_is_known_by_its_product_and_not_by_its_platform():
    l30, s30 = item("synthetic_pc_hls_l30"), item("synthetic_pc_hls_s30")
    assert (l30.platform, s30.platform) == ("landsat-9", "sentinel-2a")
    assert [harmonisation_key(each) for each in (l30, s30)] == ["hls-l30", "hls-s30"]
    keys = keys_of_looks([f"{s30.id};{l30.id}", l30.id], [l30, s30])
    assert keys == ["hls-s30", "hls-l30"]
    after = to_sentinel2(cube([0.1, 0.1], ("blue",)), ["blue"], keys=keys, table=TABLE)
    expected = np.float32((0.1 + 0.0040) / 0.9778)
    assert_close(after["blue"].values.ravel(), np.array([expected] * 2), atol=1e-6)


def test_bands_of_s30_that_oli_lacks_were_never_adjusted():
    for band in ("nir", "rededge1", "rededge2", "rededge3", "nir09"):
        gain = gain_to_sentinel2(TABLE, "hls-s30", band)
        assert (gain.slope, gain.offset) == (1.0, 0.0)
    with pytest.raises(CatalogError, match="got band rededge2 of 'hls-l30'"):
        gain_to_sentinel2(TABLE, "hls-l30", "rededge2")


def test_everything_without_a_line_is_told_at_once():
    scenes = [
        item("synthetic_pc_hls_l30"),
        item("synthetic_generic_gf2_pms", id="one"),
        item("synthetic_generic_gf2_pms", id="two"),
    ]
    with pytest.raises(ConfigError) as raised:
        check_harmonisable(scenes, ["red", "rededge1"], TABLE)
    heads = [(p.partition(";")[0], p.rpartition(" (")[2]) for p in raised.value.problems]
    assert heads == [
        ("got band red of 'gf2'", "items: 2)"),
        ("got band rededge1 of 'gf2'", "items: 2)"),
        ("got band rededge1 of 'hls-l30'", "items: 1)"),
    ]
    check_harmonisable(scenes[:1], ["red"], TABLE)


def test_one_platform_under_two_products_is_refused():
    whole = replace(item("synthetic_cdse_l2a"), platform="sentinel-2a")
    scenes = [item("synthetic_pc_hls_s30"), whole]
    with pytest.raises(ConfigError, match="got sentinel-2a as hls-s30 and as sentinel-2a"):
        check_harmonisable(scenes, ["red"], TABLE)


def test_indexed_files_of_hls_under_another_name(make, tmp_path):
    for product in ("L30", "S30"):
        name = f"HLS.{product}.T51RTQ.2024123T023551.v2.0.B04.tif"
        (tmp_path / product).mkdir()
        make.tif(tmp_path / product / name, np.ones((6, 5), "int16"))
    (tmp_path / "index.toml").write_text(
        'collection = "mine"\n[[source]]\nfiles = "S30/*"\nitem = "renamed"\n'
    )
    index_folder(tmp_path, tmp_path / "x.parquet")
    raws = rustac.read_sync(str(tmp_path / "x.parquet"))["features"]
    scenes = [normalise_item(raw, base_href=str(tmp_path / "x.parquet")) for raw in raws]
    found = {scene.id: (scene.platform, harmonisation_key(scene)) for scene in scenes}
    assert found == {
        "HLS.L30.T51RTQ.2024123T023551.v2.0": ("landsat-8-9", "hls-l30"),
        "renamed": ("sentinel-2", "hls-s30"),
    }
    check_harmonisable(scenes, ["red"], TABLE)
