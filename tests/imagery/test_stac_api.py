import copy
import datetime as dt
import json
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rs_monitor.errors import CatalogError
from rs_monitor.imagery import stac_api
from rs_monitor.imagery.catalog import Refusal
from rs_monitor.imagery.items import write_items
from rs_monitor.imagery.search import iter_items, search
from rs_monitor.imagery.stac_api import Span

PAGE = 4
YEARS = {"start": dt.date(2019, 1, 1), "end": dt.date(2023, 12, 31)}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(stac_api, "RETRY_WAIT_S", 0.0)
    monkeypatch.setattr(stac_api, "PAGE", PAGE)


@pytest.fixture(scope="module")
def raws(make):
    """Items of five years; the turns of years to the microsecond among them."""
    days = [f"{year}-{month:02d}-11T02:50:00Z" for year in range(2019, 2024) for month in (2, 5, 8)]
    turns = ["2019-12-31T23:59:59.999999Z", "2020-01-01T00:00:00Z", "2023-12-31T23:59:59.5Z"]
    asset = {"red": {"href": "http://assets.test/red.tif", "dtype": "uint16", "nodata": 0}}
    whens = sorted([*days, *turns])
    return [
        # side by side: within a minute they would be one acquisition
        make.item(f"s{number:02d}", asset, when=when, cloud=number, left=500_000.0 + 800 * number)
        for number, when in enumerate(whens)
    ]


@contextmanager
def serving(folder, raws):
    """The small STAC API over some items."""
    (folder / "items.json").write_text(json.dumps(raws))
    program = Path(__file__).with_name("stac_server.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def server(raws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stac")
    write_items(folder / "items.parquet", raws)
    with serving(folder, raws) as url:
        yield folder, url


def options(**changes):
    asked = {"collections": [], "bbox": None, "max_cloud_fraction": 1.0, "bands": ["red"]}
    return asked | YEARS | changes


def found(server, quirks, **changes):
    return search("api", f"{server[1]}/{quirks}", **options(**changes))


def asked(server, quirks):
    with urllib.request.urlopen(f"{server[1]}/seen", timeout=10) as answer:
        return [entry for entry in json.load(answer) if entry["path"].startswith(f"/{quirks}/")]


def test_spans_part_at_turns_of_years():
    span = Span(dt.date(2019, 3, 1), dt.date(2021, 2, 1))
    first, rest = span.parts()
    assert (str(first), str(rest)) == ("2019-03-01/2019-12-31", "2020-01-01/2021-02-01")
    assert first.interval() == "2019-03-01T00:00:00Z/2019-12-31T23:59:59.999999Z"
    assert first.parts() == ()
    leaves = list(_leaves(Span(dt.date(1970, 1, 1), dt.date(2100, 12, 31))))
    assert [span.start.year for span in leaves] == list(range(1970, 2101))


def _leaves(span):
    if not span.parts():
        yield span
    for part in span.parts():
        yield from _leaves(part)


@pytest.mark.parametrize(
    "quirks", ["plain", "counted", "plain-flaky", "plain-shaky", "counted-shaky"]
)
def test_every_item_once(server, raws, quirks, monkeypatch):
    monkeypatch.setattr(stac_api, "PAGE", 2)
    answer = found(server, quirks)
    assert [item.id for item in answer.items] == [raw["id"] for raw in raws]
    assert answer.refused == ()
    assert answer.items == search("geoparquet", str(server[0] / "items.parquet"), **options()).items


def test_only_periods_within_a_year_are_paged(server, raws, monkeypatch):
    monkeypatch.setattr(stac_api, "PAGE", 2)
    assert len(found(server, "plain-years").items) == len(raws)
    bodies = [entry["body"] for entry in asked(server, "plain-years")]
    paged = [body["datetime"].split("/") for body in bodies if "token" in body]
    assert {(start[:4], stop[:4]) for start, stop in paged} == {
        (year, year) for year in ("2019", "2020", "2021", "2022", "2023")
    }


def test_a_short_answer_is_asked_once(server, raws):
    year = {"start": dt.date(2021, 1, 1), "end": dt.date(2021, 12, 31)}
    assert len(found(server, "plain-once", **year).items) == 3
    searches = asked(server, "plain-once")
    assert len(searches) == 1
    assert searches[0]["body"]["limit"] == PAGE
    # the whole century around one short year: no request per year
    assert len(found(server, "plain-wide", **year | {"start": dt.date(1970, 1, 1)}).items) == 11
    assert len(asked(server, "plain-wide")) < 15


def test_limits_are_sent_as_numbers(server, raws):
    answer = found(server, "plain-limits", max_cloud_fraction=0.05, bbox=(116, 31, 118, 32))
    assert [item.id for item in answer.items] == [raw["id"] for raw in raws[:6]]
    body = asked(server, "plain-limits")[0]["body"]
    assert body["query"] == {"eo:cloud_cover": {"lte": 5.0}}
    assert [entry["field"] for entry in body["sortby"]] == ["properties.datetime", "id"]


def test_an_order_that_stays_unstable_is_recorded(server, monkeypatch):
    monkeypatch.setattr(stac_api, "PAGE", 2)
    year = {"start": dt.date(2021, 1, 1), "end": dt.date(2021, 12, 31)}
    answer = found(server, "plain-torn", **year)
    # three items; the second is repeated on the second page, in place of the third
    assert len(answer.items) == 2
    assert [refusal.item_id for refusal in answer.refused] == [answer.items[1].id]
    assert "another item may be missing" in answer.refused[0].reason
    with pytest.raises(CatalogError, match="its pages give 2 items of the 3 it counts"):
        found(server, "counted-torn", **year)


def test_fewer_items_than_counted_is_an_error(server):
    with pytest.raises(CatalogError) as failure:
        found(server, "miscount", start=dt.date(2021, 1, 1), end=dt.date(2021, 12, 31))
    text = str(failure.value)
    assert f"POST {server[1]}/miscount/search, 2021-01-01/2021-12-31" in text
    assert "its pages give 3 items of the 4 it counts" in text


def test_pages_in_a_circle_end(server):
    with pytest.raises(CatalogError, match=r"page 2: .*its links to the next page loop"):
        found(server, "plain-loop", start=dt.date(2021, 1, 1), end=dt.date(2021, 12, 31))


def test_too_large_pages_are_asked_smaller(server, raws, monkeypatch):
    monkeypatch.setattr(stac_api, "PAGE", 100)
    assert [i.id for i in found(server, "plain-heavy").items] == [raw["id"] for raw in raws]
    sizes = [entry["body"]["limit"] for entry in asked(server, "plain-heavy")]
    assert sizes == [100] * stac_api.ATTEMPTS + [25] * stac_api.ATTEMPTS + sizes[10:]
    assert set(sizes[10:]) == {10}


def test_the_failing_request_is_named_without_secrets(server, monkeypatch):
    year = {"start": dt.date(2019, 1, 1), "end": dt.date(2019, 12, 31)}
    monkeypatch.setattr(stac_api, "PAGE", 2)
    with pytest.raises(CatalogError) as failure:
        search("api", f"{server[1]}/plain-dead?token=hunter2", **options(**year))
    text = str(failure.value)
    assert f"POST {server[1]}/plain-dead/search, 2019-01-01/2019-12-31, page 2" in text
    assert "hunter2" not in text
    assert failure.value.__cause__ is None


def test_memory_holds_a_page_not_the_answer(server, raws):
    stream = iter_items("api", f"{server[1]}/plain-lazy", **options())
    assert next(stream).id == "s00"
    # the landing page aside: whole span, its first part and so on down to the first year
    assert len(asked(server, "plain-lazy")) < 6
    assert sum(1 for _ in stream) == len(raws) - 1


def test_over_the_antimeridian(server, raws, make, tmp_path_factory):
    folder = server[0]
    moved = []
    for name, west in (("fiji-west", 178.5), ("fiji-east", -179.5), ("afar", 10.0)):
        raw = copy.deepcopy(raws[0]) | {"id": name, "bbox": [west, -17.0, west + 0.5, -16.5]}
        ring = [[west, -17.0], [west + 0.5, -17.0], [west + 0.5, -16.5], [west, -17.0]]
        moved.append(raw | {"geometry": {"type": "Polygon", "coordinates": [ring]}})
    both = {"type": "MultiPolygon", "coordinates": []}
    for west, east in ((179.8, 180.0), (-180.0, -179.9)):
        ring = [[west, -17.0], [east, -17.0], [east, -16.5], [west, -17.0]]
        both["coordinates"].append([ring])
    moved.append(
        copy.deepcopy(raws[0])
        | {"id": "across", "bbox": [-180, -17.0, 180, -16.5], "geometry": both}
    )
    (folder / "items.json").write_text(json.dumps(moved))
    try:
        asked_for = options(bbox=(178.0, -18.0, -179.0, -16.0))
        api = search("api", f"{server[1]}/plain-fiji", **asked_for)
        path = write_items(tmp_path_factory.mktemp("fiji") / "items.parquet", moved)
        stored = search("geoparquet", str(path), **asked_for)
    finally:
        (folder / "items.json").write_text(json.dumps(raws))
    assert [item.id for item in api.items] == ["across", "fiji-east", "fiji-west"]
    # a file of polygons in one and several parts holds them all as multi-polygons
    plain = [[replace(i, footprint={}) for i in answer.items] for answer in (api, stored)]
    assert plain[0] == plain[1]
    boxes = [entry["body"]["bbox"] for entry in asked(server, "plain-fiji")]
    assert boxes == [[178.0, -18.0, 180.0, -16.0], [-180.0, -18.0, -179.0, -16.0]]


@pytest.mark.parametrize("bbox", [(0, 2, 1, 1), (-181, 0, 0, 1), (0, 0, float("nan"), 1)])
def test_impossible_bounds_are_refused(server, bbox):
    with pytest.raises(CatalogError, match="got the bounds"):
        found(server, "plain", bbox=bbox)


def test_refusals_come_in_the_stream(server):
    stream = list(iter_items("api", f"{server[1]}/plain", **options(bands=["nir"])))
    assert all(isinstance(entry, Refusal) for entry in stream)
    assert stream[0].reason == "lacks nir; it has red"
