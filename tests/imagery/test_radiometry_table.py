"""Scale, offset and baseline of every fixture, against a table written by hand."""

import json
import tomllib
from pathlib import Path

import pytest

from rs_monitor.errors import CatalogError
from rs_monitor.imagery.catalog import SceneItem, normalise_all, normalise_item

HERE = Path(__file__).parent
TABLE = tomllib.loads((HERE / "radiometry_table.toml").read_text(encoding="utf-8"))
ROWS = {row["file"]: row for row in TABLE["item"]}
BASE = "https://example.org/scenes/a/item.json"
WRITTEN = HERE / "items"


def features(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    return content.get("features", [content])


def expected_bands(row):
    """Band -> (scale, offset, holds codes)."""
    return {
        name: (group.get("scale", 1.0), group.get("offset", 0.0), group["kind"] == "codes")
        for group in row["bands"]
        for name in group["names"].split()
    }


def check(path, row):
    raws = features(path)
    assert len(raws) == row.get("items", 1)
    for raw in raws:
        if "refused" in row:
            with pytest.raises(CatalogError, match=row["refused"]) as caught:
                normalise_item(raw, base_href=BASE)
            assert f"item {raw['id']}: " in str(caught.value)
            continue
        item = normalise_item(raw, base_href=BASE)
        got = {n: (b.scale, b.offset, b.categorical) for n, b in item.bands.items()}
        assert got == expected_bands(row)
        assert item.properties.get("s2:processing_baseline") == row.get("baseline")
        assert all("://" in band.href for band in item.bands.values())
        assert SceneItem.from_dict(json.loads(json.dumps(item.to_dict()))) == item


def test_rows_are_complete():
    assert len(ROWS) == len(TABLE["item"]), "a fixture has two rows"
    for row in ROWS.values():
        assert row["reason"]
        assert row["clause"] in TABLE["clauses"]
        assert ("refused" in row) != ("bands" in row)
        for group in row.get("bands", ()):
            stated = ("scale" in group, "offset" in group)
            assert stated == (
                (True, True) if group["kind"] in {"reflectance", "other"} else (False, False)
            )


def test_every_written_item_has_a_row():
    found = {path.name for path in WRITTEN.glob("*.json")}
    assert found == {name for name in ROWS if "/" not in name}


@pytest.mark.shared
def test_every_captured_item_has_a_row(shared_data):
    folder = shared_data / "stac_items"
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if "json" in p.suffix}
    assert found == {name for name in ROWS if "/" in name}


@pytest.mark.parametrize("name", [name for name in ROWS if "/" not in name])
def test_written_items(name):
    check(WRITTEN / name, ROWS[name])


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in ROWS if "/" in name])
def test_captured_items(shared_data, name):
    check(shared_data / "stac_items" / name, ROWS[name])


def test_a_bad_item_does_not_stop_the_others():
    raws = [(raw, BASE) for path in sorted(WRITTEN.glob("*.json")) for raw in features(path)]
    items, refused = normalise_all(raws)
    assert len(items) == sum("bands" in row for name, row in ROWS.items() if "/" not in name)
    assert len(items) + len(refused) == len(raws)
    assert all(reason.reason for reason in refused)
