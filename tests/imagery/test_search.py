import datetime as dt
import json
import shutil
from dataclasses import replace

import numpy as np
import pystac
import pytest

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.items import write_items
from rs_monitor.imagery.search import search

pytestmark = pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")
SPAN = {"start": dt.date(2024, 5, 1), "end": dt.date(2024, 5, 31)}
HERE = (117.0, 31.6, 117.001, 31.7)


@pytest.fixture(scope="module")
def folder(make, tmp_path_factory):
    """Six items of one file, in every form of catalogue."""
    folder = tmp_path_factory.mktemp("catalogue")
    make.tif(folder / "red.tif", np.ones((60, 80), dtype="uint16"), nodata=0)
    raws = [item(make, f"s{k}", k) for k in (5, 2, 4, 1, 3)]
    raws[0]["assets"]["nir"] = raws[0]["assets"].pop("red")
    raws[0]["assets"]["nir"]["bands"][0] |= {"name": "nir", "eo:common_name": "nir"}
    raws.append(item(make, "other", 2, left=900_000.0))
    (folder / "items.json").write_text(json.dumps(raws))
    write_items(folder / "items.parquet", raws)
    catalog = pystac.Catalog("c", "scenes")
    catalog.add_items([pystac.Item.from_dict(raw) for raw in raws])
    for entry in catalog.get_items():
        for asset in entry.assets.values():
            asset.href = str(folder / "red.tif")
    catalog.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    return folder


def item(make, identity, day, **more):
    asset = {"href": "./red.tif", "dtype": "uint16", "nodata": 0, "scale": 1e-4, "offset": -0.1}
    when = f"2024-05-{day:02d}T02:50:00.123456Z"
    return make.item(identity, {"red": asset}, when=when, cloud=10.0 * day, **more)


def find(kind, href, **changes):
    options = {"collections": ["scenes"], "bbox": HERE, "max_cloud_fraction": 1.0, "bands": ["red"]}
    return search(kind, str(href), **{**SPAN, **options, **changes})


def without_hrefs(found):
    items = [
        replace(i, bands={n: replace(b, href="") for n, b in i.bands.items()}) for i in found.items
    ]
    return items, found.refused


def test_geoparquet(folder):
    found = find("geoparquet", folder / "items.parquet")
    assert [i.id for i in found.items] == ["s1", "s2", "s3", "s4"]
    assert [(r.item_id, r.reason) for r in found.refused] == [("s5", "lacks red; it has nir")]
    first = found.items[0]
    assert first.bands["red"].href == str(folder / "red.tif")
    assert first.bands["red"].offset == -0.1
    assert first.datetime == dt.datetime(2024, 5, 1, 2, 50, 0, 123000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_cloud_fraction": 0.3}, ["s1", "s2", "s3"]),
        ({"start": dt.date(2024, 5, 2), "end": dt.date(2024, 5, 3)}, ["s2", "s3"]),
        ({"bbox": None}, ["s1", "other", "s2", "s3", "s4"]),
        ({"collections": []}, ["s1", "s2", "s3", "s4"]),
        ({"collections": ["none"]}, []),
        ({"bbox": (0, 0, 1, 1)}, []),
        ({"end": dt.date(2024, 5, 1)}, ["s1"]),
    ],
)
def test_filters(folder, changes, expected):
    found = find("geoparquet", folder / "items.parquet", **changes)
    assert [i.id for i in found.items] == expected
    static = find("static", folder / "catalog.json", **changes)
    assert without_hrefs(static) == without_hrefs(found)


def test_all_kinds_agree(folder, web, monkeypatch):
    monkeypatch.setattr("rs_monitor.imagery.stac_api.RETRY_WAIT_S", 0.0)
    root, url = web
    shutil.copy(folder / "items.json", root)
    raws = json.loads((root / "items.json").read_text())
    for raw in raws:
        for asset in raw["assets"].values():
            asset["href"] = f"{url}/files/red.tif"
    (root / "items.json").write_text(json.dumps(raws))
    # five requests: the first search answers 503, then two items a page
    options = {"max_cloud_fraction": 0.5, "bbox": None}
    api = find("api", f"{url}/stac", **options)
    assert [i.id for i in api.items] == ["s1", "other", "s2", "s3", "s4"]
    assert without_hrefs(api) == without_hrefs(find("static", folder / "catalog.json", **options))
    assert without_hrefs(api) == without_hrefs(
        find("geoparquet", folder / "items.parquet", **options)
    )


def test_versions_and_repeated_ids_are_refused_by_name(make, folder, tmp_path):
    shutil.copy(folder / "red.tif", tmp_path)
    old = item(make, "S2A_MSIL2A_x_N0400_R032_T50RKV_20240502T000000", 1)
    new = item(make, "S2A_MSIL2A_x_N0510_R032_T50RKV_20240502T000000", 1)
    new["properties"]["datetime"] = "2024-05-01T02:50:03Z"
    beside = item(make, "beside", 2)
    catalog = pystac.Catalog("c", "c")
    for name, members in (("a", [old, new, beside]), ("b", [beside])):
        child = pystac.Catalog(name, name)
        moved = [raw | {"collection": name} for raw in members]
        child.add_items([pystac.Item.from_dict(raw) for raw in moved])
        catalog.add_child(child)
    for entry in catalog.get_items(recursive=True):
        entry.assets["red"].href = str(tmp_path / "red.tif")
    # the same scene of two collections is one acquisition; a later one under a used id is not
    later = [e for e in catalog.get_items(recursive=True) if e.id == "beside"][1]
    later.datetime += dt.timedelta(days=1)
    catalog.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    found = find("static", tmp_path / "catalog.json", collections=[])
    assert [i.id for i in found.items] == [new["id"], "beside"]
    assert [(r.item_id, r.reason) for r in found.refused] == [
        (old["id"], f"superseded by {new['id']} (05.10 over 04.00): the same acquisition"),
        ("beside", "the id occurs twice; the item of a was kept"),
    ]


def test_what_lies_elsewhere_is_not_refused(make, folder, tmp_path):
    shutil.copy(folder / "red.tif", tmp_path)
    broken = item(make, "broken", 1)
    del broken["properties"]["proj:code"]
    path = write_items(tmp_path / "items.parquet", [item(make, "s1", 1), broken])
    assert [r.item_id for r in find("geoparquet", path).refused] == ["broken"]
    assert find("geoparquet", path, bbox=(0, 0, 1, 1)).refused == ()
    assert find("geoparquet", path, start=dt.date(2024, 5, 2)).refused == ()


def test_unknown_cloud_cover_is_refused_when_it_matters(make, folder, tmp_path):
    raw = item(make, "s1", 1)
    del raw["properties"]["eo:cloud_cover"]
    shutil.copy(folder / "red.tif", tmp_path)
    path = write_items(tmp_path / "items.parquet", [raw])
    assert len(find("geoparquet", path).items) == 1
    found = find("geoparquet", path, max_cloud_fraction=0.5)
    assert found.items == ()
    assert "does not state its cloud cover" in found.refused[0].reason


def test_missing_file_is_refused(make, tmp_path):
    path = write_items(tmp_path / "items.parquet", [item(make, "s1", 1)])
    found = find("geoparquet", path)
    assert found.items == ()
    assert "red.tif is missing; index the folder again" in found.refused[0].reason


def test_repeated_ids_are_not_written(make, tmp_path):
    with pytest.raises(CatalogError, match="ids that occur twice: s1"):
        write_items(tmp_path / "items.parquet", [item(make, "s1", 1), item(make, "s1", 2)])
    with pytest.raises(CatalogError, match="got no items"):
        write_items(tmp_path / "items.parquet", [])
    assert list(tmp_path.iterdir()) == []


def test_unreachable_catalogues_are_named(folder, web, monkeypatch):
    monkeypatch.setattr("rs_monitor.imagery.stac_api.RETRY_WAIT_S", 0.0)
    _, url = web
    with pytest.raises(CatalogError, match=f"catalogue {url}/broken could not be") as failure:
        find("api", f"{url}/broken?token=hunter2")
    assert "hunter2" not in str(failure.value)
    with pytest.raises(CatalogError, match=r"127\.0\.0\.1:9/stac could not be searched"):
        find("api", "http://127.0.0.1:9/stac")
    with pytest.raises(CatalogError, match=r"nothing\.parquet could not be searched"):
        find("geoparquet", folder / "nothing.parquet")
    with pytest.raises(CatalogError, match=r"nothing\.json could not be searched"):
        find("static", folder / "nothing.json")
    with pytest.raises(CatalogError, match="got catalogue kind 'wms'"):
        find("wms", "x")
