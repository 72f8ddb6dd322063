import datetime as dt
from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from rs_monitor.codes import Change, TrainingDomain
from rs_monitor.config.paths import data_root
from rs_monitor.config.reading import load_table, read_toml
from rs_monitor.config.rules import DetectionRules, load_rules
from rs_monitor.findings.rules import FindingRules
from rs_monitor.grid import pixel_area_m2
from rs_monitor.pipeline.collect import (
    ZoneProducts,
    decide,
    in_zone,
    outside_shares,
    unseen_coverage,
    without_repeats,
    zone_patches,
)
from rs_monitor.pipeline.plan import ZonePlan
from rs_monitor.pipeline.rules import ImageryRules
from rs_monitor.register.records import PATCH, check_coverage, record_frame

CRS = "EPSG:4548"
WEST, NORTH, PIXEL_M = 500_000.0, 3_600_000.0, 10.0
SHAPE = (20, 40)
RULES = data_root() / "configs" / "rules"
ORDINARY = {"text": "x", "float": 1.0, "int": 9, "bool": False}


def box(y0, y1, x0, x1):
    """Rows and columns of the common grid."""
    left, top = WEST + x0 * PIXEL_M, NORTH - y0 * PIXEL_M
    return shapely.box(left, NORTH - y1 * PIXEL_M, WEST + x1 * PIXEL_M, top)


LEFT, RIGHT = box(0, 20, 0, 20), box(0, 20, 20, 40)


@pytest.fixture
def detection():
    shipped = DetectionRules.model_validate(read_toml(RULES / "detection.toml"))
    return shipped.model_copy(update={"min_patch_px": 6, "min_looks": 2})


@pytest.fixture
def frame():
    """Patches by id: zone and shape; every other column is of no concern."""

    def build(patches):
        areas = [shape.area for _, shape in patches.values()]
        count = len(patches)
        columns = {column.name: [ORDINARY[column.type]] * count for column in PATCH}
        columns |= {
            "patch_id": list(patches),
            "zone_id": [zone for zone, _ in patches.values()],
            "area_m2": areas,
            "n_px": [round(area / PIXEL_M**2) for area in areas],
            "first_date": ["2024-07-01"] * count,
            "last_date": ["2025-07-01"] * count,
            "measurability": ["measured"] * count,
            "kind": ["unclassified"] * count,
        }
        return record_frame(columns, PATCH, [shape for _, shape in patches.values()], CRS)

    return build


def outlines(**zones):
    return gpd.GeoSeries(zones, crs=CRS)


def zone_plan(zone_id, outline):
    geobox = GeoBox(SHAPE, Affine(PIXEL_M, 0, WEST, 0, -PIXEL_M, NORTH), CRS)
    days = [dt.datetime(year, 7, 1, tzinfo=dt.UTC) for year in (2024, 2025)]
    scenes = [SimpleNamespace(id=f"S{day.year}", datetime=day) for day in days]
    return ZonePlan(zone_id, zone_id, geobox, (), outline, (scenes[0],), (scenes[1],))


def period(year, days):
    start = dt.date(year, 3, 1)
    return SimpleNamespace(start=start, end=start + dt.timedelta(days=days))


def plan_of(*zones, registration="off"):
    periods = SimpleNamespace(before=period(2024, 244), after=period(2025, 200))
    config = SimpleNamespace(periods=periods, imagery=SimpleNamespace(registration=registration))
    return SimpleNamespace(zones=zones, vector_crs=CRS, config=config, layers={}, zone_layer=None)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        # 22 of 84 pixels in the zone, its inner point far outside
        (box(4, 6, 9, 51), ["p"]),
        (box(4, 5, 15, 30), []),
        (box(4, 5, 14, 30), ["p"]),
        (box(4, 5, 18, 22), ["p"]),
        (box(4, 5, 18, 23), []),
        (RIGHT, []),
    ],
)
def test_a_patch_with_enough_ground_in_the_zone_belongs_to_it(frame, shape, kept):
    patches = frame({"p": ("A", shape)})
    assert list(in_zone(patches, LEFT, 6)["patch_id"]) == kept


def test_the_rule_holds_in_degrees_too(frame):
    patches = frame({"p": ("A", box(4, 6, 9, 51)), "q": ("A", box(8, 9, 18, 30))})
    degrees = patches.to_crs("EPSG:4490")
    outline = gpd.GeoSeries([LEFT], crs=CRS).to_crs("EPSG:4490").iloc[0]
    assert list(in_zone(degrees, outline, 6)["patch_id"]) == ["p"]


def test_a_patch_on_the_border_of_two_zones_is_reported_once(frame):
    # inner point on the common edge: within neither zone
    shape = box(4, 8, 16, 24)
    patches = frame({"b": ("B", shape), "a": ("A", shape)})
    both = [in_zone(patches.iloc[[row]], zone, 6) for row, zone in ((1, LEFT), (0, RIGHT))]
    found = without_repeats(pd.concat(both, ignore_index=True), outlines(A=LEFT, B=RIGHT))
    assert list(found["zone_id"]) == ["A"]


@pytest.mark.parametrize(("west", "zone"), [(15, "A"), (17, "B")])
def test_the_zone_with_the_larger_share_reports_the_patch(frame, west, zone):
    shape = box(4, 8, west, west + 8)
    patches = frame({"a": ("A", shape), "b": ("B", shape)})
    found = without_repeats(patches, outlines(A=LEFT, B=RIGHT))
    assert list(found["zone_id"]) == [zone]
    turned = without_repeats(patches.iloc[::-1].reset_index(drop=True), outlines(A=LEFT, B=RIGHT))
    assert list(turned["zone_id"]) == [zone]


@pytest.mark.parametrize(("east", "kept"), [(20, ["a"]), (19, ["a", "b"])])
def test_half_of_the_smaller_patch_makes_a_repeat(frame, east, kept):
    patches = frame({"a": ("A", box(4, 8, 0, east)), "b": ("B", box(4, 8, 18, 22))})
    found = without_repeats(patches, outlines(A=LEFT, B=RIGHT))
    assert list(found["patch_id"]) == kept


def test_patches_of_one_zone_are_never_repeats(frame):
    patches = frame({"a": ("A", box(4, 8, 2, 6)), "b": ("A", box(4, 8, 2, 6))})
    assert list(without_repeats(patches, outlines(A=LEFT))["patch_id"]) == ["a", "b"]


def test_a_chain_of_repeats_keeps_ground_nobody_else_reports(frame):
    zones = outlines(A=box(0, 20, 0, 14), B=box(0, 20, 14, 20), C=RIGHT)
    patches = frame(
        {
            "a": ("A", box(0, 8, 2, 16)),
            "b": ("B", box(0, 8, 14, 18)),
            "c": ("C", box(0, 8, 16, 30)),
        }
    )
    assert list(without_repeats(patches, zones)["patch_id"]) == ["a", "c"]


def test_no_patches_at_all(frame):
    patches = frame({})
    assert len(in_zone(patches, LEFT, 6)) == 0
    assert len(without_repeats(patches, outlines(A=LEFT))) == 0


def test_decide_reports_the_same_ground_once(frame):
    shape = box(4, 8, 17, 25)
    patches = [frame({"a": ("A", shape)}), frame({"b": ("B", shape)})]
    coverages = [pd.DataFrame({"zone_id": ["A"]}), pd.DataFrame({"zone_id": ["B"]})]
    plan = plan_of(zone_plan("A", LEFT), zone_plan("B", RIGHT))
    rules = load_table(RULES / "findings-guide-2024.toml", FindingRules)
    found = decide(patches, coverages, plan, rules)
    assert list(found.patches["patch_id"]) == ["b"]
    assert set(found.findings["patch_id"]) == {"b"}
    assert list(found.coverage["zone_id"]) == ["A", "B"]


SHIFT_RULES = load_rules("imagery", RULES, ImageryRules).detectability


@pytest.fixture
def products():
    """One changed field reaching from the left zone far out of it."""
    changed = np.zeros(SHAPE, dtype=bool)
    changed[4:8, 15:40] = True
    floats = np.ones(SHAPE, dtype=np.float32)
    looks = np.full(SHAPE, 5, dtype=np.uint16)
    arrays = {
        "change": np.where(changed, Change.CHANGE, Change.NO_CHANGE).astype(np.uint8),
        "change_magnitude": floats,
        "looks_before": looks,
        "looks_after": looks,
        "middle_before": 100 * floats,
        "middle_after": 30 * floats,
        "last_before": 120 * floats,
        "last_after": 60 * floats,
        "doubtful_before": np.zeros(SHAPE, dtype=np.uint16),
        "doubtful_after": np.where(changed, 5, 0).astype(np.uint16),
    }
    return ZoneProducts(zone_plan("A", LEFT), arrays)


def test_a_patch_reaching_into_the_zone_is_reported_whole_and_dated(products, detection):
    row = zone_patches(products, plan_of(products.zone), detection, SHIFT_RULES).iloc[0]
    assert row["n_px"] == 100
    # day 100 and day 30 of the periods
    assert (row["first_date"], row["last_date"]) == ("2024-06-09", "2025-03-31")
    assert row["last_look"] == "2025-04-30"
    assert row["doubtful_fraction"] == 0.5
    assert np.isnan(row["shift_m"])


def test_a_patch_within_the_shift_of_its_edge_is_not_measured(products, detection):
    plan = plan_of(products.zone)
    sharp = zone_patches(replace(products, shift_m=1.0), plan, detection, SHIFT_RULES).iloc[0]
    blurred = zone_patches(replace(products, shift_m=15.0), plan, detection, SHIFT_RULES).iloc[0]
    assert (sharp["measurability"], blurred["measurability"]) == ("measured", "detect_only")


@pytest.mark.parametrize(("asked", "expected"), [("off", "measured"), ("report", "detect_only")])
def test_an_unknown_registration_that_was_asked_for_measures_nothing(
    products, detection, asked, expected
):
    plan = plan_of(products.zone, registration=asked)
    row = zone_patches(products, plan, detection, SHIFT_RULES).iloc[0]
    assert row["measurability"] == expected


def test_a_zone_without_change_has_no_patches(products, detection):
    still = np.full(SHAPE, Change.NO_CHANGE, dtype=np.uint8)
    none = replace(products, arrays={**products.arrays, "change": still})
    assert len(zone_patches(none, plan_of(products.zone), detection, SHIFT_RULES)) == 0


def test_a_zone_never_read_is_in_the_coverage(detection):
    zone = zone_plan("A", LEFT)
    row = check_coverage(unseen_coverage(zone, detection, plan_of(zone))).iloc[0]
    assert (row["zone_id"], row["seen_fraction"], row["longest_gap_days"]) == ("A", 0.0, 244.0)
    area_m2 = 20 * float(pixel_area_m2(zone.geobox).sum())
    assert row["area_m2"] == row["not_seen_m2"] == pytest.approx(area_m2)
    assert (row["looks_before_median"], row["looks_after_median"]) == (0.0, 0.0)


def test_no_patch_at_all_is_a_table_without_rows(frame):
    kept = without_repeats(frame({}), outlines(A=LEFT))
    assert len(kept) == 0
    assert kept.crs == CRS
    assert "patch_id" in kept.columns


def test_the_outside_share_is_of_the_seen_ground_of_the_zone():
    before = np.full(SHAPE, TrainingDomain.OUTSIDE, dtype=np.uint8)
    before[:, :20] = TrainingDomain.INSIDE
    before[:5, :20] = TrainingDomain.OUTSIDE
    before[5:10, :20] = TrainingDomain.NOT_SEEN
    unseen = np.full(SHAPE, TrainingDomain.NOT_SEEN, dtype=np.uint8)
    arrays = {"training_domain_before": before, "training_domain_after": unseen}
    zone = zone_plan("Z1", LEFT)
    assert outside_shares(ZoneProducts(zone, arrays)) == {"before": round(5 / 15, 4)}
    assert outside_shares(ZoneProducts(zone, {})) == {}
