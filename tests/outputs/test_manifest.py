import datetime as dt

import pytest

from rs_monitor.outputs.manifest import (
    OutputRecord,
    clean_href,
    code,
    content_digest_of,
    redact,
    redact_userinfo,
    run_id_of,
    scene_input,
    versions,
)


@pytest.mark.parametrize(
    ("href", "clean"),
    [
        ("https://u:p@h.invalid:81/a/b.tif?sig=1#x", "https://h.invalid:81/a/b.tif"),
        ("https://u:p@ss@h.invalid/a", "https://h.invalid/a"),
        ("s3://bucket/key.tif?versionId=1", "s3://bucket/key.tif"),
        ("/data/a?b.tif", "/data/a?b.tif"),
        ("a.tif", "a.tif"),
        ("/vsicurl/https://u:p@h.invalid/a.tif?sig=1", "/vsicurl/https://h.invalid/a.tif"),
        ("https://[bad/a?sig=1", "(unreadable address)"),
    ],
)
def test_addresses_lose_their_secrets(href, clean):
    assert clean_href(href) == clean


def test_text_keeps_all_but_the_secrets():
    text = "item x: 403 from https://u:p@h.invalid/a.tif?sig=1 (try again)"
    assert redact(text) == "item x: 403 from https://h.invalid/a.tif (try again)"
    assert redact("100 % of a/b?") == "100 % of a/b?"


def test_config_loses_credentials_and_queries():
    text = 'href = "postgresql://u:p@ss@db.invalid/x?application_name=y"'
    assert redact_userinfo(text) == 'href = "postgresql://db.invalid/x"'


def test_scene_is_recorded_as_read():
    moment = dt.datetime(2024, 5, 1, 3, tzinfo=dt.UTC)
    bands = {"red": {"href": "https://h.invalid/r.tif?s"}}
    item = {"id": "s", "collection": "c", "datetime": moment, "bands": bands}
    record = scene_input(item)
    assert record.datetime == "2024-05-01T03:00:00+00:00"
    assert record.assets == {"red": "https://h.invalid/r.tif"}
    listed = scene_input(item | {"bands": [{"name": "red", **bands["red"]}]})
    assert listed == record


def test_run_digest_ignores_order_bytes_and_pages():
    def record(path, sha256, digest):
        return OutputRecord(path=path, kind="raster", sha256=sha256, content_digest=digest)

    one = [record("a", "1", "x"), record("b", "2", "y")]
    other = [record("b", "9", "y"), record("a", "8", "x")]
    page = OutputRecord(path="report/index.html", kind="page", sha256="3")
    assert content_digest_of(one) == content_digest_of([*other, page])
    assert content_digest_of(one) != content_digest_of([record("a", "1", "y"), one[1]])


def test_run_id_follows_from_the_plan():
    assert run_id_of("demo", "0123456789ab") == "demo-01234567"


def test_versions_name_what_shapes_results():
    assert {"python", "numpy", "xarray", "rasterio", "GDAL", "PROJ", "shapely"} <= set(versions())
    assert set(code()) == {"version", "git_commit", "dirty"}
