import datetime as dt

import pystac
import pytest

from rs_monitor.imagery.items import write_items
from rs_monitor.imagery.search import search
from rs_monitor.imagery.stac_api import PatientIO
from rs_monitor.pipeline.demo import ITEMS_NAME
from rs_monitor.pipeline.identity import item_identity

pytestmark = pytest.mark.service

COLLECTION = "cloudy"
# as text 100 and 20.001 would sort before 5 and 9.5
CLOUDS = [0, 9.5, 20, 20.001, 100, 5]
PAGE = 5


@pytest.fixture(scope="module")
def cloudy(township):
    """Items with known cloud cover, their files on the web server."""
    return [
        raw
        | {"collection": COLLECTION}
        | {"properties": raw["properties"] | {"eo:cloud_cover": CLOUDS[i % len(CLOUDS)]}}
        for i, raw in enumerate(township.served())
    ]


@pytest.fixture(scope="module")
def places(cloudy, stac_api, tmp_path_factory):
    """One set of items in each kind of catalogue."""
    folder = tmp_path_factory.mktemp("catalogues")
    stac_api.load(COLLECTION, cloudy)
    catalog = pystac.Catalog(COLLECTION, COLLECTION)
    catalog.add_items([pystac.Item.from_dict(raw) for raw in cloudy])
    catalog.normalize_and_save(str(folder / "static"), pystac.CatalogType.SELF_CONTAINED)
    items = write_items(folder / "items.parquet", cloudy)
    return {
        "api": stac_api.url,
        "static": str(folder / "static" / "catalog.json"),
        "geoparquet": str(items),
    }


def found(places, kind, cloudy, **changed):
    days = sorted(dt.date.fromisoformat(raw["properties"]["datetime"][:10]) for raw in cloudy)
    asked = {
        "collections": [COLLECTION],
        "bbox": None,
        "start": days[0],
        "end": days[-1],
        "max_cloud_fraction": 1.0,
        "bands": ["red", "nir", "scl"],
    }
    return search(kind, places[kind], **asked | changed)


def ids(answer):
    return [item.id for item in answer.items]


@pytest.mark.parametrize("kind", ["api", "static"])
def test_every_field_of_an_item_survives(places, cloudy, kind):
    answer, stored = found(places, kind, cloudy), found(places, "geoparquet", cloudy)
    assert [item.to_dict() for item in answer.items] == [i.to_dict() for i in stored.items]
    assert answer == stored
    bands = answer.items[0].bands
    red, scl = bands["red"], bands["scl"]
    assert (red.index, red.dtype, red.nodata, red.scale, red.offset) == (3, "uint16", 0, 1e-4, -0.1)
    assert (scl.index, scl.dtype, scl.nodata, scl.scale, scl.offset) == (1, "uint8", 0, 1.0, 0.0)
    assert scl.categorical


@pytest.mark.parametrize("kind", ["api", "static", "geoparquet"])
def test_cloud_limit_is_a_number(places, cloudy, kind):
    answer = found(places, kind, cloudy, max_cloud_fraction=0.2)
    expected = {raw["id"] for raw in cloudy if raw["properties"]["eo:cloud_cover"] <= 20}
    assert set(ids(answer)) == expected
    assert answer.refused == ()
    assert 0 < len(expected) < len(cloudy)


def test_place_and_period_give_the_same_ids(places, cloudy):
    west, south, east, north = cloudy[0]["bbox"]
    near = (west + 0.4 * (east - west), south, east, north)
    far = (east + 0.01, south, east + 0.02, north)
    days = sorted({raw["properties"]["datetime"][:10] for raw in cloudy})
    # both ends on the day of a scene: they are included
    start, end = dt.date.fromisoformat(days[2]), dt.date.fromisoformat(days[-3])
    expected = [
        raw["id"]
        for raw in sorted(cloudy, key=lambda raw: (raw["properties"]["datetime"], raw["id"]))
        if days[2] <= raw["properties"]["datetime"][:10] <= days[-3]
    ]
    for kind in places:
        assert ids(found(places, kind, cloudy, bbox=near, start=start, end=end)) == expected
        assert ids(found(places, kind, cloudy, bbox=far)) == []
        assert ids(found(places, kind, cloudy, collections=["another"])) == []


def test_all_pages_give_each_item_once(places, cloudy, monkeypatch):
    monkeypatch.setattr("rs_monitor.imagery.stac_api.PAGE", PAGE)
    requests = []
    plain = PatientIO.request

    def counted(self, *args, **kwargs):
        requests.append(args)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr("rs_monitor.imagery.stac_api.PatientIO.request", counted)
    answer = found(places, "api", cloudy)
    assert sorted(ids(answer)) == sorted(raw["id"] for raw in cloudy)
    assert answer.refused == ()
    assert len(requests) >= len(cloudy) / PAGE


def test_the_folder_and_its_copies_give_the_same_scenes(township, stac_api, tmp_path):
    raws = township.served()
    catalog = pystac.Catalog("copy", "copy")
    catalog.add_items([pystac.Item.from_dict(raw) for raw in raws])
    catalog.normalize_and_save(str(tmp_path / "static"), pystac.CatalogType.SELF_CONTAINED)
    sources = {
        "indexed folder": ("geoparquet", str(township.base / ITEMS_NAME)),
        "file": ("geoparquet", str(write_items(tmp_path / "items.parquet", raws))),
        "static": ("static", str(tmp_path / "static" / "catalog.json")),
        "api": ("api", stac_api.url),
    }
    days = sorted(dt.date.fromisoformat(raw["properties"]["datetime"][:10]) for raw in raws)
    asked = {"bbox": None, "start": days[1], "end": days[-2], "max_cloud_fraction": 1.0}
    asked |= {"bands": ["red", "scl"]}
    answers = {
        name: search(kind, href, collections=["township"] if kind == "api" else [], **asked)
        for name, (kind, href) in sources.items()
    }
    expected = answers.pop("indexed folder")
    assert len(expected.items) > 10
    for name, answer in answers.items():
        assert ids(answer) == ids(expected), name
        assert [item_identity(i) for i in answer.items] == list(map(item_identity, expected.items))
        assert [r.item_id for r in answer.refused] == [r.item_id for r in expected.refused]
