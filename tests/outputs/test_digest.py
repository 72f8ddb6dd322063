import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely.geometry import MultiPolygon, Polygon, box

from rs_monitor.outputs.digest import crs_name, fingerprint, raster_digest, table_digest
from rs_monitor.outputs.raster import load_raster, write_cog
from rs_monitor.outputs.vectors import describe_layer, read_layers, write_layers


def geobox_of(east):
    return GeoBox((200, 240), Affine(10, 0, east, 0, -10, 3_600_000), "EPSG:4524")


def digest_of(path):
    raster = load_raster(path)
    return raster_digest(raster.data, raster.geobox, raster.band_names, raster.nodata)


def test_raster_digest_ignores_compression_and_tiling(tmp_path, geobox):
    pixels = np.random.default_rng(0).integers(0, 14, geobox.shape, dtype=np.uint8)
    cog = write_cog(tmp_path / "a.tif", pixels, geobox, nodata=0, band_names=["class"])
    plain = tmp_path / "b.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "compress": "LZW"}
    height, width = geobox.shape
    profile |= {"height": height, "width": width, "crs": str(geobox.crs)}
    with rasterio.open(plain, "w", transform=geobox.affine, **profile) as target:
        target.write(pixels, 1)
        target.set_band_description(1, "class")
    assert cog.read_bytes() != plain.read_bytes()
    assert digest_of(cog) == digest_of(plain) == raster_digest(pixels, geobox, ["class"], 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_raster_digest_sees_one_pixel(geobox, dtype):
    pixels = np.ones(geobox.shape, dtype=dtype)
    other = pixels.copy()
    other[-1, -1] = 2
    assert raster_digest(pixels, geobox, ["b"], 0) != raster_digest(other, geobox, ["b"], 0)


@pytest.mark.parametrize(
    "change",
    [
        {"band_names": ["c"]},
        {"nodata": None},
        {"geobox": "shifted"},
        {"data": "float"},
    ],
)
def test_raster_digest_sees_grid_and_meaning(geobox, change):
    pixels = np.ones(geobox.shape, dtype="uint8")
    same = {"data": pixels, "geobox": geobox, "band_names": ["b"], "nodata": 0}
    other = same | change
    if change.get("geobox"):
        other["geobox"] = geobox_of(east=36_500_005.0)
    if change.get("data"):
        other["data"] = pixels.astype("float32")
    assert raster_digest(**same) != raster_digest(**other)


def test_raster_digest_knows_one_nan_and_one_zero(geobox):
    one = np.zeros(geobox.shape, dtype="float32")
    one[0, 0] = np.nan
    other = -one
    other.view("uint32")[0, 0] = 0x7FC00001
    assert one.tobytes() != other.tobytes()
    assert raster_digest(one, geobox, ["b"], np.nan) == raster_digest(other, geobox, ["b"], np.nan)


def test_raster_digest_ignores_memory_order(geobox):
    pixels = np.random.default_rng(0).random(geobox.shape).astype("float32")
    swapped = np.asfortranarray(pixels).astype(">f4")
    expected = raster_digest(pixels, geobox, ["b"], None)
    assert raster_digest(swapped, geobox, ["b"], None) == expected


def layer():
    return gpd.GeoDataFrame(
        {
            "name": ["a", "b", None],
            "count": [1, 2, 3],
            "share": [0.5, np.nan, -0.0],
            "seen": [True, False, True],
            "on": [dt.date(2024, 5, 1), None, dt.date(2023, 1, 2)],
            "ids": [["x", "y"], [], ["z"]],
        },
        geometry=[
            box(0, 0, 10, 10),
            MultiPolygon([box(20, 0, 30, 10), box(40, 0, 50, 10)]),
            Polygon([(0, 20), (10, 20), (0, 30)]),
        ],
        crs="EPSG:4524",
    )


def test_table_digest_survives_the_file(tmp_path):
    frame = layer()
    written = write_layers(tmp_path / "a.gpkg", {"patches": frame, "empty": frame.iloc[:0]})
    back = read_layers(tmp_path / "a.gpkg")
    assert {name: describe_layer(found) for name, found in back.items()} == written
    assert written["patches"].content_digest == table_digest(frame)
    assert written["patches"].rows == 3
    assert written["empty"].rows == 0


def test_table_digest_ignores_order_start_vertex_and_tiny_noise():
    frame = layer()
    turned = frame.iloc[::-1][["seen", "ids", "on", "count", "share", "name", "geometry"]].copy()
    ring = Polygon([(10, 20), (0, 30), (0, 20 + 1e-9)])
    turned.iloc[0, turned.columns.get_loc("geometry")] = ring
    assert table_digest(turned) == table_digest(frame)


@pytest.mark.parametrize("column", ["name", "count", "share", "on", "ids", "geometry", "crs"])
def test_table_digest_sees_every_cell(column):
    frame = layer()
    values = {
        "name": "c",
        "count": 9,
        "share": 0.5000001,
        "on": dt.date(2024, 5, 2),
        "geometry": Polygon([(0, 0), (10, 0), (10, 10.00001), (0, 10)]),
    }
    other = frame.copy()
    if column == "crs":
        other = frame.set_crs("EPSG:4525", allow_override=True)
    elif column == "ids":
        other.at[0, "ids"] = ["x", "z"]
    else:
        other.loc[0, column] = values[column]
    assert table_digest(other) != table_digest(frame)


def test_degrees_are_kept_finer_than_metres():
    one = gpd.GeoDataFrame(geometry=[box(119, 32, 119.1, 32.1)], crs="EPSG:4490")
    other = gpd.GeoDataFrame(geometry=[box(119, 32, 119.1, 32.1000001)], crs="EPSG:4490")
    assert table_digest(one) != table_digest(other)


def test_table_without_geometry():
    frame = pd.DataFrame({"zone_id": ["a"], "area_m2": [1.5]})
    assert table_digest(frame) == table_digest(frame[["area_m2", "zone_id"]])
    assert table_digest(frame) != table_digest(frame.assign(area_m2=1.6))


def test_crs_names_agree_between_spellings():
    assert crs_name("EPSG:4524") == crs_name(rasterio.CRS.from_epsg(4524).to_wkt())
    assert crs_name(None) == ""


class Colour(StrEnum):
    RED = "red"


@dataclass
class Record:
    when: dt.date
    path: PurePosixPath


def test_fingerprint_is_canonical():
    one = {"b": (1, 2.0), "a": Record(dt.date(2024, 1, 1), PurePosixPath("x/y")), "c": {3, 1}}
    two = {"c": {1, 3}, "a": {"path": "x/y", "when": "2024-01-01"}, "b": [np.int64(1), 2.0]}
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint({"a": Colour.RED, "n": float("nan")}) == fingerprint(
        {"a": "red", "n": "NaN"}
    )
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})


def test_fingerprint_refuses_what_has_no_spelling():
    with pytest.raises(TypeError, match=r"got a object; needed JSON values"):
        fingerprint(object())
