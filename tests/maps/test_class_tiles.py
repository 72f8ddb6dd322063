import math
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.grid import true_pixel_area_m2
from rs_monitor.maps.class_area import area_of_tiles, class_area, merge_counts
from rs_monitor.maps.class_tiles import (
    NOT_SEEN,
    count_pair_tile,
    count_zone_tile,
    transitions_of_tiles,
)

GRID = GeoBox((70, 2500), Affine(10, 0, 600000, 0, -10, 3500000), "EPSG:32650")
EACH_M2 = true_pixel_area_m2(GRID, np.arange(2500))


def a_map(seed):
    """Fields of eight pixels, a class that thickens to the right, nodata."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, 5, (9, 313)).astype(np.uint8)
    classes = fields.repeat(8, 0).repeat(8, 1)[:70, :2500].copy()
    classes[rng.random(GRID.shape) < np.linspace(0, 0.8, 2500)] = 7
    return classes


BEFORE, AFTER = a_map(0), a_map(1)
MANY = np.random.default_rng(2).integers(0, 40, (2, *GRID.shape)).astype(np.uint8)
INSIDE = np.arange(2500) % 700 < np.arange(70)[:, None] * 9
CUTS = [([0, 70], [0, 2500]), ([0, 1, 40, 70], [0, 700, 1030, 2500]), ([0, 35, 70], [0, 3, 2500])]


def bits(table):
    return table.to_dict("list") | {"area_m2": [a.hex() for a in table["area_m2"]]}


def tiles_of(count, rows, cols, *rasters):
    return [
        count(*(values[y0:y1, x0:x1] for values in rasters), GRID, row=y0, col=x0)
        for y0, y1 in pairwise(rows)
        for x0, x1 in pairwise(cols)
    ]


@pytest.mark.parametrize("cuts", CUTS)
def test_a_zone_holds_its_classes_and_what_has_none(cuts):
    found = area_of_tiles(tiles_of(count_zone_tile, *cuts, BEFORE, INSIDE), GRID)
    codes, pixels = np.unique(BEFORE[INSIDE], return_counts=True)
    assert codes[0] == 0
    assert found["class"].tolist() == [*codes[1:], NOT_SEEN]
    assert found["pixels"].tolist() == [*pixels[1:], pixels[0]]
    assert math.fsum(found["area_m2"]) == pytest.approx(math.fsum(EACH_M2[INSIDE]), rel=1e-12)
    # the classes themselves, as if there were no zone
    held = xr.DataArray(np.where(INSIDE, BEFORE, np.uint8(0)), dims=("y", "x"))
    assert bits(found[:-1]) == bits(class_area(held, GRID))


def test_a_zone_seen_whole_has_no_row_of_unseen_ground():
    ones = np.ones(GRID.shape, np.uint8)
    found = area_of_tiles([count_zone_tile(ones, ones > 0, GRID, row=0, col=0)], GRID)
    assert found["class"].tolist() == [1]


@pytest.mark.parametrize("pair", [(BEFORE, AFTER), tuple(MANY)], ids=["fields", "1,521 pairs"])
def test_pairs_are_those_of_single_pixels(pair):
    before, after = pair
    found = transitions_of_tiles([count_pair_tile(before, after, GRID, row=0, col=0)], GRID)
    both = (before > 0) & (after > 0)
    pairs, pixels = np.unique(np.stack([before[both], after[both]]), axis=1, return_counts=True)
    assert found[["class_before", "class_after"]].to_numpy().T.tolist() == pairs.tolist()
    assert found["pixels"].tolist() == pixels.tolist()
    one = (before == pairs[0, 3]) & (after == pairs[1, 3])
    assert found["area_m2"][3] == pytest.approx(math.fsum(EACH_M2[one]), rel=1e-9)


@pytest.mark.parametrize("cuts", CUTS)
def test_any_tiles_of_pairs_give_the_same_bits(cuts):
    tiles = tiles_of(count_pair_tile, *cuts, BEFORE, AFTER)
    whole = transitions_of_tiles([count_pair_tile(BEFORE, AFTER, GRID, row=0, col=0)], GRID)
    assert bits(transitions_of_tiles(tiles, GRID)) == bits(whole)
    assert bits(transitions_of_tiles([merge_counts(tiles[::-1], GRID)], GRID)) == bits(whole)
