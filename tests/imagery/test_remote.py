import json
import urllib.request

import numpy as np
import pytest

from rs_monitor.errors import ReadError
from rs_monitor.imagery import pixels
from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.load import load_cube

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
pytestmark = pytest.mark.filterwarnings("ignore:Use .@. matmul:PendingDeprecationWarning")


@pytest.fixture
def remote(make, web, numbers, monkeypatch):
    """An item whose file is reached through one of the server's faults."""
    folder, url = web
    monkeypatch.setattr(pixels, "RETRY_WAIT_S", 0.0)
    quick = {**pixels.HTTP_OPTIONS, "GDAL_HTTP_MAX_RETRY": 1, "GDAL_HTTP_RETRY_DELAY": 0.01}
    monkeypatch.setattr(pixels, "HTTP_OPTIONS", quick)

    def item(kind, name, data=numbers):
        tiling = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
        make.tif(folder / name, data, nodata=0, **tiling)
        href = f"{url}/{kind}/{name}?token=hunter2"
        asset = {"href": href, "dtype": str(data.dtype), "nodata": 0}
        return normalise_item(make.item("a", {"red": asset}, shape=data.shape))

    return item


def values(make, item):
    geobox = make.grid(*item.shape)
    return load_cube([item], geobox=geobox, bands=["red"])["red"].values[0]


def test_plain_read_over_http(make, remote, numbers):
    assert np.array_equal(values(make, remote("files", "plain.tif")), numbers)


def test_one_503_heals(make, remote, numbers):
    assert np.array_equal(values(make, remote("once", "once.tif")), numbers)


def test_body_cut_short_heals_although_gdal_remembers(make, remote):
    # larger than GDAL's first request, so the cut answer is one of pixels
    data = np.random.default_rng(3).integers(1, 60000, (300, 300)).astype("uint16")
    assert np.array_equal(values(make, remote("cut", "cut.tif", data)), data)


@pytest.mark.parametrize("kind", ["dead", "missing"])
def test_lasting_failure_is_an_error_never_nodata(make, remote, kind):
    with pytest.raises(ReadError, match=f"item a, band red: .*/{kind}/") as failure:
        values(
            make, remote(kind, f"{kind}.tif") if kind == "dead" else remote("missing/x", "m.tif")
        )
    assert "hunter2" not in str(failure.value)
    assert "could not be read" in str(failure.value)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_final_answer_is_asked_for_once(make, web, remote, status):
    kind = f"status-{status}"
    with pytest.raises(ReadError, match=f"HTTP response code: {status}"):
        values(make, remote(kind, f"{status}.tif"))
    with DIRECT.open(f"{web[1]}/log", timeout=10) as answer:
        assert json.loads(answer.read())[kind] == {str(status): 1}


def test_header_over_http(make, remote, numbers):
    item = remote("once", "header.tif")
    href = item.bands["red"].href
    assert pixels.read_header(href, 1) == ("uint16", 0.0)
