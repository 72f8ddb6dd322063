import copy
import json

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


# What the captured items of real catalogues must become: bands of the item, or the refusal.
REAL = {
    "earth-search-v1/S2A_39QTA_20230628_0_L2A.json": {"red": (1e-4, 0.0), "rededge2": (1e-4, 0.0)},
    "odc-stac/LC08_L2SP_028030_20200114_20200824_02_T1_SR.json": {"nir": (2.75e-5, -0.2)},
    "odc-stac/LC08_L2SR_081119_20200101_20200823_02_T2.json": {"red": (2.75e-5, -0.2)},
    "odc-stac/LE07_L2SP_044033_20210329_20210424_02_T1_SR.json": {"qa_pixel": (1.0, 0.0)},
    "odc-stac/S2A_28QCH_20200714_0_L2A.json": {"red": (1.0, 0.0), "scl": (1.0, 0.0)},
    "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json": {"nir": (1e-4, 0.0)},
    "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json": {
        "rededge1": (1e-4, 0.0)
    },
    "odc-stac/ga_ls8c_ard_3-1-0_088080_2020-05-25_final.stac-item.json": {"red": (1.0, 0.0)},
    "odc-stac/lidar_dem.json": "has no datetime",
    "odc-stac/only_crs_proj.json": "has a CRS but no pixel grid",
    "odc-stac/sentinel-2-l2a.collection.json": "has no geometry",
    "odc-stac/site1-20200606-tall-strip-africa.geojson": {"scl": (1.0, 0.0)},
    "odc-stac/site2-2020_jun_jul-35MNM.geojson": {"swir22": (1e-4, 0.0)},
    "rio-tiler/stac-proj-titiler-issue1074.json": {"data": (1.0, 0.0)},
    "rio-tiler/stac_bands.json": "has no projection",
    "rio-tiler/stac_bands_v1.json": "has no projection",
    "rio-tiler/stac_raster.json": "has no projection",
    "rio-tiler/stac_raster_v1.json": "has no projection",
    "rio-tiler/stac_wrong_stats.json": "has a CRS but no pixel grid",
    "stactools-sentinel2/S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE.json": {
        "cirrus": (1e-4, 0.0)
    },
    "stactools-sentinel2/S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE.json": {
        "red": (1e-4, 0.0)
    },
    "stactools-sentinel2/S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825.SAFE.json": {
        "red": (1e-4, -0.1)
    },
    "stactools-sentinel2/S2A_OPER_MSI_L2A_TL_VGS1_20220401T110010_A035382_T34LBQ.json": {
        "red": (1e-4, -0.7)
    },
    "stactools-sentinel2/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.SAFE.json": {
        "red": (1e-4, -0.1)
    },
}


@pytest.mark.shared
def test_every_captured_item_is_listed(shared_data):
    folder = shared_data / "stac_items"
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if "json" in p.suffix}
    assert found == set(REAL)


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_captured_items(shared_data, name):
    content = json.loads((shared_data / "stac_items" / name).read_text())
    raws = content.get("features", [content])
    for raw in raws:
        expected = REAL[name]
        if isinstance(expected, str):
            with pytest.raises(CatalogError, match=expected):
                normalise_item(raw, base_href=BASE)
            continue
        item = normalise_item(raw, base_href=BASE)
        assert SceneItem.from_dict(json.loads(json.dumps(item.to_dict()))) == item
        got = {n: (item.bands[n].scale, item.bands[n].offset) for n in expected}
        assert got == expected
        assert all("://" in band.href for band in item.bands.values())
