"""Reads that needed several tries are named; clean ones are not."""

import logging
import pickle

import dask
import numpy as np
import pytest

from rs_monitor.errors import ReadError
from rs_monitor.imagery import pixels
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.incidents import ReadIncident, recorded_reads, redacted_reason
from rs_monitor.imagery.load import load_cube


@pytest.fixture
def remote(make, web, monkeypatch):
    """Items whose files are reached through one of the server's faults."""
    folder, url = web
    monkeypatch.setattr(pixels, "RETRY_WAIT_S", 0.0)
    quick = {**pixels.HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY": 1, "GDAL_HTTP_RETRY_DELAY": 0.01}
    monkeypatch.setattr(pixels, "HTTP_OPTIONS", quick)
    # larger than GDAL's first request, so that a cut answer is one of pixels
    data = np.random.default_rng(3).integers(1, 60000, (300, 300)).astype("uint16")

    def item(kind, identity):
        name = f"{kind}_{identity}.tif"
        tiling = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        make.tif(folder / name, data, nodata=0, **tiling)
        asset = {"href": f"{url}/{kind}/{name}?token=hunter2", "dtype": "uint16", "nodata": 0}
        return normalise_item(make.item(identity, {"red": asset}, shape=data.shape))

    item.data = data
    return item


def load(make, item, **options):
    return load_cube([item], geobox=make.grid(300, 300), bands=["red"], **options)["red"]


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize(
    ("kind", "reason"), [("once", "HTTP error code: 503"), ("cut", "TIFFReadEncodedTile")]
)
def test_a_healed_read_is_named(make, remote, kind, reason, scheduler):
    item = remote(kind, f"{scheduler}")
    with dask.config.set(scheduler=scheduler), recorded_reads() as found:
        values = load(make, item).values[0]
    assert np.array_equal(values, remote.data)
    assert [(f.item_id, f.band, f.attempts) for f in found] == [(scheduler, "red", 2)]
    assert reason in found[0].reason
    assert "hunter2" not in found[0].reason
    assert "Retrying" not in found[0].reason


def test_a_clean_read_leaves_no_record(make, remote):
    with recorded_reads() as found:
        load(make, remote("files", "b")).compute()
    assert found == []


def test_a_lasting_failure_is_an_error_and_not_a_healed_read(make, remote):
    with recorded_reads() as found, pytest.raises(ReadError):
        load(make, remote("dead", "c")).compute()
    assert found == []


def test_records_belong_to_the_innermost_block_and_end_with_it(make, remote):
    with recorded_reads() as outer:
        with recorded_reads() as inner:
            load(make, remote("once", "d")).compute()
        assert len(inner) == 1
        load(make, remote("once", "e")).compute()
    load(make, remote("once", "f")).compute()
    assert [f.item_id for f in outer] == ["e"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            "CPLE_AppDefined in HTTP error code: 503 - http://h/a.tif?token=x. Retrying again in"
            " 0.2 secs",
            "HTTP error code: 503 - http://h/a.tif?...",
        ),
        ("'/vsicurl/http://me:pw@h/a.tif?sig=1' not recognized", "'/vsicurl/http://h/a.tif?...'"),
    ],
)
def test_reasons_hold_no_secret(text, plain):
    assert redacted_reason(text).startswith(plain)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
def test_the_log_holds_no_signature(make, remote, caplog, level):
    caplog.set_level(level, logger="rasterio")
    with caplog.at_level(level), recorded_reads() as found:
        load(make, remote("once", f"log{level}")).compute()
    assert len(found) == 1
    assert "Retrying again" in caplog.text
    assert "hunter2" not in caplog.text
    assert not any("hunter2" in str((r.msg, r.args)) for r in caplog.records)


@pytest.mark.parametrize("name", ["rasterio._err", "rasterio._base", "urllib3.connectionpool"])
def test_loggers_that_name_addresses_are_redacted(caplog, name):
    caplog.set_level(logging.DEBUG, logger=name)
    logging.getLogger(name).debug("%s %r", "GET", "https://me:pw@h/a.tif?sig=hunter2")
    logging.getLogger(name).debug("%d of %d", 1, 2)
    assert [r.getMessage() for r in caplog.records] == ["GET 'https://h/a.tif?...'", "1 of 2"]
    assert caplog.records[1].args == (1, 2)


def test_incidents_travel_to_the_coordinator():
    incident = ReadIncident("a", "red", 2, "why")
    assert pickle.loads(pickle.dumps(incident)) == incident
