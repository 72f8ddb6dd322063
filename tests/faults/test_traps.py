"""The fifteen traps of servers and engines that cost most: one test for each that touches imagery.

Each test shows the trap by the naive way where that is quick, and fails without the cure. Numbers
are those of the list of traps. Without a test here, because no pixel or item passes through them:
10 (icechunk's parallel commits: nothing is stored in it), 12 (shapefiles in GBK: vectors, see
tests/authority), 14 (map widgets that need a public network: pages are drawn without them), and 15
(the entry point of a STAC server: tests/services start it by its factory).
"""

import datetime as dt
import json
import os
import subprocess
from types import SimpleNamespace

import dask
import numpy as np
import pytest
import rasterio
import rustac
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.errors import CatalogError, QuantityError, ReadError
from rs_monitor.imagery import pixels
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.load import load_cube, to_reflectance
from rs_monitor.imagery.search import search
from rs_monitor.imagery.signing import ASSET_HOST, ASSET_TOKEN, make_signer
from tests.faults.cases import by_id, damage_tile, spoilt
from tests.faults.small_job import DAYS, LOST, PIXEL_M, item

PROFILE = {"driver": "GTiff", "count": 1, "tiled": True, "blockxsize": 64, "blockysize": 64}


def through(job, kind):
    """The scene reached through a fault, fresh to GDAL and the server."""
    return normalise_item(by_id(job.items({LOST: kind})))


def red(job, scene, **options):
    return load_cube([scene], geobox=job.geobox, bands=["red"], **options)["red"]


def local(folder, data, *, band="red", pixel=PIXEL_M, corner=(500000.0, 3500000.0), **fields):
    """One scene of one local file; fields of its band."""
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    rows, cols = data.shape
    path = folder / f"{band}.tif"
    grid = {"height": rows, "width": cols, "transform": transform, "crs": "EPSG:32650"}
    with rasterio.open(path, "w", **PROFILE, **grid, dtype=data.dtype) as target:
        target.write(data, 1)
    raw = item(LOST, "unused")
    raw["properties"] |= {"proj:shape": [rows, cols], "proj:transform": list(transform)[:6]}
    entry = {"href": str(path), "type": "image/tiff; application=geotiff", "roles": ["data"]}
    raw["assets"] = {band: entry | ({"bands": [{"name": band, **fields}]} if fields else {})}
    return raw, GeoBox((rows, cols), transform, "EPSG:32650"), path


def find(href, *, kind="api", cloud=1.0, **options):
    found = search(
        kind,
        href,
        collections=(),
        bbox=None,
        start=dt.date(2023, 1, 1),
        end=dt.date(2024, 12, 31),
        max_cloud_fraction=cloud,
        bands=["red"],
        **options,
    )
    return [scene.id for scene in found.items]


def test_trap_01_gdal_remembers_a_cut_body(job, monkeypatch):
    expected = red(job, through(job, "files")).values
    assert np.array_equal(red(job, through(job, "cut")).values, expected)
    monkeypatch.setattr(pixels, "FRESH_OPTIONS", {})  # repeated, but from GDAL's own memory
    with pytest.raises(ReadError, match="IReadBlock failed"):
        red(job, through(job, "cut")).compute()


@pytest.mark.parametrize("fault", ["503", "corrupt tile"])
def test_trap_02_a_failed_read_is_no_empty_ground(job, fault):
    if fault == "503":
        scene = through(job, "dead")
    else:
        scene = normalise_item(by_id(spoilt(job, damage_tile).items))
    other = normalise_item(by_id(job.items({}), "b1"))
    cube = load_cube([other, scene], geobox=job.geobox, bands=["red"], chunk_px=64)
    with pytest.raises(ReadError) as failure:
        cube.compute()
    assert failure.value.item_id == LOST


def test_trap_03_scale_and_offset_are_kept_and_applied_once(tmp_path):
    dn = np.arange(1000, 5096, dtype="uint16").reshape(64, 64)
    fields = {"data_type": "uint16", "nodata": 0, "raster:scale": 1e-4, "raster:offset": -0.1}
    raw, geobox, path = local(tmp_path, dn, **fields)
    with rasterio.open(path, "r+") as target:  # the file's own, in another system of numbers
        target.scales, target.offsets = (0.5,), (7.0,)
    cube = load_cube([normalise_item(raw)], geobox=geobox, bands=["red"])
    assert np.array_equal(cube["red"].values[0], dn)
    assert (cube["red"].attrs["scale"], cube["red"].attrs["offset"]) == (1e-4, -0.1)
    assert (cube["red_scale"].item(), cube["red_offset"].item()) == (1e-4, -0.1)
    once = to_reflectance(cube, ["red"])
    np.testing.assert_allclose(once["red"].values[0], dn * 1e-4 - 0.1, atol=1e-6)
    with pytest.raises(QuantityError, match="computed once only"):
        to_reflectance(once, ["red"])
    # a warped read must not bring the file's own numbers in either
    finer = GeoBox((128, 128), geobox.affine @ Affine.scale(0.5), geobox.crs)
    warped = load_cube([normalise_item(raw)], geobox=finer, bands=["red"], resampling="nearest")
    assert np.array_equal(warped["red"].values[0, ::2, ::2], dn)


def test_trap_04_masks_keep_their_dtype_without_band_metadata(tmp_path):
    codes = np.random.default_rng(1).choice([4, 6, 9], (64, 64)).astype("uint8")
    raw, geobox, _ = local(tmp_path, codes, band="SCL")
    assert "bands" not in raw["assets"]["SCL"]
    cube = load_cube([normalise_item(raw)], geobox=geobox, bands=["scl"])
    assert cube["scl"].dtype == np.uint8
    assert np.array_equal(cube["scl"].values[0], codes)


def test_trap_05_an_odd_grid_is_honoured_not_snapped(tmp_path, monkeypatch):
    # 75.0095 m from a corner that is no multiple of it: snapping moved such a scene by 19 m
    dn = np.random.default_rng(2).integers(1, 9000, (64, 80)).astype("uint16")
    raw, geobox, _ = local(
        tmp_path, dn, pixel=75.0095, corner=(499981.3, 3500017.7), data_type="uint16", nodata=0
    )
    monkeypatch.setattr(pixels, "_read_warped", None)
    cube = load_cube([normalise_item(raw)], geobox=geobox, bands=["red"])
    assert np.array_equal(cube["red"].values[0], dn)
    assert cube["x"].values[0] == pytest.approx(499981.3 + 75.0095 / 2, abs=1e-6)
    assert cube["y"].values[0] == pytest.approx(3500017.7 - 75.0095 / 2, abs=1e-6)


def test_trap_06_classes_are_never_mixed(tmp_path):
    codes = np.random.default_rng(3).choice([4, 6, 9], (64, 64)).astype("uint8")
    raw, geobox, _ = local(tmp_path, codes, band="scl", data_type="uint8", nodata=0)
    half = GeoBox((62, 62), geobox.affine @ Affine.translation(0.5, 0.5), geobox.crs)
    cube = load_cube([normalise_item(raw)], geobox=half, bands=["scl"], resampling="bilinear")
    assert set(np.unique(cube["scl"].values)) == {4, 6, 9}


def test_trap_07_cloud_is_compared_as_a_number(job):
    # as text "9" is more than "20", and a filter given as text finds nothing without an error
    items = job.items({})
    for raw, percent in zip(items, [9.0, 15.0, 90.0, 20.0, 100.0, 2.5], strict=True):
        raw["properties"]["eo:cloud_cover"] = percent
    job.publish(items)
    assert find(f"{job.url}/stac", cloud=0.2) == ["b1", "b2", "a1", "a3"]


@pytest.mark.parametrize("kind", ["api", "geoparquet"])
def test_trap_08_every_page_is_read(job, tmp_path, kind):
    # the server gives two items a page; the file holds more than one page of any server
    items = job.items({})
    href = f"{job.url}/stac"
    if kind == "geoparquet":
        copies = [json.loads(json.dumps(items[0])) for _ in range(600)]
        for number, raw in enumerate(copies):
            raw["id"] = f"s{number:04}"
            day = dt.date(2023, 1, 1) + dt.timedelta(days=number)
            raw["properties"]["datetime"] = f"{day}T02:50:00Z"
        items, href = copies, str(tmp_path / "items.parquet")
        rustac.write_sync(href, items)
    else:
        job.publish(items)
    found = find(href, kind=kind)
    assert len(found) == len(set(found)) == len(items)


def test_trap_09_a_file_is_searched_without_database_extensions(job, tmp_path, monkeypatch):
    rustac.write_sync(str(tmp_path / "items.parquet"), job.items({}))
    monkeypatch.setattr(rustac, "DuckdbClient", None, raising=False)  # would wait for a network
    assert find(str(tmp_path / "items.parquet"), kind="geoparquet") == list(DAYS)


def test_trap_11_servers_of_the_tests_are_processes_of_their_own(job):
    # in a thread of the reader one can stall: rasterio may hold the interpreter while GDAL waits
    assert isinstance(job.server, subprocess.Popen)
    assert job.server.pid != os.getpid()
    with dask.config.set(scheduler="threads", num_workers=2):
        assert red(job, through(job, "lag"), chunk_px=64).values.all()


@pytest.mark.parametrize("code", ["EPSG:2379", "EPSG:2431"])  # Xi'an 1980, Beijing 1954
def test_trap_13_a_datum_without_public_parameters_is_refused(job, code):
    raw = by_id(job.items({}))
    raw["properties"]["proj:code"] = code
    with pytest.raises(CatalogError, match=rf"item {LOST}: .*(Xian|Beijing)"):
        normalise_item(raw)


def test_note_modifiers_get_pages_as_dicts(job, monkeypatch):
    # a hook written for items would change nothing and say nothing
    monkeypatch.setenv(ASSET_TOKEN, "sig=1")
    monkeypatch.setenv(ASSET_HOST, "127.0.0.1")
    page = {"type": "FeatureCollection", "features": job.items({})}
    signer = make_signer("query-token", f"{job.url}/stac")
    signer.modify(page)
    hrefs = [asset["href"] for raw in page["features"] for asset in raw["assets"].values()]
    assert all("sig=1" in href for href in hrefs)
    with pytest.raises(CatalogError, match="needed a page of items"):
        signer.modify(SimpleNamespace(assets={}))


def test_note_a_catalogue_that_does_not_count_is_searched_to_its_end(job):
    # the server answers without numberMatched: pystac-client's matched() is None
    job.publish(job.items({}))
    assert find(f"{job.url}/stac") == list(DAYS)
