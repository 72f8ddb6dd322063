"""Where the cube lies on the sources' own grid, no warp and no copy of another grid happens."""

import numpy as np
import pytest
import rasterio.warp
from odc.geo.geobox import GeoBox

from benchmarks.reading import BANDS, MASK, compare, ours, rasterio_threads, table, write_stack
from rs_monitor.imagery.load import load_cube

EDGE_PX, DATES = 96, 2


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return write_stack(tmp_path_factory.mktemp("stack"), EDGE_PX, DATES)


@pytest.fixture
def geobox(make):
    return make.grid(EDGE_PX, EDGE_PX)


@pytest.fixture
def warped(monkeypatch):
    calls = []
    warp = rasterio.warp.reproject
    monkeypatch.setattr(
        rasterio.warp, "reproject", lambda *a, **k: calls.append(1) or warp(*a, **k)
    )
    return calls


def load(stack, geobox, **options):
    cube = load_cube(stack, geobox=geobox, bands=[*BANDS, MASK], chunk_px=64, **options)
    return cube.compute(scheduler="synchronous")


def test_one_grid_needs_no_warp(stack, geobox, warped):
    load(stack, geobox)
    load(stack, geobox, window=(slice(3, 40), slice(50, 96)))
    assert warped == []


def test_whole_pixels_apart_is_still_one_grid(stack, geobox, warped):
    shifted = GeoBox((40, 40), geobox.affine * geobox.affine.translation(7, -5), geobox.crs)
    load(stack, shifted)
    assert warped == []


def test_half_a_pixel_apart_is_warped(stack, geobox, warped):
    shifted = GeoBox((40, 40), geobox.affine * geobox.affine.translation(7.5, 5), geobox.crs)
    load(stack, shifted)
    assert len(warped) > 0


@pytest.mark.parametrize("joined", [True, False])
def test_the_readers_that_are_compared_read_the_same(stack, geobox, joined):
    readers = {"peer": rasterio_threads, "ours": ours(32, joined=joined)}
    taken = compare(readers, stack, geobox, rounds=1)
    found = table(taken, "peer", {"ours": 0.0})
    assert found["reader"].tolist() == ["peer", "ours"]
    assert found[""].tolist() == ["", "ok"]


def test_a_reader_that_disagrees_is_not_timed(stack, geobox):
    def wrong(items, box):
        found = rasterio_threads(items, box)
        found["red"] = found["red"] + np.uint16(1)
        return found

    with pytest.raises(SystemExit, match="wrong disagrees in red"):
        compare({"peer": rasterio_threads, "wrong": wrong}, stack, geobox, rounds=1)
