import json
from pathlib import Path

import pytest
from shapely.geometry import box, mapping, shape

from rs_monitor.imagery.catalog import normalise_item
from rs_monitor.imagery.footprints import bbox_parts, cut_footprint, footprint_bbox, touches

ITEMS = Path(__file__).parent / "items"
EAST = bbox_parts((-179.9, -17.0, -179.8, -16.5))
WEST = bbox_parts((179.5, -17.0, 179.6, -16.5))
ACROSS = bbox_parts((179.9, -17.0, -179.9, -16.5))
FAR = bbox_parts((10.0, -17.0, 11.0, -16.5))


def check_both_sides(footprint):
    assert touches(footprint, EAST)
    assert touches(footprint, WEST)
    assert touches(footprint, ACROSS)
    assert not touches(footprint, FAR)
    assert shape(dict(footprint)).area < 2.0


def test_a_ring_that_jumps_is_cut():
    raw = json.loads((ITEMS / "synthetic_antimeridian_unsplit.json").read_text())
    assert touches(raw["geometry"], FAR), "read naively the ring spans the globe"
    footprint = normalise_item(raw).footprint
    assert footprint["type"] == "MultiPolygon"
    check_both_sides(footprint)


@pytest.mark.shared
def test_a_split_footprint_stays_as_given(shared_data):
    name = "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825.SAFE.json"
    path = shared_data / "stac_items" / "stactools-sentinel2" / name
    raw = json.loads(path.read_text())
    footprint = normalise_item(raw, base_href="https://example.org/item.json").footprint
    assert footprint["coordinates"] == raw["geometry"]["coordinates"]
    check_both_sides(footprint)
    west, south, east, north = footprint_bbox(footprint)
    assert (west, south, east, north) == pytest.approx(raw["bbox"], abs=0.03)
    assert west > east


def test_the_parts_hold_the_whole_area():
    ring = [[179.0, 0.0], [-178.0, 0.0], [-178.0, 1.0], [179.0, 1.0], [179.0, 0.0]]
    cut = shape(cut_footprint({"type": "Polygon", "coordinates": [ring]}))
    assert cut.equals(box(179, 0, 180, 1).union(box(-180, 0, -178, 1)))


def test_ordinary_boxes_and_footprints():
    ring = [[118.0, 31.0], [119.0, 31.0], [119.0, 32.0], [118.0, 32.0], [118.0, 31.0]]
    footprint = cut_footprint({"type": "Polygon", "coordinates": [ring]})
    assert footprint == {"type": "Polygon", "coordinates": [ring]}
    assert footprint_bbox(footprint) == [118.0, 31.0, 119.0, 32.0]
    assert touches(footprint, ())
    assert touches(footprint, [(118.5, 31.5, 120.0, 33.0)])
    assert not touches(footprint, [(119.5, 31.5, 120.0, 33.0)])
    assert ACROSS == ((179.9, -17.0, 180.0, -16.5), (-180.0, -17.0, -179.9, -16.5))


def test_longitudes_beyond_the_map_are_turned_back():
    for west in (179.4, -180.6):
        check_both_sides(mapping(box(west, -17, west + 1.2, -16)))
