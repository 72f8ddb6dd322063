import copy
import json
from pathlib import Path

import pystac
import pytest

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import SceneItem, normalise_all, normalise_item, public_href

BASE = "https://example.org/scenes/a/item.json"


@pytest.fixture
def raw(make):
    assets = {
        "red": {
            "href": "./red.tif",
            "dtype": "uint16",
            "nodata": 0,
            "scale": 1e-4,
            "offset": -0.1,
        },
        "scl": {"href": "./scl.tif", "dtype": "uint8", "nodata": 0},
    }
    return make.item("a", assets, cloud=12.5)


def old_dialect(raw):
    """The same item as STAC 1.0 writes it."""
    old = copy.deepcopy(raw)
    old["stac_version"] = "1.0.0"
    old["properties"]["proj:epsg"] = int(old["properties"].pop("proj:code")[5:])
    for asset in old["assets"].values():
        (band,) = asset.pop("bands")
        asset["eo:bands"] = [{"name": band["name"], "common_name": band["eo:common_name"]}]
        renamed = {key.removeprefix("raster:"): value for key, value in band.items()}
        asset["raster:bands"] = [
            {k: renamed[k] for k in ("data_type", "nodata", "scale", "offset") if k in renamed}
        ]
    return old


def test_both_dialects_give_one_item(raw):
    new = normalise_item(raw, base_href=BASE)
    assert normalise_item(old_dialect(raw), base_href=BASE) == new
    red = new.bands["red"]
    assert red.href == "https://example.org/scenes/a/red.tif"
    assert (red.dtype, red.nodata, red.scale, red.offset) == ("uint16", 0.0, 1e-4, -0.1)
    assert (new.crs, new.shape, new.cloud_fraction) == ("EPSG:32650", (60, 80), 0.125)
    assert new.bands["scl"].categorical
    assert not red.categorical


def test_pystac_item_and_dict_agree(raw):
    item = pystac.Item.from_dict(raw)
    item.set_self_href(BASE)
    assert normalise_item(item) == normalise_item(raw, base_href=BASE)


def test_round_trip(raw):
    item = normalise_item(raw, base_href=BASE)
    assert SceneItem.from_dict(json.loads(json.dumps(item.to_dict()))) == item


def test_secrets_stay_out_of_plan_and_repr(raw):
    raw["assets"]["red"]["href"] = "https://me:pass@example.org/red.tif?token=hunter2"
    item = normalise_item(raw, base_href=BASE)
    assert item.bands["red"].href.endswith("token=hunter2")
    for text in (json.dumps(item.to_dict()), repr(item)):
        assert "hunter2" not in text
        assert "pass" not in text
    assert public_href("https://me:pass@h/x.tif?sig=1#f") == "https://h/x.tif"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(geometry=None), "item a: has no geometry"),
        (lambda r: r["properties"].update(datetime=None), "has no datetime"),
        (lambda r: r["properties"].update(datetime="May 2024"), "datetime 'May 2024'"),
        (lambda r: r["properties"].pop("proj:code"), "has no projection"),
        (lambda r: r["properties"].update({"proj:code": "EPSG:999999"}), "unreadable"),
        (lambda r: r["properties"].update({"proj:code": "EPSG:2334"}), "datum is Xian 1980"),
        (lambda r: r["properties"].update({"proj:code": "EPSG:2414"}), "datum is Beijing 1954"),
        (lambda r: r["properties"].pop("proj:shape"), "has a CRS but no pixel grid"),
        (lambda r: r.update(assets={}), "has no GeoTIFF or JPEG 2000 asset"),
    ],
)
def test_refusals_name_what_is_missing(raw, change, reason):
    change(raw)
    with pytest.raises(CatalogError, match=reason):
        normalise_item(raw, base_href=BASE)


def test_relative_href_needs_a_base(raw):
    with pytest.raises(CatalogError, match=r"asset href '\./red\.tif' is relative"):
        normalise_item(raw)


def test_same_id_is_taken_once(raw):
    items, refused = normalise_all([(raw, BASE), (raw, BASE)])
    assert [item.id for item in items] == ["a"]
    assert "occurs twice" in refused[0].reason


def test_boa_offset_already_applied(raw):
    raw["properties"]["earthsearch:boa_offset_applied"] = True
    red = normalise_item(raw, base_href=BASE).bands["red"]
    assert (red.scale, red.offset) == (1e-4, 0.0)


def test_finest_geotiff_wins_whatever_the_order(raw):
    twin = copy.deepcopy(raw["assets"]["red"])
    raw["assets"]["red_20m"] = twin | {
        "href": "./red20.tif",
        "proj:shape": [30, 40],
        "proj:transform": [20, 0, 500000, 0, -20, 3500000],
    }
    raw["assets"]["red-jp2"] = twin | {"href": "./red.jp2", "type": "image/jp2"}
    for asset in (raw["assets"]["red"], raw["assets"]["red-jp2"]):
        asset["proj:shape"] = [60, 80]
        asset["proj:transform"] = [10, 0, 500000, 0, -10, 3500000]
    forward = normalise_item(raw, base_href=BASE)
    raw["assets"] = dict(reversed(raw["assets"].items()))
    assert normalise_item(raw, base_href=BASE) == forward
    assert forward.bands["red"].href.endswith("/red.tif")


def test_multi_band_asset(raw):
    names = ("blue", "green", "red")
    raw["assets"] = {
        "data": {
            "href": "./all.tif",
            "type": "image/tiff; application=geotiff",
            "data_type": "uint16",
            "nodata": "nan",
            "bands": [{"name": f"b{k}", "eo:common_name": n} for k, n in enumerate(names)],
        }
    }
    bands = normalise_item(raw, base_href=BASE).bands
    assert {name: band.index for name, band in bands.items()} == {"blue": 1, "green": 2, "red": 3}
    assert bands["red"].dtype == "uint16"
    assert bands["red"].nodata is None


WRITTEN = Path(__file__).parent / "items"


def written(name):
    return json.loads((WRITTEN / f"synthetic_{name}.json").read_text(encoding="utf-8"))


def test_metadata_of_every_dialect_get_one_name():
    planetary = normalise_item(written("pc_reprocessed_without_raster_bands")).properties
    assert planetary["grid:code"] == "MGRS-51RTQ"
    assert planetary["view:sun_elevation"] == 52.0
    assert planetary["view:sun_azimuth"] == 150.0
    assert planetary["s2:generation_time"] == "2023-06-12T21:42:23Z"
    copernicus = normalise_item(written("cdse_l2a")).properties
    assert copernicus["s2:processing_baseline"] == "05.00"
    assert copernicus["s2:product_type"] == "S2MSI2A"
    assert copernicus["s2:generation_time"] == "2023-06-12T21:42:23Z"
    assert copernicus["updated"] == "2024-05-07T18:13:09.108Z"
    old = normalise_item(written("earthsearch_v0_0400_applied")).properties
    assert (old["grid:code"], old["s2:processing_baseline"]) == ("MGRS-51RTQ", "04.00")
    landsat = normalise_item(written("pc_landsat9_c2l2")).properties
    assert (landsat["landsat:wrs_path"], landsat["landsat:wrs_row"]) == ("119", "038")


@pytest.mark.shared
def test_wrs_of_old_items_is_padded(shared_data):
    name = "odc-stac/LC08_L2SR_081119_20200101_20200823_02_T2.json"
    raw = json.loads((shared_data / "stac_items" / name).read_text())
    properties = normalise_item(raw, base_href=BASE).properties
    assert (properties["landsat:wrs_path"], properties["landsat:wrs_row"]) == ("081", "119")
    assert properties["view:sun_elevation"] == pytest.approx(22.72192082)


def test_finest_asset_of_a_band_and_its_fill_value():
    bands = normalise_item(written("cdse_l2a")).bands
    assert bands["blue"].href.endswith("B02_10m.jp2")
    assert bands["swir16"].href.endswith("B11_20m.jp2")
    assert bands["swir16"].shape == (5490, 5490)
    hls = normalise_item(written("pc_hls_l30")).bands
    assert (hls["nir"].href.rsplit(".", 2)[1], hls["nir"].nodata) == ("B05", -9999.0)
    assert hls["hls_fmask"].nodata == 255.0
    modis = normalise_item(written("pc_modis_13q1")).bands
    assert (modis["ndvi"].nodata, modis["nir"].nodata) == (-3000.0, -1000.0)
    dea = normalise_item(written("dea_s2_ard")).bands
    assert {n: dea[n].href.rsplit("_", 2)[1:] for n in ("nir08", "swir16")} == {
        "nir08": ["nir", "2.tif"],
        "swir16": ["swir", "2.tif"],
    }


def test_a_declared_nodata_is_not_overruled(raw):
    raw["properties"]["s2:processing_baseline"] = "05.09"
    raw["assets"]["red"]["bands"][0]["nodata"] = 65535
    assert normalise_item(raw, base_href=BASE).bands["red"].nodata == 65535.0


def test_a_span_is_dated_for_composites_of_modis_alone():
    item = normalise_item(written("pc_modis_13q1"))
    assert item.datetime.date().isoformat() == "2022-01-08"
    assert item.properties["rs_monitor:datetime_precision"] == "span"
    raw = written("pc_modis_13q1") | {"id": "annual", "collection": "mosaic"}
    with pytest.raises(CatalogError, match="a span is not enough"):
        normalise_item(raw)


def test_multi_band_asset_with_relative_href_and_nameless_bands():
    bands = normalise_item(written("generic_gf2_pms")).bands
    assert {n: b.index for n, b in bands.items()} == {"blue": 1, "green": 2, "red": 3, "nir": 4}
    assert bands["nir"].href == "https://example.org/gf2/GF2_MSS1.tif"
