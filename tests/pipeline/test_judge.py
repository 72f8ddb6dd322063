"""What the inspection says, from hand-made records; whole runs are in test_inspect.py."""

import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.grid import blocks_of
from rs_monitor.imagery.catalog import ItemSet, SceneItem
from rs_monitor.imagery.radiometry import StepReport
from rs_monitor.pipeline.identity import item_identity
from rs_monitor.pipeline.inputs import _dated
from rs_monitor.pipeline.inspect import RADIOMETRY, blocks_to_inspect
from rs_monitor.pipeline.judge import Inspected, not_inspected
from rs_monitor.pipeline.run import INSPECT, caveats_of, doubts_of
from rs_monitor.pipeline.tasks import Receipt
from rs_monitor.pipeline.work import Ledger

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[117, 31], [118, 31], [118, 32], [117, 32], [117, 31]]],
}
ITEM = SceneItem(
    id="a",
    collection="c",
    datetime=dt.datetime(2024, 6, 1, 2, 50, tzinfo=dt.UTC),
    platform="sentinel-2a",
    crs="EPSG:32650",
    shape=(10, 10),
    transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 3_500_000.0),
    footprint=SQUARE,
    cloud_fraction=0.1,
    bands={},
    properties={"view:sun_azimuth": 120.0, "view:sun_elevation": 50.0},
)


@pytest.mark.parametrize(
    ("rows", "cols", "places"),
    [
        (8, 8, {(r, c) for r in (1, 4, 6) for c in (1, 4, 6)}),
        (1, 20, {(0, c) for c in (1, 3, 5, 7, 10, 12, 14, 16, 18)}),
        (2, 2, {(0, 0), (0, 1), (1, 0), (1, 1)}),
    ],
)
def test_inspected_blocks_lie_on_a_lattice_over_the_zone(rows, cols, places):
    grid = GeoBox((64 * rows, 64 * cols), Affine(10, 0, 0, 0, -10, 0), "EPSG:32650")
    chosen = blocks_to_inspect(blocks_of(grid, 64), 9)
    assert {(block.row, block.col) for block in chosen} == places


@pytest.mark.parametrize(
    "other",
    [
        replace(ITEM, platform="landsat-8"),
        replace(ITEM, properties={"view:sun_azimuth": 240.0, "view:sun_elevation": 50.0}),
        replace(ITEM, properties={}),
        replace(ITEM, collection="hls2-s30"),
    ],
    ids=["platform", "sun", "sun computed", "product"],
)
def test_what_can_alter_a_result_is_part_of_the_identity(other):
    assert item_identity(other) != item_identity(ITEM)


def test_a_scene_without_a_date_of_its_own_is_refused_by_name():
    unknown = replace(ITEM, id="u", properties={"rs_monitor:datetime_precision": "unknown"})
    found = _dated(ItemSet((ITEM, unknown), ()))
    assert found.items == (ITEM,)
    assert [refusal.item_id for refusal in found.refused] == ["u"]
    assert "side table" in found.refused[0].reason


def test_a_test_that_cannot_tell_is_told():
    step = StepReport("cannot_tell", (), (), float("nan"), float("nan"), (), "2 dates; needed 3")
    assert Inspected(step=step).warnings == (
        "offsets between dates could not be verified from pixels: 2 dates; needed 3",
    )
    clean = replace(step, status="clean")
    assert Inspected(step=clean).warnings == ()


def test_unknown_registration_is_told_only_where_it_was_asked_for():
    lost = (not_inspected("b"),)
    told = Inspected(shifts=lost, asked=True).warnings
    assert len(told) == 2
    assert "could not be read" in told[0]
    assert "no patch is more than detect_only" in told[1]
    assert Inspected(asked=False).warnings == ()


def test_doubts_and_caveats_come_from_the_manifest():
    failures = [
        SimpleNamespace(what=RADIOMETRY, zone="Z1", error="a step"),
        SimpleNamespace(what="a", zone="Z2", error="unreadable"),
    ]
    zones = {
        "Z1": {"asked": True, "shift_m": 2.0},
        "Z2": {"asked": True, "shift_m": None},
        "Z3": {"asked": False, "shift_m": None},
    }
    steps = [SimpleNamespace(name=INSPECT, parameters=zones)]
    manifest = SimpleNamespace(failures=failures, steps=steps)
    assert doubts_of(manifest) == {"Z1": ["a step"]}
    assert list(caveats_of(manifest)) == ["Z2"]


def test_what_failed_while_inspecting_is_named_once():
    ledger = Ledger()
    receipt = Receipt("Z", "r000c000", "mark", None, (("a", "gone"),))
    ledger.note(receipt, "levels", inspecting=True)
    again = Receipt("Z", "r000c001", "mark", None, (("a", "gone elsewhere"),))
    ledger.note(again, "levels", inspecting=True)
    assert ledger.all_failures() == [("Z", "a", "gone")]
    ledger.note(receipt, "observe")
    ledger.note(receipt, "observe")
    assert ledger.all_failures() == [("Z", "a", "gone")] * 2  # once a block of the maps
