"""A composite is made chunk by chunk: its memory follows the chunk, not the scene."""

import tracemalloc

import dask
import numpy as np
import pytest

from benchmarks.composite_memory import store_composite, write_tile

DATES = 6


class Nowhere:
    def __init__(self):
        self.blocks = 0

    def __setitem__(self, place, block):
        self.blocks += 1
        assert np.isfinite(block).any()


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return {
        edge: write_tile(tmp_path_factory.mktemp(f"tile{edge}"), edge, DATES)
        for edge in (512, 1024)
    }


def peak_bytes(items, geobox, chunk_px):
    sink = Nowhere()
    with dask.config.set(scheduler="synchronous"):
        tracemalloc.start()
        try:
            store_composite(items, geobox, sink, chunk_px=chunk_px, method="median")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sink.blocks == (geobox.shape.y // chunk_px) ** 2
    return peak


def test_memory_follows_the_chunk_not_the_scene(tiles, make):
    small, large = make.grid(512, 512), make.grid(1024, 1024)
    peak_bytes(tiles[512], small, 512)  # compiles kernels, fills caches
    of_small, of_large = (
        peak_bytes(tiles[edge], box, 256) for edge, box in ((512, small), (1024, large))
    )
    assert of_large < 1.5 * of_small
    # four times the pixels beside what a graph takes whatever the chunk
    assert peak_bytes(tiles[1024], large, 512) > 2 * of_large


def test_links_are_scenes_of_their_own(tiles):
    hrefs = [item.bands["red"].href for item in tiles[512]]
    assert len(set(hrefs)) == DATES
